defmodule OffBroadwayRustKafka.Integration.MovedTest do
  # Pipelines as they are written for the other connectors, with another module's name in the place of
  # theirs, and nothing else.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.Producer

  @broadway_kafka """
  defmodule MyApp.FromBroadwayKafka do
    use Broadway

    alias Broadway.Message

    def start_link(_opts) do
      Broadway.start_link(__MODULE__,
        name: __MODULE__,
        producer: [
          module:
            {BroadwayKafka.Producer,
             [
               hosts: [{:"127.0.0.1", PORT}],
               group_id: "GROUP",
               topics: ["TOPIC"]
             ]},
          concurrency: 1
        ],
        processors: [default: [concurrency: 10]],
        batchers: [default: [batch_size: 100, batch_timeout: 200, concurrency: 10]]
      )
    end

    @impl true
    def handle_message(_processor, message, _context),
      do: Message.update_data(message, &{&1, String.to_integer(&1) * 2})

    @impl true
    def handle_batch(_batcher, messages, info, _context) do
      {topic, partition} = info.batch_key
      send(:from_broadway_kafka, {:batch, topic, partition, Enum.map(messages, & &1.data)})
      messages
    end
  end
  """

  @klife """
  defmodule MyApp.FromKlife do
    use Broadway

    def start_link(_opts) do
      Broadway.start_link(__MODULE__,
        name: __MODULE__,
        producer: [
          module:
            {OffBroadwayKlife.Producer,
             client: MyApp.KafkaClient,
             group_name: "GROUP",
             topics: [[name: "TOPIC", offset_reset_policy: :earliest]],
             receive_interval: 500},
          concurrency: 1
        ],
        processors: [default: [concurrency: 2]]
      )
    end

    @impl true
    def handle_message(_processor, message, _context) do
      %Klife.Record{value: value, offset: offset} = message.data
      send(:from_klife, {:record, offset, value})
      message
    end
  end
  """

  # Compiles it under the name of our producer, and starts it.
  defp start(source, replacements) do
    source =
      Enum.reduce(replacements, source, fn {word, text}, source ->
        assert source =~ word
        String.replace(source, word, text)
      end)

    [{module, _}] = Code.compile_string(source)
    assert {:ok, _} = start_supervised(module)
    module
  end

  defp ours, do: inspect(Producer)

  test "a pipeline written for broadway_kafka runs under another module's name", %{kafka: kafka} do
    Process.register(self(), :from_broadway_kafka)
    topic = create_topic(kafka, 2)
    group = random_name("group_1")
    [broker | _] = String.split(kafka.bootstrap, ",")
    [_, port] = String.split(broker, ":")
    names = [{"PORT", port}, {"GROUP", group}, {"TOPIC", topic}]
    TestPipeline.listen(MyApp.FromBroadwayKafka)
    start(@broadway_kafka, [{"BroadwayKafka.Producer", ours()} | names])

    # Its default is the end of each partition.
    await_assigned(%TestPipeline{name: MyApp.FromBroadwayKafka, group: group}, 2)
    fill(kafka, topic, 2, 50)

    for partition <- [0, 1],
        do: assert(batched(topic, partition, 50) == for(n <- 1..50, do: {"#{n}", n * 2}))

    await_committed(kafka, group, each(topic, 2, 50))
  end

  defp batched(_topic, _partition, 0), do: []

  defp batched(topic, partition, count) do
    assert_receive {:batch, ^topic, ^partition, data}, 15_000
    data ++ batched(topic, partition, count - length(data))
  end

  # Klife's groups are KIP-848's, which a mock cluster has not.
  @tag :broker
  test "a pipeline written for off_broadway_klife runs under another module's name", %{
    kafka: kafka
  } do
    Process.register(self(), :from_klife)
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)
    group = random_name("my-broadway-group")
    client = Module.concat(__MODULE__, KafkaClient)
    connection = [bootstrap_servers: String.split(kafka.bootstrap, ","), ssl: false]
    Application.put_env(:off_broadway_rust_kafka, client, connection: connection)
    on_exit(fn -> Application.delete_env(:off_broadway_rust_kafka, client) end)
    names = [{"MyApp.KafkaClient", inspect(client)}, {"GROUP", group}, {"TOPIC", topic}]
    start(@klife, [{"OffBroadwayKlife.Producer", ours()} | names])

    for n <- 1..20 do
      value = "#{n}"
      offset = n - 1
      assert_receive {:record, ^offset, ^value}, 15_000
    end

    await_committed(kafka, group, each(topic, 1, 20))
  end
end
