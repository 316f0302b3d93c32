defmodule OffBroadwayRustKafka.TestClusterPipelineTest do
  # A user's pipelines on clusters of their own; these need no other.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Error, Producer, Telemetry, TestCluster}

  @moduletag :capture_log

  defmodule Pipeline do
    use Broadway

    def start_link(options) do
      Broadway.start_link(__MODULE__,
        name: options[:name],
        context: options[:test],
        producer: [module: {Producer, options[:kafka]}],
        processors: [default: [concurrency: 2]]
      )
    end

    @impl Broadway
    def handle_message(_processor, message, test) do
      send(test, {:handled, self(), message.data, message.metadata})
      message
    end
  end

  # Its name.
  defp start(cluster, options \\ []) do
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"

    kafka =
      [group_id: "group", topics: ["orders"]]
      |> Keyword.merge(TestCluster.producer_options(cluster))
      |> Keyword.merge(options)

    child = {Pipeline, name: name, test: self(), kafka: kafka}
    start_supervised!(Supervisor.child_spec(child, id: name, restart: :temporary))
    name
  end

  defp listen(name) do
    :ok = :telemetry.attach_many(name, Telemetry.events(), &__MODULE__.tell/4, {self(), name})
    on_exit(fn -> :telemetry.detach(name) end)
  end

  def tell([_, event], _, metadata, {test, name}),
    do: if(metadata.name == name, do: send(test, {event, metadata}))

  defp cluster(options \\ [topics: ["orders"]]), do: start_supervised!({TestCluster, options})

  test "a pipeline gets what is produced, as it is, and commits it" do
    cluster = cluster()
    start(cluster)
    # With the default :latest: nothing is missed once the partitions are there.
    assert TestCluster.await_committed(cluster, "group", "orders") == %{0 => 0}

    headers = [{"trace", "1"}, {"none", nil}]
    record = %{key: "7", value: "book", headers: headers, ts: 1_700_000_000_000}
    assert TestCluster.produce(cluster, "orders", [record, [key: "7"]]) == [0, 1]
    assert TestCluster.await_committed(cluster, "group", "orders") == %{0 => 2}
    assert TestCluster.committed(cluster, "group", "orders") == %{0 => 2}
    assert TestCluster.committed(cluster, "another", "orders") == %{0 => nil}

    # All is handled before it is committed.
    assert_received {:handled, _, "book",
                     %{offset: 0, key: "7", ts: 1_700_000_000_000} = metadata}

    assert metadata.headers == headers
    assert_received {:handled, _, nil, %{offset: 1, key: "7"}}
  end

  test "waiting for some offsets is over when they are committed" do
    cluster = cluster(topics: [orders: 2])
    start(cluster, offset_reset_policy: :earliest)
    TestCluster.produce(cluster, "orders", List.duplicate("v", 5))
    some = [offsets: %{1 => 1}]
    assert %{1 => at} = TestCluster.await_committed(cluster, "group", "orders", some)
    assert at in 1..2
    assert TestCluster.await_committed(cluster, "group", "orders") == %{0 => 3, 1 => 2}
  end

  test "two clusters at once have topics, records and groups of their own" do
    clusters =
      for id <- [:a, :b] do
        cluster = start_supervised!({TestCluster, topics: ["orders"]}, id: id)
        {id, cluster, start(cluster, offset_reset_policy: :earliest)}
      end

    for {id, cluster, _} <- clusters,
        do: assert(TestCluster.produce(cluster, "orders", "#{id}") == [0])

    for {_, cluster, _} <- clusters,
        do: assert(TestCluster.await_committed(cluster, "group", "orders") == %{0 => 1})

    assert_received {:handled, _, "a", %{offset: 0}}
    assert_received {:handled, _, "b", %{offset: 0}}
    refute_received {:handled, _, _, _}
  end

  test "a pipeline that starts again in its group goes on where it was" do
    cluster = cluster()

    # A member that left is waited for until its session ends, less a second.
    options = [
      offset_reset_policy: :earliest,
      config: ["fetch.wait.max.ms": 10, "session.timeout.ms": 2_000, "heartbeat.interval.ms": 200]
    ]

    name = start(cluster, options)
    TestCluster.produce(cluster, "orders", "before")
    TestCluster.await_committed(cluster, "group", "orders")
    Broadway.stop(name)
    TestCluster.produce(cluster, "orders", "after")
    start(cluster, options)
    assert TestCluster.await_committed(cluster, "group", "orders") == %{0 => 2}
    assert_received {:handled, _, "before", _}
    assert_received {:handled, _, "after", _}
    refute_received {:handled, _, _, _}
  end

  describe "faults" do
    test "a broker that is down answers nobody, and all goes on when it is up" do
      cluster = cluster()
      name = start(cluster, offset_reset_policy: :earliest)
      listen(name)
      TestCluster.await_committed(cluster, "group", "orders")
      TestCluster.broker(cluster, 1, :down)
      assert_receive {:error, %{error: %Error{code: :all_brokers_down}}}, 10_000
      produce = fn -> TestCluster.produce(cluster, "orders", "v", timeout: 100) end
      assert %Error{retryable?: true} = assert_raise(Error, produce)
      TestCluster.broker(cluster, 1, :up)
      TestCluster.produce(cluster, "orders", "last")
      TestCluster.await_committed(cluster, "group", "orders")
      assert_received {:handled, _, "last", _}
    end

    test "a round-trip time delays every answer, until it is 0 again" do
      cluster = cluster(topics: ["orders"], brokers: 2)
      TestCluster.produce(cluster, "orders", "v")
      TestCluster.broker(cluster, :all, {:rtt, 200})
      {micros, _} = :timer.tc(fn -> TestCluster.produce(cluster, "orders", "v") end)
      assert micros >= 200_000
      TestCluster.broker(cluster, :all, {:rtt, 0})
      TestCluster.produce(cluster, "orders", "v")
      # Of several, as one may be slow for other reasons.
      times =
        for _ <- 1..5,
            do: elem(:timer.tc(fn -> TestCluster.produce(cluster, "orders", "v") end), 0)

      assert Enum.min(times) < 200_000
    end

    test "a request fails by each error once, and then no more" do
      cluster = cluster()
      name = start(cluster)
      listen(name)
      TestCluster.await_committed(cluster, "group", "orders")
      # The second is let through.
      errors = [:offset_metadata_too_large, :no_error]
      TestCluster.request_errors(cluster, :offset_commit, errors)
      TestCluster.produce(cluster, "orders", "v")
      assert_receive {:commit_failed, %{error: %Error{code: :offset_metadata_too_large}}}, 10_000
      assert TestCluster.await_committed(cluster, "group", "orders") == %{0 => 1}
    end

    test "a topic's error is everybody's, until it is taken back" do
      cluster = cluster(topics: ["orders", "refunds"])
      TestCluster.topic_error(cluster, "orders", :topic_authorization_failed)
      produce = fn -> TestCluster.produce(cluster, "orders", "v") end
      assert %Error{code: :topic_authorization_failed} = assert_raise(Error, produce)
      assert TestCluster.produce(cluster, "refunds", "v") == [0]
      TestCluster.topic_error(cluster, "orders", :no_error)
      assert produce.() == [0]
    end

    test "every request that can be named can be told to fail" do
      cluster = cluster()

      for request <- TestCluster.Faults.requests(),
          do: assert(TestCluster.request_errors(cluster, request, []) == :ok)
    end
  end

  describe "a cluster that stops before its pipeline" do
    test "does not hang it, and the pipeline stops as in an outage" do
      cluster = cluster()
      name = start(cluster, offset_reset_policy: :earliest)
      TestCluster.produce(cluster, "orders", "v")
      assert_receive {:handled, _, "v", _}, 10_000

      log =
        capture_log(fn ->
          {micros, :ok} = :timer.tc(fn -> TestCluster.stop(cluster) end)
          assert micros < 5_000_000
          {micros, :ok} = :timer.tc(fn -> Broadway.stop(name) end)
          assert micros < 5_000_000
        end)

      # Other tests write there too.
      refute log =~ ~r/#{Regex.escape(inspect(name))}\S* terminating/
      refute Process.whereis(name)
    end

    test "is gone, also when it is killed, and others live on" do
      cluster = cluster()
      other = start_supervised!({TestCluster, topics: ["orders"]}, id: :other)
      name = start(cluster)
      start(other, offset_reset_policy: :earliest)
      TestCluster.await_committed(cluster, "group", "orders")
      monitor = Process.monitor(cluster)
      Process.exit(cluster, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}, 5_000
      {micros, :ok} = :timer.tc(fn -> Broadway.stop(name) end)
      assert micros < 5_000_000
      TestCluster.produce(other, "orders", "v")
      assert TestCluster.await_committed(other, "group", "orders") == %{0 => 1}
    end

    test "ends by a shutdown as by a call, in either order" do
      for strategy <- [:cluster_first, :pipeline_first] do
        {:ok, cluster} = TestCluster.start_link(topics: ["orders"])
        name = :"#{__MODULE__}#{System.unique_integer([:positive])}"
        kafka = [group_id: "group", topics: ["orders"]] ++ TestCluster.producer_options(cluster)
        {:ok, pipeline} = Pipeline.start_link(name: name, test: self(), kafka: kafka)
        TestCluster.await_committed(cluster, "group", "orders")

        order = if strategy == :cluster_first, do: [cluster, pipeline], else: [pipeline, cluster]

        for pid <- order do
          Process.unlink(pid)
          monitor = Process.monitor(pid)
          Process.exit(pid, :shutdown)
          assert_receive {:DOWN, ^monitor, _, _, :shutdown}, 5_000
        end
      end
    end
  end
end
