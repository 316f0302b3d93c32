defmodule OffBroadwayRustKafka.TroubleTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.Error

  # Taken, so that nobody listens there.
  defp unreachable do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    %Kafka{bootstrap: "127.0.0.1:#{port}", client: nil}
  end

  defp assert_error(pipeline, code) do
    name = pipeline.name

    assert_receive {:telemetry, ^name, :error, %{count: 1},
                    %{error: %Error{code: ^code} = error}},
                   15_000

    error
  end

  test "without a broker in reach the pipeline keeps trying, says so, and stops within two seconds" do
    {%{name: name}, log} =
      with_log(fn ->
        pipeline = TestPipeline.start(unreachable(), ["orders"])
        assert %Error{retryable?: true, fatal?: false} = assert_error(pipeline, :all_brokers_down)
        assert_error(pipeline, :transport)
        {micros, :ok} = :timer.tc(fn -> Broadway.stop(pipeline.name) end)
        assert micros < 2_000_000
        pipeline
      end)

    # However often it tries, the log has it once; other tests write there too.
    assert [_] = for(line <- lines(log, name), line =~ "all_brokers_down", do: line)
  end

  defp lines(log, name),
    do: for(line <- String.split(log, "\n"), line =~ "#{inspect(name)}:", do: line)

  test "a pipeline whose brokers come up later begins then" do
    kafka = Kafka.own()
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    :ok = TestCluster.broker(kafka.cluster, 1, :down)
    pipeline = TestPipeline.start(kafka, [topic])
    assert_error(pipeline, :all_brokers_down)
    :ok = TestCluster.broker(kafka.cluster, 1, :up)
    pipeline |> handled(20) |> assert_exact(each(topic, 2, 0), each(topic, 2, 10))
    await_committed(kafka, pipeline.group, each(topic, 2, 10))
  end

  test "brokers that go away in the middle lose nothing, and a stop returns all the same" do
    kafka = Kafka.own()
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    pipeline = TestPipeline.start(kafka, [topic])
    handled(pipeline, 20)
    await_committed(kafka, pipeline.group, each(topic, 2, 10))
    :ok = TestCluster.broker(kafka.cluster, 1, :down)
    assert_error(pipeline, :all_brokers_down)
    {micros, :ok} = :timer.tc(fn -> Broadway.stop(pipeline.name) end)
    assert micros < 2_000_000
  end

  test "brokers that answer too late hold a stop up no longer than Broadway's own shutdown and two seconds" do
    kafka = Kafka.own()
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    options = [producer: [commit_interval: 60_000], broadway: [shutdown: 1_000]]
    pipeline = TestPipeline.start(kafka, [topic], options)
    handled(pipeline, 20)
    :ok = TestCluster.broker(kafka.cluster, 1, {:rtt, 60_000})
    {micros, :ok} = :timer.tc(fn -> Broadway.stop(pipeline.name) end)
    # Of which nearly three are ours; without a bound it would be ten.
    assert micros < 6_000_000
    %{name: name} = pipeline
    assert_received {:telemetry, ^name, :closed, _, %{error: %Error{code: :timed_out}}}
  end

  test "an unknown topic is reported by name, and keeps no other topic waiting", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    unknown = random_name("unknown")
    pipeline = TestPipeline.start(kafka, [topic, unknown], producer: [config: metadata_often()])

    error = assert_error(pipeline, :unknown_topic_or_part)
    assert error.message =~ unknown
    assert pipeline |> handled(5) |> offsets() == each(topic, 1, Enum.to_list(0..4))
  end

  test "a topic that appears later is consumed from its first record on", %{kafka: kafka} do
    later = random_name("later")
    config = metadata_often()
    pipeline = TestPipeline.start(kafka, [later], producer: [config: config])
    assert_error(pipeline, :unknown_topic_or_part)
    create_topic(kafka, 2, name: later)
    fill(kafka, later, 2, 3)
    assert_exact(handled(pipeline, 6), each(later, 2, 0), each(later, 2, 3))
  end

  @tag :broker
  test "a topic without permission is a typed error, not retryable, with its name", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1, name: random_name("denied"))

    if alice = alice() do
      pipeline = TestPipeline.start(alice, [topic], producer: [config: login()])
      error = assert_error(pipeline, :topic_authorization_failed)
      assert %Error{retryable?: false, fatal?: true} = error
      assert error.message =~ topic
    end
  end

  @tag :broker
  test "on_fatal: :stop ends a pipeline that has no permission for a topic, and names the topic",
       %{
         kafka: kafka
       } do
    topic = create_topic(kafka, 1, name: random_name("denied"))

    if alice = alice() do
      producer = [config: login(), on_fatal: :stop]
      %{name: name} = TestPipeline.start(alice, [topic], producer: producer, watch_end: true)
      assert_receive {:ended, ^name, {:shutdown, %Error{} = error}}, 15_000
      assert {error.code, error.topic} == {:topic_authorization_failed, topic}
    end
  end

  for protocol <- [:classic, :consumer] do
    @tag :broker
    test "a group without permission is told, or ends the pipeline, under group_protocol: #{inspect(protocol)}",
         %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      group = random_name("denied")
      producer = [config: login(), group_protocol: unquote(protocol)]

      if alice = alice() do
        trying = TestPipeline.start(alice, [topic], producer: producer, group: group)
        error = assert_error(trying, :group_authorization_failed)
        assert %Error{retryable?: false, fatal?: true} = error
        options = [producer: [on_fatal: :stop] ++ producer, group: group, watch_end: true]
        %{name: ending} = TestPipeline.start(alice, [topic], options)
        assert_receive {:ended, ^ending, {:shutdown, %Error{code: code}}}, 15_000
        assert code == :group_authorization_failed
        assert Process.whereis(trying.name)
      end
    end
  end

  # None on brokers of the user's own, which know no alice.
  defp alice do
    case System.get_env("KAFKA_SASL_BROKERS") do
      none when none in [nil, ""] -> nil
      brokers -> %Kafka{bootstrap: brokers, client: nil}
    end
  end

  defp login do
    [
      "security.protocol": "SASL_PLAINTEXT",
      "sasl.mechanism": "PLAIN",
      "sasl.username": "alice",
      "sasl.password": "alice-secret"
    ]
  end

  # librdkafka looks for missing topics when it refreshes its metadata.
  defp metadata_often, do: ["topic.metadata.refresh.interval.ms": 500]
end
