defmodule OffBroadwayRustKafka.Migration.GenStageTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Guide, Options, Stage, TestStage}

  @guide "guides/migration.md"
  @section "## kafka_ex_gen_stage_consumer"
  @external_resource @guide

  # What kafka_ex_gen_stage_consumer's own example has, as it is but for one line.
  defmodule ExampleSubscriber do
    use OffBroadwayRustKafka.Stage.Subscriber

    def start_link({_producer, _topic, _partition, extra_consumer_args} = opts) do
      gen_server_options = Keyword.take(extra_consumer_args, [:name, :debug])
      GenStage.start_link(__MODULE__, opts, gen_server_options)
    end

    def init({producer, topic, partition, extra_consumer_args}) do
      {:consumer, {extra_consumer_args[:test], topic, partition}, subscribe_to: [producer]}
    end

    def handle_events(events, _from, {test, topic, partition} = state) do
      for event <- events, do: send(test, {:worked, topic, partition, event.value})
      {:noreply, [], state}
    end
  end

  defp start_group(kafka, topic, options) do
    options = TestStage.options(kafka, [topic], [extra_args: [test: self()]] ++ options)
    start_supervised!({Stage.Group, options})
  end

  test "as it is but for one line", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    group = random_name("group")

    start_group(kafka, topic,
      subscriber: ExampleSubscriber,
      group_id: group,
      commit_strategy: :async
    )

    fill(kafka, topic, 2, 3)

    for partition <- 0..1, n <- 1..3 do
      value = Integer.to_string(n)
      assert_receive {:worked, ^topic, ^partition, ^value}, 15_000
    end

    await_committed(kafka, group, each(topic, 2, 3))
  end

  # What a user has, with each line of it from the guide's table.
  defp subscriber(name, rows) do
    line = fn what -> rows |> List.keyfind(what, 0) |> elem(2) end

    Code.compile_string("""
    defmodule #{inspect(name)} do
      #{line.("The module")}

      #{line.("Its start")},
        do: GenStage.start_link(__MODULE__, {producer, topic, partition, extra_consumer_args})

      def init({producer, _topic, _partition, state}), do: #{line.("Its subscription")}

      def handle_events(events, _from, state) do
        for record <- events do
          #{line.("An event")} = record
          send(state[:test], {:worked, record, {offset, key, value}})
        end

        {:noreply, [], state}
      end
    end
    """)
  end

  defp lines, do: for([what, old, new | _] <- Guide.rows(@guide, @section), do: {what, old, new})

  test "each line in the guide's table", %{kafka: kafka} do
    lines = lines()
    assert length(lines) == 7
    for {_, old, _} <- lines, do: assert(Guide.parses?(old))
    module = Module.concat(__MODULE__, Subscriber)
    subscriber(module, lines)
    topic = create_topic(kafka, 1)
    group = random_name("group")

    start_group(kafka, topic, subscriber: module, group_id: group, commit_strategy: :none)

    fill(kafka, topic, 1, 4)

    for {what, offset} <- [{"A commit by hand", 1}, {"One that waits", 3}] do
      assert_receive {:worked, %{offset: ^offset} = record, {^offset, nil, value}}, 15_000
      assert value == Integer.to_string(offset + 1)
      {_, _, new} = List.keyfind(lines, what, 0)
      assert {:ok, _} = Code.eval_string(new, record: record)
      await_committed(kafka, group, %{{topic, 0} => offset + 1})
    end
  end

  @tag :flow
  test "the line of a Flow" do
    {_, _, new} = List.keyfind(lines(), "A Flow", 0)
    assert {flow, _} = Code.eval_string(new, producer: self())
    assert flow.__struct__ == Flow
  end

  test "the child in the guide's tree", %{kafka: kafka} do
    [{old, _}, {new, _}] =
      for {code, line} <- Guide.code(@guide), code =~ "ExampleSubscriber", do: {code, line}

    assert Guide.parses?(old)
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)
    code = String.replace(new, " ExampleSubscriber", " " <> inspect(ExampleSubscriber))
    {{module, options}, _} = Code.eval_string(code)
    assert options[:topics] == ["example_topic"]

    here = [
      group_id: random_name("group"),
      topics: [topic],
      extra_args: [test: self()] ++ options[:extra_args]
    ]

    start_supervised!({module, Keyword.merge(options, TestStage.options(kafka, [topic], here))})
    assert_receive {:worked, ^topic, 0, "3"}, 15_000
  end

  test "each option in the guide's table is one of ours" do
    rows =
      for [_what, old, new] <- Guide.rows(@guide, "### Options, one by one"),
          do: {option(old), option(new)}

    assert length(rows) == 12

    for {[{old, _}], [{new, value}] = options} <- rows do
      assert old in (~w(uris extra_consumer_args commit_strategy commit_interval commit_threshold)a ++
                       ~w(auto_offset_reset heartbeat_interval session_timeout fetch_options)a)

      given = [hosts: "localhost", group_id: "g", topics: ["t"], subscriber: ExampleSubscriber]
      checked = Options.Stage.group!(Keyword.merge(given, options))
      assert %Options.Stage{} = checked

      if new in [:commit_strategy, :commit_interval, :commit_threshold],
        do: assert(Map.fetch!(checked.member, new) == value)
    end
  end

  defp option(code) do
    {options, _} = Code.eval_string("[" <> code <> "]")
    options
  end
end
