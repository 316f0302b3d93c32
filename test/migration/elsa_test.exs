defmodule OffBroadwayRustKafka.Migration.ElsaTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Guide, Options, SharedMember}

  @guide "guides/migration.md"
  @external_resource @guide
  @rows Guide.rows(@guide, "## off_broadway_kafka (Elsa)")
  @topic "topic1"

  for {[place, old, new | _], index} <- Enum.with_index(@rows) do
    test "row #{index}, #{place}: #{old}" do
      assert Guide.parses?(unquote(old))
      assert_row(unquote(place), unquote(new))
    end
  end

  test "there are rows of all places" do
    places = @rows |> Enum.map(&hd/1) |> Enum.uniq()

    assert places ==
             ~w(module start kafka_config) ++
               ["its config"] ++ ~w(broadway_config classic message)
  end

  defp assert_row(_place, "nothing"), do: :ok

  defp assert_row(place, new) when place in ["kafka_config", "its config"] do
    given = Keyword.merge([hosts: "localhost:1", group_id: "g", topics: ["t"]], options(new))
    assert %Options{} = Options.validate!(given)
  end

  defp assert_row("classic", new) do
    [module: {module, given}] = options(new)
    assert module == OffBroadwayRustKafka.Producer
    assert Keyword.keyword?(given)
  end

  # Used below, all together.
  defp assert_row(_place, new), do: assert(Guide.parses?(new))

  defp options(code, bindings \\ []) do
    kafka_config = [hosts: "localhost:1", group_id: "g", topics: ["t"]]
    bindings = Keyword.merge([topic: @topic, partition: 3, kafka_config: kafka_config], bindings)
    {options, _} = Code.eval_string("[#{code}]", bindings)
    options
  end

  defp of(place), do: for([^place, _old, new | _] <- @rows, new != "nothing", do: new)

  # Options of ours, the last row of each counts.
  defp merged(place),
    do: place |> of() |> Enum.flat_map(&options/1) |> Map.new() |> Keyword.new()

  # A user's module, with each line of it from the table.
  defp compile(module, kafka_config) do
    [use] = of("module")
    [pattern] = of("message")

    Code.compile_string("""
    defmodule #{inspect(module)} do
      #{use}

      @impl OffBroadwayRustKafka
      def kafka_config(_options), do: #{inspect(kafka_config)}

      @impl OffBroadwayRustKafka
      def broadway_config(_options, topic, partition),
        do: [#{Enum.join(of("broadway_config"), ", ")}]

      @impl Broadway
      def handle_message(_processor, message, context) do
        #{pattern} = message
        %{topic: ^topic, partition: ^partition} = context
        handled = {topic, partition, offset, key, value, headers}
        send(:persistent_term.get(__MODULE__), {:handled, handled, ts})
        message
      end
    end
    """)

    :persistent_term.put(module, self())
  end

  test "a group with all that the table has", %{kafka: kafka} do
    module = Module.concat(__MODULE__, Orders)
    topic = create_topic(kafka, 2)
    group = random_name("group")
    given = merged("kafka_config") ++ merged("its config")

    here = [
      hosts: kafka.bootstrap,
      group_id: group,
      topics: [topic],
      offset_reset_policy: :earliest
    ]

    compile(module, Keyword.merge(given, [config: TestPipeline.config(kafka)] ++ here))
    produce(kafka, topic, [%{partition: 1, key: "k", value: "v", headers: [{"h", "1"}]}])

    [start] = of("start")
    code = String.replace(start, "MyApp.Orders", inspect(module))
    start_supervised!(%{id: :group, start: {__MODULE__, :evaluated, [code]}})

    assert_receive {:handled, {^topic, 1, 0, "k", "v", [{"h", "1"}]}, ts}, 15_000
    assert is_integer(ts)
    assert Process.whereis(:"orders_#{topic}_1")
    assert {:ok, [_, _]} = OffBroadwayRustKafka.assignment(module)
    await_committed(kafka, group, %{{topic, 0} => 0, {topic, 1} => 1})
  end

  @doc false
  def evaluated(code), do: code |> Code.eval_string() |> elem(0)

  test "a pipeline of one's own, with a member or one that it shares", %{kafka: kafka} do
    name = Module.concat(__MODULE__, Kafka)
    topic = create_topic(kafka, 1)
    group = random_name("group")
    member = TestPipeline.member(group, kafka, [topic], [])
    start_supervised!({SharedMember, [name: name] ++ member})
    [own, shared] = of("classic")

    [module: {_, given}] =
      shared
      |> String.replace("MyApp.Kafka", inspect(name))
      |> String.replace(@topic, topic)
      |> options()

    assert [consumer: ^name, topics: [^topic]] = given

    # What it is given when the row has been followed is what its member, or the shared one, takes.
    [module: {_, kafka_config}] = options(own, kafka_config: member)

    for {given, group} <- [{given, group}, {kafka_config, random_name("group")}] do
      given = if given[:consumer], do: given, else: Keyword.put(given, :group_id, group)
      new = TestPipeline.new([])
      broadway = TestPipeline.broadway(new, kafka, [topic], [])
      broadway = put_in(broadway[:producer][:module], {OffBroadwayRustKafka.Producer, given})
      start_supervised!(Supervisor.child_spec({TestPipeline, broadway}, id: new.name))
      fill(kafka, topic, 1, 1)
      assert [_ | _] = handled(new, 1)
      stop_supervised!(new.name)
    end
  end
end
