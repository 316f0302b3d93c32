defmodule OffBroadwayRustKafka.FaultsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Error, Producer}

  test "a stop is not held up by brokers that take connections and say nothing" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    pipeline = TestPipeline.start(%Kafka{bootstrap: "127.0.0.1:#{port}"}, ["orders"])
    {:ok, _} = :gen_tcp.accept(socket, 5_000)
    {micros, _} = :timer.tc(fn -> stop(pipeline) end)
    assert micros < 2_000_000
  end

  test "brokers that come back are used again, and nothing is lost" do
    kafka = own()
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    before = handled(pipeline, 20)
    :ok = TestCluster.broker(kafka.cluster, :all, :down)
    assert_receive {:telemetry, ^name, :error, _, %{error: %{code: :all_brokers_down}}}, 10_000
    :ok = TestCluster.broker(kafka.cluster, :all, :up)
    fill(kafka, topic, 2, 10)
    await_committed(kafka, pipeline.group, each(topic, 2, 20), 30_000)
    assert_complete(before ++ handled_so_far(pipeline), all(topic, 2), 20)
  end

  for assignor <- ["cooperative-sticky", "range"] do
    test "connections that are lost in the middle of a drain hold nobody up, under #{assignor}" do
      kafka = own()
      topic = create_topic(kafka, 4)
      fill(kafka, topic, 4, 10)
      group = random_name("group")
      test = self()
      once = :atomics.new(1, [])

      handle = fn message ->
        if :atomics.add_get(once, 1, 1) == 1, do: TestPipeline.hold(test, :first)
        message
      end

      config = ["partition.assignment.strategy": unquote(assignor)]
      options = [group: group, producer: [config: config]]
      %{name: name} = first = TestPipeline.start(kafka, [topic], [handle: handle] ++ options)
      assert_receive {:held, handler, :first}, 10_000
      second = TestPipeline.start(kafka, [topic], options)
      await_rebalance()
      :ok = TestCluster.broker(kafka.cluster, :all, :down)
      assert_receive {:telemetry, ^name, :error, _, _}, 10_000
      send(handler, :go)
      :ok = TestCluster.broker(kafka.cluster, :all, :up)
      fill(kafka, topic, 4, 10)
      await_committed(kafka, group, each(topic, 4, 20), 30_000)
      {micros, of_first} = :timer.tc(fn -> stop(first) end)
      assert micros < 5_000_000
      assert_complete(of_first ++ stop(second), all(topic, 4), 20)
    end
  end

  # A mock group meets within its session, less a second.
  defp await_rebalance, do: pass(1_000)

  describe "requests that fail for a while" do
    for {what, request, error} <- [
          {"fetches from a broker that leads no more", :fetch, :not_leader_for_partition},
          {"fetches of a partition that is unknown", :fetch, :unknown_topic_or_part},
          {"commits while the coordinator loads", :offset_commit, :coordinator_load_in_progress},
          {"commits while the coordinator is away", :offset_commit, :coordinator_not_available},
          {"commits to a coordinator that is none any more", :offset_commit, :not_coordinator},
          {"commits that take too long", :offset_commit, :request_timed_out},
          {"looks at committed offsets while the coordinator loads", :offset_fetch,
           :coordinator_load_in_progress},
          {"heartbeats during a rebalance", :heartbeat, :rebalance_in_progress},
          {"connections that break during a fetch", :fetch, :transport},
          {"connections that break during a commit", :offset_commit, :transport}
        ] do
      test "lose nothing: #{what}" do
        kafka = own()
        topic = create_topic(kafka, 2)
        fill(kafka, topic, 2, 20)
        errors = List.duplicate(unquote(error), 3)
        :ok = TestCluster.request_errors(kafka.cluster, unquote(request), errors)
        pipeline = TestPipeline.start(kafka, [topic], producer: [commit_interval: 10])
        handled = handled(pipeline, 40)

        :ok = TestCluster.request_errors(kafka.cluster, unquote(request), errors)
        fill(kafka, topic, 2, 20)
        await_committed(kafka, pipeline.group, each(topic, 2, 40), 30_000)
        assert_complete(handled ++ handled_so_far(pipeline), all(topic, 2), 40)
      end
    end

    test "a commit that fails is told, tried again, and goes" do
      kafka = own()
      topic = create_topic(kafka, 1)
      %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
      await_committed(kafka, pipeline.group, each(topic, 1, 0))
      # Not one that librdkafka would try again by itself.
      errors = [:offset_metadata_too_large, :offset_metadata_too_large]
      :ok = TestCluster.request_errors(kafka.cluster, :offset_commit, errors)
      fill(kafka, topic, 1, 3)
      assert_receive {:telemetry, ^name, :commit_failed, %{count: 1}, metadata}, 10_000
      assert %Error{} = metadata.error
      assert [{^topic, 0, _}] = metadata.offsets
      await_committed(kafka, pipeline.group, each(topic, 1, 3))
    end
  end

  describe "bad options" do
    # What each option may be is the options' own test: here, that nothing starts.
    for {what, options, expected} <- [
          {"an unknown option", [topic: "orders"], "unknown options [:topic]"},
          {"a wrong type", [group_id: :orders], ":group_id option"},
          {"no topics", [topics: []], ":topics option"},
          {"no hosts", [hosts: []], ":hosts option"},
          {"a reserved property", [config: ["enable.auto.commit": true]],
           ~s("enable.auto.commit" cannot be set)},
          {"an unknown property", [config: ["fetch.all": true]], ~s("fetch.all")},
          {"an impossible value", [config: ["fetch.min.bytes": -5]], ~s("fetch.min.bytes")}
        ] do
      test "refuse to start: #{what}", %{kafka: kafka} do
        Process.flag(:trap_exit, true)
        pipeline = TestPipeline.new([])
        options = [producer: unquote(Macro.escape(options))]
        broadway = TestPipeline.broadway(pipeline, kafka, ["orders"], options)

        assert {:error, {%ArgumentError{message: message}, _}} =
                 Broadway.start_link(TestPipeline, broadway)

        assert message =~ inspect(Producer)
        assert message =~ unquote(expected)
        assert Process.whereis(pipeline.name) == nil
      end
    end
  end
end
