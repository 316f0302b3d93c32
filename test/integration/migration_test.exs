defmodule OffBroadwayRustKafka.MigrationTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Producer, Record}

  defp hosts(kafka) do
    for broker <- String.split(kafka.bootstrap, ",") do
      [host, port] = String.split(broker, ":")
      {host, String.to_integer(port)}
    end
  end

  defp start(kafka, topics, options, more \\ []) do
    producer = [module: {Producer, options}, concurrency: more[:concurrency] || 1]
    group = options[:group_id] || options[:group_name]

    TestPipeline.start(kafka, topics,
      group: group,
      broadway: Keyword.merge([producer: producer], Keyword.delete(more, :concurrency))
    )
  end

  # Klife's configuration, and what a mock cluster cannot: it has no KIP-848.
  defp klife_client(kafka, more \\ []) do
    client = Module.concat(__MODULE__, "Client#{System.unique_integer([:positive])}")
    connection = [bootstrap_servers: String.split(kafka.bootstrap, ","), ssl: false] ++ more
    Application.put_env(:off_broadway_rust_kafka, client, connection: connection)
    on_exit(fn -> Application.delete_env(:off_broadway_rust_kafka, client) end)
    {client, if(kafka.cluster, do: [group_protocol: :classic], else: [])}
  end

  describe "a pipeline of broadway_kafka" do
    test "with the options of its README runs as it is", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      options = [hosts: hosts(kafka), group_id: random_name("group_1"), topics: [topic]]
      pipeline = start(kafka, [topic], options)

      assert Map.values(await_assigned(pipeline, 2)) == [0, 0]

      produce(kafka, topic, [
        [value: "v", key: "k", headers: [{"h", "1"}], ts: 1_000, partition: 1]
      ])

      assert [message] = handled(pipeline, 1)
      assert message.data == "v"

      assert message.metadata == %{
               topic: topic,
               partition: 1,
               offset: 0,
               key: "k",
               ts: 1_000,
               headers: [{"h", "1"}]
             }

      assert message.batch_key == {topic, 1}
      stop(pipeline)
      assert committed(kafka, options[:group_id], topic, 2)[{topic, 1}] == 1
    end

    test "with every option that it has runs as it is", %{kafka: kafka} do
      topic = create_topic(kafka, 3)
      fill(kafka, topic, 3, 20)

      options = [
        hosts: kafka.bootstrap,
        group_id: random_name("group_1"),
        topics: [topic],
        receive_interval: 100,
        offset_commit_on_ack: true,
        offset_reset_policy: :earliest,
        begin_offset: :assigned,
        shared_client: true,
        group_config: [
          offset_commit_interval_seconds: 5,
          rejoin_delay_seconds: 1,
          max_rejoin_attempts: 5,
          session_timeout_seconds: 10,
          heartbeat_rate_seconds: 2,
          rebalance_timeout_seconds: 30
        ],
        fetch_config: [
          min_bytes: 1,
          max_bytes: 1_048_576,
          max_wait_time: 100,
          max_fetch_retries: 3,
          fetch_retry_backoff_ms: 500
        ],
        client_config: [
          client_id_prefix: "shop-",
          connect_timeout: 5_000,
          request_timeout: 30_000,
          query_api_versions: true,
          allow_topic_auto_creation: false,
          extra_sock_opts: [:inet],
          ssl: false,
          sasl: :undefined
        ]
      ]

      pipeline =
        start(kafka, [topic], options, concurrency: 2, batchers: [default: [batch_size: 5]])

      await_committed(kafka, options[:group_id], each(topic, 3, 20))
      messages = batched(pipeline, 60)
      assert_complete(messages, all(topic, 3), 20)

      for message <- messages,
          do: assert(message.batch_key == {topic, message.metadata.partition})
    end
  end

  describe "a pipeline of off_broadway_klife" do
    test "with the options of its README runs as it is", %{kafka: kafka} do
      [orders, events] = for _ <- 1..2, do: create_topic(kafka, 1)
      {client, on_mock} = klife_client(kafka)

      options = [
        client: client,
        group_name: random_name("my-broadway-group"),
        topics: [[name: orders], [name: events]],
        receive_interval: 500
      ]

      pipeline = start(kafka, [orders, events], options ++ on_mock)
      await_assigned(pipeline, 2)
      produce(kafka, events, [[value: "v", key: "k", headers: [{"h", "1"}], ts: 1_000]])
      assert [message] = handled(pipeline, 1)

      assert message.data == %Klife.Record{
               topic: events,
               partition: 0,
               offset: 0,
               key: "k",
               value: "v",
               timestamp: 1_000,
               headers: [%{key: "h", value: "1"}],
               is_aborted: false
             }

      assert message.metadata == %{}
      assert message.batch_key == {events, 0}
      stop(pipeline)
      assert committed(kafka, options[:group_name], events, 1) == %{{events, 0} => 1}
    end

    test "that asks for broadway_kafka's messages gets them", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      {client, on_mock} = klife_client(kafka)

      options = [
        client: client,
        group_name: random_name("my-broadway-group"),
        topics: [
          [name: topic, offset_reset_policy: :earliest, isolation_level: :read_uncommitted]
        ],
        message_format: :broadway_kafka,
        rebalance_timeout_ms: 60_000,
        committers_count: 2
      ]

      pipeline = start(kafka, [topic], options ++ on_mock, concurrency: 2)
      await_committed(kafka, options[:group_name], each(topic, 1, 10))
      assert [%{data: "1", metadata: %{offset: 0, headers: []}} | _] = handled(pipeline, 10)
    end
  end

  @tag :broker
  @tag :tmp_dir
  test "a login of either logs in, in every shape that it has", %{kafka: kafka, tmp_dir: dir} do
    file = Path.join(dir, "sasl")
    File.write!(file, "alice\nalice-secret\n")

    case System.get_env("KAFKA_SASL_BROKERS") do
      none when none in [nil, ""] ->
        # Brokers of the user's own, which know no alice.
        assert System.get_env("KAFKA_BROKERS")

      brokers ->
        topic = create_topic(kafka, 1)
        fill(kafka, topic, 1, 3)
        options = [hosts: brokers, topics: [topic], offset_reset_policy: :earliest]

        for sasl <- [
              {:plain, "alice", "alice-secret"},
              {:plain, "alice", fn -> "alice-secret" end},
              {:plain, fn -> {"alice", "alice-secret"} end},
              {:plain, file}
            ] do
          group = [group_id: random_name("group"), client_config: [sasl: sasl]]
          pipeline = start(kafka, [topic], options ++ group)
          assert [%{data: "1"} | _] = handled(pipeline, 3)
          stop(pipeline)
        end

        sasl = [
          mechanism: "PLAIN",
          mechanism_opts: [username: "alice", password: "alice-secret"]
        ]

        {client, _} = klife_client(%{kafka | bootstrap: brokers}, sasl_opts: sasl)
        topics = [[name: topic, offset_reset_policy: :earliest]]
        options = [client: client, group_name: random_name("group"), topics: topics]

        assert [%{data: %Klife.Record{value: "1"}} | _] =
                 kafka |> start([topic], options) |> handled(3)
    end
  end

  test "messages that carry records keep a partition's order, and its one processor", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 50)

    for format <- [:record, :klife] do
      pipeline =
        TestPipeline.start(kafka, [topic],
          producer: [message_format: format],
          processors: [concurrency: 4]
        )

      handled = for _ <- 1..200, do: assert_handled(pipeline.name)

      for {partition, messages} <- Enum.group_by(handled, fn {_, data} -> data.partition end) do
        assert for({_, data} <- messages, do: data.offset) == Enum.to_list(0..49)
        assert [_] = messages |> Enum.uniq_by(&elem(&1, 0)), "partition #{partition}"
      end

      kind = if format == :record, do: Record, else: Klife.Record
      for {_, data} <- handled, do: assert(is_struct(data, kind))
      stop(pipeline)
    end
  end

  defp assert_handled(name) do
    assert_receive {:handled, ^name, processor, %{data: data}}, 15_000
    {processor, data}
  end
end
