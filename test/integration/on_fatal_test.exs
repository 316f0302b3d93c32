defmodule OffBroadwayRustKafka.Integration.OnFatalTest do
  # Needs clusters that refuse when they are told to.
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.Error

  @key {:namedCurve, :secp256r1}

  setup do
    kafka = Kafka.own()
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    %{kafka: kafka, topic: topic}
  end

  defp start(context, producer, options \\ []) do
    pipeline = TestPipeline.start(context.kafka, [context.topic], [producer: producer] ++ options)
    {pipeline, Process.monitor(pipeline.name)}
  end

  defp refuse(kafka, request, code, times),
    do: TestCluster.request_errors(kafka.cluster, request, List.duplicate(code, times))

  defp assert_told(%{name: name}, event, code) do
    assert_receive {:telemetry, ^name, ^event, _, %{error: %Error{code: ^code} = error}}, 15_000
    assert %Error{fatal?: true, retryable?: false} = error
    error
  end

  test "a group that is forbidden is told, and consumed by itself once it is permitted",
       context do
    # One answer can be lost: librdkafka gives its bootstrap connection up once it knows the brokers.
    :ok = refuse(context.kafka, :find_coordinator, :group_authorization_failed, 2)
    {pipeline, monitor} = start(context, [])
    assert_told(pipeline, :error, :group_authorization_failed)
    await_committed(context.kafka, pipeline.group, each(context.topic, 1, 10))
    refute_received {:DOWN, ^monitor, _, _, _}
  end

  test "a topic that is forbidden later is told, and goes on without a gap once it is permitted",
       context do
    %{kafka: kafka, topic: topic} = context
    {pipeline, monitor} = start(context, [])
    await_committed(kafka, pipeline.group, each(topic, 1, 10))
    :ok = refuse(kafka, :fetch, :topic_authorization_failed, 1)
    error = assert_told(pipeline, :error, :topic_authorization_failed)
    assert {error.topic, error.partition} == {topic, 0}
    fill(kafka, topic, 1, 10)
    await_committed(kafka, pipeline.group, each(topic, 1, 20))
    pipeline |> handled_so_far() |> assert_exact(each(topic, 1, 0), each(topic, 1, 20))
    refute_received {:DOWN, ^monitor, _, _, _}
  end

  test "commits that are forbidden are told one by one, and made once they are permitted",
       context do
    :ok = refuse(context.kafka, :offset_commit, :group_authorization_failed, 3)
    {pipeline, _} = start(context, [])
    for _ <- 1..3, do: assert_told(pipeline, :commit_failed, :group_authorization_failed)
    await_committed(context.kafka, pipeline.group, each(context.topic, 1, 10))
  end

  test "commits that fail for a while are counted one by one, and made in the end", context do
    codes = [:coordinator_load_in_progress, :request_timed_out, :coordinator_load_in_progress]
    :ok = TestCluster.request_errors(context.kafka.cluster, :offset_commit, codes)
    {%{name: name} = pipeline, _} = start(context, on_fatal: :stop)
    await_committed(context.kafka, pipeline.group, each(context.topic, 1, 10))
    assert_received {:telemetry, ^name, :commit_failed, %{count: 1}, %{error: error}}
    assert %Error{retryable?: true, fatal?: false} = error
  end

  test "on_fatal: :stop ends the pipeline once what is in flight was handled and committed",
       context do
    test = self()

    hold = fn %{metadata: %{offset: offset}} = message ->
      if offset < 2, do: TestPipeline.hold(test, offset)
      message
    end

    options = [handle: hold, processors: [max_demand: 2, concurrency: 1]]
    {pipeline, monitor} = start(context, [on_fatal: :stop], options)
    assert_receive {:held, handler, 0}, 15_000
    # A refusal of what is committed at the start would end it before it has the next record.
    await_committed(context.kafka, pipeline.group, each(context.topic, 1, 0))
    :ok = refuse(context.kafka, :offset_commit, :group_authorization_failed, 1)
    send(handler, :go)
    assert_receive {:held, handler, 1}, 15_000
    assert_told(pipeline, :commit_failed, :group_authorization_failed)
    refute_received {:DOWN, ^monitor, _, _, _}
    send(handler, :go)
    assert_receive {:DOWN, ^monitor, _, _, {:shutdown, error}}, 15_000
    assert %Error{code: :group_authorization_failed} = error
    assert [_ | _] = handled = handled_so_far(pipeline)
    await_committed(context.kafka, pipeline.group, each(context.topic, 1, length(handled)))
  end

  test "on_fatal: :stop ends the pipeline by an error that names the topic, and the log says what to do",
       context do
    log =
      capture_log(fn ->
        {pipeline, monitor} = start(context, on_fatal: :stop)
        await_committed(context.kafka, pipeline.group, each(context.topic, 1, 10))
        :ok = refuse(context.kafka, :fetch, :topic_authorization_failed, 1)
        assert_receive {:DOWN, ^monitor, _, _, {:shutdown, %Error{} = error}}, 15_000
        assert %{code: :topic_authorization_failed, topic: topic, partition: 0} = error
        assert topic == context.topic
      end)

    assert log =~ "What to do: permit the user to READ and DESCRIBE the topic"
    assert log =~ "the pipeline ends, as on_fatal: :stop has it, after topic_authorization_failed"
  end

  # OTP's public_key, which makes certificates, is there with Hex's libraries only.
  @tag :hex
  test "on_fatal: :stop ends the pipeline where no broker's certificate can be trusted" do
    kafka = %Kafka{bootstrap: "localhost:#{listen_untrusted()}"}
    producer = [on_fatal: :stop, config: ["security.protocol": "ssl"]]
    options = [producer: producer, watch_end: true]
    %{name: name} = pipeline = TestPipeline.start(kafka, ["orders"], options)
    assert_told(pipeline, :error, :ssl)
    assert_receive {:ended, ^name, {:shutdown, %Error{code: :ssl}}}, 15_000
  end

  # For TLS, by a certificate that nobody signed whom a client trusts.
  defp listen_untrusted do
    {:ok, _} = Application.ensure_all_started(:ssl)
    chain = %{root: [key: @key], intermediates: [], peer: [key: @key]}
    chains = %{server_chain: chain, client_chain: chain}
    %{server_config: config} = :public_key.pkix_test_data(chains)
    {:ok, socket} = :ssl.listen(0, [active: false] ++ Keyword.take(config, [:cert, :key]))
    {:ok, {_, port}} = :ssl.sockname(socket)
    spawn_link(fn -> accept(socket) end)
    port
  end

  # The client breaks the handshake off.
  defp accept(socket) do
    with {:ok, connection} <- :ssl.transport_accept(socket), do: :ssl.handshake(connection, 5_000)
    accept(socket)
  end
end
