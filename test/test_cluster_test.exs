defmodule OffBroadwayRustKafka.TestClusterTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Error, Kafka, Native, TestCluster}

  doctest TestCluster

  defp refused(function), do: assert_raise(ArgumentError, function).message

  describe "a cluster" do
    for {options, expected} <- [
          {:orders, "expected a keyword list of options, got: :orders"},
          {[topic: "orders"], "unknown options [:topic]"},
          {[topics: "orders"], ":topics option: expected a list of topics, got: \"orders\""},
          {[topics: [:orders]], "[name: \"orders\", partitions: 4], with a name"},
          {[topics: ["or ders"]], "got: \"or ders\""},
          {[topics: [""]], "got: \"\""},
          {[topics: [nil: 4]], "got: {nil, 4}"},
          {[topics: [orders: 0]], "expected partitions between 1 and 10000, got: 0"},
          {[topics: [{"orders", "4"}]], "got: \"4\""},
          {[topics: [[name: "orders", partition: 4]]], "got: [name: \"orders\", partition: 4]"},
          {[topics: [[partitions: 4]]], "got: [partitions: 4]"},
          {[topics: ["orders", orders: 2]], "expected each topic once, got \"orders\" twice"},
          {[brokers: 0], ":brokers option: expected brokers between 1 and 100, got: 0"},
          {[name: "kafka"], ":name option: expected an atom, {:global, term}"},
          {[name: nil], "got: nil"}
        ] do
      test "is refused #{inspect(options)}, before it starts" do
        options = unquote(Macro.escape(options))

        for start <- [&TestCluster.start_link/1, &TestCluster.child_spec/1] do
          message = refused(fn -> start.(options) end)
          assert message =~ "invalid options given to OffBroadwayRustKafka.TestCluster: "
          assert message =~ unquote(expected)
        end
      end
    end

    test "has the topics that it is given, in each form" do
      topics = [
        "one",
        {"two", 2},
        {:three, 3},
        [name: "four", partitions: 4],
        [name: "one-too"]
      ]

      cluster = start_supervised!({TestCluster, topics: topics, brokers: 2})

      for {topic, partitions} <- [
            {"one", 1},
            {"two", 2},
            {"three", 3},
            {"four", 4},
            {"one-too", 1}
          ] do
        committed = TestCluster.committed(cluster, "group", topic)
        assert committed == Map.new(0..(partitions - 1), &{&1, nil})
      end
    end

    test "can have a name, and is not the only one under a supervisor then" do
      start_supervised!({TestCluster, name: __MODULE__.A, topics: ["orders"]})
      start_supervised!({TestCluster, name: __MODULE__.B, topics: ["orders"]})
      assert TestCluster.produce(__MODULE__.A, "orders", "book") == [0]
      assert TestCluster.hosts(__MODULE__.A) != TestCluster.hosts(__MODULE__.B)
      assert stop_supervised(__MODULE__.A) == :ok
      assert TestCluster.produce(__MODULE__.B, "orders", "book") == [0]
    end

    test "tells its brokers as hosts and as one string" do
      cluster = start_supervised!({TestCluster, brokers: 3})
      hosts = TestCluster.hosts(cluster)
      assert [{"127.0.0.1", _}, {"127.0.0.1", _}, {"127.0.0.1", _}] = Enum.uniq(hosts)

      assert TestCluster.bootstrap(cluster) ==
               Enum.map_join(hosts, ",", fn {host, port} -> "#{host}:#{port}" end)
    end
  end

  describe "a call" do
    setup do
      %{cluster: start_supervised!({TestCluster, topics: ["orders"]})}
    end

    for {function, arguments, expected} <- [
          {:create_topic, ["or ders"], "create_topic/3: expected the name of a topic"},
          {:create_topic, ["more", 0], "expected partitions between 1 and 10000, got: 0"},
          {:produce, [:orders, "v"], "produce/4: expected the name of a topic"},
          {:produce, ["orders", 1], "expected a record to be its value, a map or a keyword list"},
          {:produce, ["orders", ["v", 1]], "got: 1"},
          {:produce, ["orders", ["v" | "w"]], "expected a list of records, got: [\"v\" | \"w\"]"},
          {:produce, ["orders", [["v"]]], "got: [\"v\"]"},
          {:produce, ["orders", [body: "v"]], "expected a record to have each of [:partition, "},
          {:produce, ["orders", [%{"value" => "v"}]], "got: %{\"value\" => \"v\"}"},
          {:produce, ["orders", [key: "a", key: "b"]], "at most once"},
          {:produce, ["orders", [value: 1]],
           "expected a binary or nil as the :value of a record"},
          {:produce, ["orders", [key: :a]], "expected a binary or nil as the :key of a record"},
          {:produce, ["orders", [partition: -1]], "a number from 0 on as the :partition"},
          {:produce, ["orders", [partition: 2 ** 31]], "a number from 0 on as the :partition"},
          {:produce, ["orders", [ts: 0]], "expected milliseconds above 0 as the :ts"},
          {:produce, ["orders", [headers: %{"a" => "b"}]], "as the :headers of a record"},
          {:produce, ["orders", [headers: [{"a", 1}]]], "as the :headers of a record"},
          {:produce, ["orders", [headers: [{"a\0", "b"}]]], "as the :headers of a record"},
          {:produce, ["orders", [headers: [{<<255>>, "b"}]]], "as the :headers of a record"},
          {:produce, ["orders", "v", [wait: 1]], "options out of [:timeout], got: [wait: 1]"},
          {:produce, ["orders", "v", 1_000], "options out of [:timeout], got: 1000"},
          {:produce, ["orders", "v", [timeout: 0]], ":timeout option: expected milliseconds"},
          {:committed, [:group, "orders"], "committed/4: invalid group: expected a non-empty"},
          {:committed, ["", "orders"], "got: \"\""},
          {:committed, ["group", nil], "expected the name of a topic"},
          {:committed, ["group", "orders", [offsets: %{}]], "options out of [:timeout]"},
          {:await_committed, ["group", "or/ders"], "await_committed/4: expected the name"},
          {:await_committed, ["group", "orders", [offsets: 5]], "%{0 => 5}, got: 5"},
          {:await_committed, ["group", "orders", [offsets: %{}]], "got: %{}"},
          {:await_committed, ["group", "orders", [offsets: %{0 => -1}]], "got: %{0 => -1}"},
          {:broker, [2, :down], "broker/3: expected a broker between 1 and 1, or :all, got: 2"},
          {:broker, [-1, :down], "got: -1"},
          {:broker, [1, :gone], "expected :up, :down or {:rtt, milliseconds"},
          {:broker, [1, {:rtt, -1}], "got: {:rtt, -1}"},
          {:request_errors, [:metadata, [:transport]],
           "request_errors/3: expected a request out"},
          {:request_errors, [1, [:transport]], "got: 1"},
          {:request_errors, [:fetch, :transport], "expected a list of errors"},
          {:request_errors, [:fetch, [:not_leader]],
           "such as :not_leader_for_partition, got: :not"},
          {:request_errors, [:fetch, [6]], "expected an error of Kafka's"},
          # One that only librdkafka itself knows.
          {:request_errors, [:fetch, [:all_brokers_down]], "got: :all_brokers_down"},
          {:topic_error, [nil, :unknown], "topic_error/3: expected the name of a topic"},
          {:topic_error, ["orders", nil], "expected an error of Kafka's"}
        ] do
      test "#{function} is refused #{inspect(arguments)}", %{cluster: cluster} do
        arguments = [cluster | unquote(Macro.escape(arguments))]
        message = refused(fn -> apply(TestCluster, unquote(function), arguments) end)
        assert message =~ "invalid call of OffBroadwayRustKafka.TestCluster.#{unquote(function)}/"
        assert message =~ unquote(expected)
        assert TestCluster.produce(cluster, "orders", "first") == [0]
      end
    end

    test "that Kafka refuses raises its error", %{cluster: cluster} do
      for {code, call} <- [
            {:topic_already_exists, fn -> TestCluster.create_topic(cluster, "orders") end},
            {:unknown_topic_or_part, fn -> TestCluster.produce(cluster, "ordres", "v") end},
            {:unknown_partition,
             fn -> TestCluster.produce(cluster, "orders", partition: 1, value: "v") end},
            {:unknown_topic_or_part, fn -> TestCluster.committed(cluster, "group", "ordres") end},
            {:unknown_topic_or_part,
             fn -> TestCluster.await_committed(cluster, "group", "ordres") end}
          ] do
        assert %Error{code: ^code, topic: topic} = assert_raise(Error, call)
        assert topic in ["orders", "ordres"]
      end
    end

    test "that waits in vain says what there is", %{cluster: cluster} do
      TestCluster.produce(cluster, "orders", ["a", "b"])
      await = fn -> TestCluster.await_committed(cluster, "group", "orders", timeout: 2_000) end

      assert assert_raise(Error, await) == %Error{
               code: :timed_out,
               message:
                 "after 2000 ms group \"group\" has committed %{0 => nil}, expected %{0 => 2} or more",
               retryable?: true,
               topic: "orders"
             }
    end
  end

  describe "records" do
    setup do
      %{cluster: start_supervised!({TestCluster, topics: [orders: 4]})}
    end

    test "may be one or a list, values or fields, and have their offsets in the order given", %{
      cluster: cluster
    } do
      fields = [partition: 0, key: "k", value: nil, headers: [{"a", "b"}, {"a", nil}], ts: 1]

      for {records, offsets} <- [
            {"v", [0]},
            {fields, [1]},
            {Map.new(fields), [2]},
            {[fields, Map.new(fields), "v"], [3, 4, 5]},
            {nil, [6]},
            {[nil, ""], [7, 0]},
            {[], []}
          ] do
        assert {records, TestCluster.produce(cluster, "orders", records)} == {records, offsets}
      end
    end

    test "without a key go round the partitions, and those of a key stay together", %{
      cluster: cluster
    } do
      assert TestCluster.produce(cluster, "orders", List.duplicate("v", 6)) == [0, 0, 0, 0, 1, 1]
      [before] = TestCluster.produce(cluster, "orders", key: "order-7", value: "v")
      records = for n <- 1..5, do: %{key: "order-7", value: "#{n}"}
      assert TestCluster.produce(cluster, "orders", records) == for(n <- 1..5, do: before + n)
    end
  end

  test "a stop does not wait for a call that waits for brokers" do
    cluster = start_supervised!({TestCluster, topics: ["orders"]})
    TestCluster.broker(cluster, :all, :down)

    call =
      Task.async(fn ->
        record = [partition: 0, value: "v"]
        produce = fn -> TestCluster.produce(cluster, "orders", record, timeout: 5_000) end
        assert_raise(Error, produce)
      end)

    Kafka.await(5_000, fn ->
      with {_, {Native, name, _}} <- Process.info(call.pid, :current_function),
           do: name,
           else: (_ -> {:not_yet, "nothing waits for brokers"})
    end)

    {micros, :ok} = :timer.tc(fn -> stop_supervised(TestCluster) end)
    assert micros < 4_000_000
    assert catch_exit(TestCluster.hosts(cluster))
    assert %Error{code: :timed_out} = Task.await(call, 15_000)
  end
end
