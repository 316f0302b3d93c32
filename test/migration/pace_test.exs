defmodule OffBroadwayRustKafka.Migration.PaceTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Guide, Options}

  @guide "guides/migration.md"
  @external_resource @guide
  @rows Guide.rows(@guide, "## A producer of your own that sets the pace")
  @member [hosts: "localhost:1", group_id: "g", topics: ["t"]]

  for {[what, old, new | _], index} <- Enum.with_index(@rows) do
    test "row #{index}: #{what}" do
      assert Guide.parses?(unquote(old))

      assert_row(unquote(what), unquote(new))
    end
  end

  defp assert_row(_what, "nothing"), do: :ok
  # Called below.
  defp assert_row(what, new) when what in ["To stop for a while", "To go on"],
    do: assert(Guide.parses?(new))

  defp assert_row(_what, new) do
    case options(new) do
      [{stages, options}] when stages in [:producer, :processors] ->
        assert Keyword.keyword?(options)

      options ->
        assert %Options{} = @member |> Keyword.merge(options) |> Options.validate!()
    end
  end

  defp options(code, given \\ @member) do
    {options, _} = Code.eval_string("[#{code}]", options: given)
    options
  end

  test "a pipeline with all that the table has", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    new = TestPipeline.new([])
    TestPipeline.listen(new.name)
    codes = for [_what, _old, code | _] <- @rows, code =~ ~r/^[a-z_]+: /, do: code

    # Those of the member are its producer's options.
    {member, broadway} =
      codes
      |> Enum.flat_map(&options(&1, []))
      |> Enum.split_with(fn {name, _} -> name not in [:producer, :processors] end)

    given = TestPipeline.member(new.group, kafka, [topic], [])
    given = Keyword.merge(member, given)
    producer = broadway |> Keyword.get_values(:producer) |> Enum.concat() |> Map.new()
    assert {OffBroadwayRustKafka.Producer, []} = producer.module
    assert producer.rate_limiting == [allowed_messages: 11, interval: 1_000]
    producer = Keyword.new(%{producer | module: {OffBroadwayRustKafka.Producer, given}})
    defaults = for [default: options] <- Keyword.get_values(broadway, :processors), do: options
    processors = Enum.reduce(defaults, &Keyword.merge(&2, &1))

    own = [producer: [concurrency: 1] ++ producer, processors: [default: processors]]
    broadway = new |> TestPipeline.broadway(kafka, [topic], []) |> Keyword.merge(own)
    start_supervised!(Supervisor.child_spec({TestPipeline, broadway}, id: new.name))
    handled(new, 5)

    call = fn what ->
      [code] = for [^what, _old, code | _] <- @rows, do: code
      assert {:ok, _} = Code.eval_string(code, pipeline: new.name)
    end

    call.("To stop for a while")
    fill(kafka, topic, 1, 1)
    assert {:ok, [%{paused: true}]} = OffBroadwayRustKafka.offsets(new.name)
    refute_receive {:handled, _, _, _}, 200
    call.("To go on")
    handled(new, 1)
  end
end
