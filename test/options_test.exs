defmodule OffBroadwayRustKafka.OptionsTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Options.Schema
  alias OffBroadwayRustKafka.{Options, Properties}

  @good [hosts: "localhost:9092", group_id: "group", topics: ["orders"]]

  defp refused(options) do
    message = assert_raise(ArgumentError, fn -> Options.validate!(options) end).message
    assert message =~ "OffBroadwayRustKafka.Producer"
    message
  end

  defp refused(key, value), do: @good |> Keyword.put(key, value) |> refused()

  describe "the options" do
    test "that are required are enough, and the others have their documented defaults" do
      assert Options.validate!(@good) == %Options{
               hosts: ["localhost:9092"],
               group_id: "group",
               topics: [{"orders", :latest}],
               offset_reset_policy: :latest,
               commit_interval: 200,
               drain_timeout: 10_000,
               max_in_flight: nil,
               max_buffered_bytes: 67_108_864,
               chunk_size: nil,
               unacked_timeout: 60_000,
               on_fatal: :retry,
               on_unacked: :report,
               telemetry_interval: 10_000,
               headers: true,
               message_format: :value,
               properties: []
             }
    end

    test "are all documented, each with a type" do
      docs = NimbleOptions.docs(Schema.producer())

      for {key, spec} <- Schema.producer().schema,
          do: assert(docs =~ "`:#{key}` (#{spec[:type_doc]}")
    end

    test "must be a keyword list, and another term is not quoted" do
      for term <- [%{"sasl.password": "hunter2"}, ["hunter2"], "hunter2", nil] do
        message = refused(term)
        assert message =~ "keyword list"
        refute message =~ "hunter2"
      end
    end

    test "that are unknown are named" do
      assert refused(:group, "x") =~ "unknown options [:group]"
    end

    for key <- [:hosts, :group_id, :topics] do
      test "without #{inspect(key)} are refused" do
        assert @good |> Keyword.delete(unquote(key)) |> refused() =~
                 "required #{inspect(unquote(key))} option not found"
      end
    end

    for {key, value, expected} <- [
          {:hosts, [], ":hosts option: expected at least one host"},
          {:hosts, [{"kafka", 70_000}], "port between 1 and 65535, got: 70000"},
          {:group_id, "", ":group_id option: expected a non-empty string, got: \"\""},
          {:group_id, :group, ":group_id option: expected a non-empty string, got: :group"},
          {:group_id, nil, ":group_id option: expected a non-empty string, got: nil"},
          {:offset_reset_policy, :newest, ":offset_reset_policy option: expected :earliest"},
          {:offset_reset_policy, {:timestamp, -1}, "got: {:timestamp, -1}"},
          {:commit_interval, -1, ":commit_interval option: expected milliseconds between 0"},
          {:commit_interval, 1.5, "got: 1.5"},
          {:drain_timeout, :infinity, ":drain_timeout option: expected milliseconds between 0"},
          {:max_in_flight, 0, ":max_in_flight option: expected records between 1"},
          {:max_buffered_bytes, 999_999, ":max_buffered_bytes option: expected bytes between"},
          {:chunk_size, 0, ":chunk_size option: expected records between 1 and 5000, got: 0"},
          {:chunk_size, 5_001, ":chunk_size option: expected records between 1 and 5000"},
          {:chunk_size, "500", ":chunk_size option: expected records between 1 and 5000"},
          {:headers, nil, "got: nil"},
          {:unacked_timeout, 0, ":unacked_timeout option: expected milliseconds between 1"},
          {:unacked_timeout, :never, "or :infinity, got: :never"},
          {:on_unacked, :retry, "got: :retry"},
          {:on_fatal, :ignore, "got: :ignore"},
          {:group_protocol, :eager, "got: :eager"},
          {:instance_id, "", ":instance_id option: expected a name of 1 to 249 letters"},
          {:instance_id, :pod, "got: :pod"},
          {:instance_id, "pod 1", ~s(got: "pod 1")}
        ] do
      test "with #{key}: #{inspect(value)} are refused" do
        assert refused(unquote(key), unquote(Macro.escape(value))) =~ unquote(expected)
      end
    end
  end

  test "refuse librdkafka's own bound of its queues beside max_buffered_bytes, and name both" do
    message = refused(:config, "queued.max.messages.kbytes": 65_536)
    assert message =~ ~s(property "queued.max.messages.kbytes" cannot be set)
    assert message =~ ":max_buffered_bytes option"
  end

  describe "membership" do
    test "is static with an instance_id, and KIP-848's with group_protocol: :consumer" do
      assert Options.validate!([instance_id: "pod-1"] ++ @good).properties ==
               [{"group.instance.id", "pod-1"}]

      assert Options.validate!([group_protocol: :consumer] ++ @good).properties ==
               [{"group.protocol", "consumer"}]

      assert Options.validate!([group_protocol: :classic] ++ @good).properties == []
    end

    for property <- ~w(session.timeout.ms heartbeat.interval.ms partition.assignment.strategy) do
      test "of KIP-848 refuses #{property}, with the reason" do
        options = [group_protocol: :consumer, config: [{unquote(property), "6000"}]] ++ @good
        message = refused(options)
        assert message =~ "property #{inspect(unquote(property))} cannot be set"
        assert message =~ "the broker decides it"
      end
    end
  end

  describe "topics" do
    test "are names or keyword lists, with a policy of their own or the producer's" do
      options =
        Keyword.merge(@good,
          offset_reset_policy: :earliest,
          topics: [
            "orders",
            [name: "events.v1"],
            [topic: "audit_log", offset_reset_policy: :latest],
            [name: "clicks-2", offset_reset_policy: {:timestamp, 1_700_000_000_000}]
          ]
        )

      assert Options.validate!(options).topics == [
               {"orders", :earliest},
               {"events.v1", :earliest},
               {"audit_log", :latest},
               {"clicks-2", {:timestamp, 1_700_000_000_000}}
             ]
    end

    for {topics, expected} <- [
          {[], ":topics option: expected a non-empty list of topic names"},
          {"orders", "expected a non-empty list of topic names or keyword lists"},
          {nil, "got: nil"},
          {["orders" | "audit"], "got: [\"orders\" | \"audit\"]"},
          {[""], ~s(expected a topic name of 1 to 249 letters)},
          {["."], ~s(got: ".")},
          {["or ders"], ~s(got: "or ders")},
          {["^orders.*"], ~s(got: "^orders.*")},
          {[:orders], "expected a topic name, or a keyword list as in [name:"},
          {[name: "orders"], ~s(got: {:name, "orders"})},
          {[[]], "expected one :name, a string"},
          {[[offset_reset_policy: :latest]], "expected one :name, a string"},
          {[[name: :orders]], "expected one :name, a string"},
          {[[name: "orders", topic: "orders"]], "expected one :name, a string"},
          {[[name: "orders", max_bytes: 1]], "unknown or repeated topic options [:max_bytes]"},
          {[[name: "orders", name: "audit"]], "unknown or repeated topic options [:name]"},
          {[[name: "orders", offset_reset_policy: :first]],
           ":offset_reset_policy of a topic: expected :earliest, :latest or {:timestamp, " <>
             "milliseconds since the Unix epoch}, got: :first"},
          {["orders", [name: "orders"]],
           ~s(expected each topic once, got "orders" more than once)}
        ] do
      test "refuse #{inspect(topics)}" do
        assert refused(:topics, unquote(Macro.escape(topics))) =~ unquote(expected)
      end
    end

    test "refuse a name that is longer than Kafka allows" do
      assert refused(:topics, [String.duplicate("x", 250)]) =~ "1 to 249"
    end
  end

  describe "config" do
    test "takes a keyword list, a map or pairs, and values of every simple kind" do
      expected = [
        {"client.id", "me"},
        {"security.protocol", "ssl"},
        {"session.timeout.ms", "6000"}
      ]

      for config <- [
            ["client.id": "me", "security.protocol": :ssl, "session.timeout.ms": 6000],
            %{"client.id" => "me", "security.protocol": :ssl, "session.timeout.ms": 6000},
            [{"client.id", "me"}, {"security.protocol", "ssl"}, {:"session.timeout.ms", "6000"}]
          ] do
        assert Enum.sort(Options.validate!([config: config] ++ @good).properties) == expected
      end

      assert Options.validate!([config: ["socket.keepalive.enable": true]] ++ @good).properties ==
               [{"socket.keepalive.enable", "true"}]
    end

    for {property, instead} <- [
          {"bootstrap.servers", ":hosts"},
          {"metadata.broker.list", ":hosts"},
          {"group.id", ":group_id"},
          {"group.protocol", ":group_protocol"},
          {"group.instance.id", ":instance_id"},
          {"auto.offset.reset", ":offset_reset_policy"},
          {"enable.auto.commit", ":commit_interval"},
          {"auto.commit.interval.ms", ":commit_interval"},
          {"enable.auto.offset.store", ":commit_interval"},
          {"enable.partition.eof", "belongs to the consumer itself"},
          {"check.crcs", "checksums are always verified"},
          {"consume.callback.max.messages", "belongs to the consumer itself"},
          {"log.queue", "belongs to the consumer itself"},
          {"enabled_events", "belongs to the consumer itself"},
          {"rebalance_cb", "not from a configuration"},
          {"error_cb", "not from a configuration"},
          {"opaque", "not from a configuration"},
          {"interceptors", "not from a configuration"},
          {"default_topic_conf", "not from a configuration"}
        ] do
      test "refuses #{property} by name, and says why" do
        message = refused(:config, [{unquote(property), "x"}])
        assert message =~ "property #{inspect(unquote(property))} cannot be set"
        assert message =~ unquote(instead)
      end
    end

    for {config, expected} <- [
          {"sasl.password=hunter2", "got a string (not shown"},
          {:hunter2, "got a term of another kind (not shown"},
          {["sasl.password"], "expected {name, value} pairs, but entry 1 is none"},
          {[{"client.id", "me"}, {"sasl.password", "hunter2", 1}], "entry 2 is none"},
          {[{"client.id", "me"} | "hunter2"], "got an improper list"},
          {[{1, "hunter2"}], "property name as a string or an atom in entry 1"},
          {[{"", "hunter2"}], "property name as a string or an atom in entry 1"},
          {[{"sasl.password", nil}], ~s(for property "sasl.password", got nil)},
          {[{"sasl.password", ["hunter2"]}], ~s(for property "sasl.password", got a list)},
          {[{"sasl.password", "hunter2" <> <<0>>}], "got a binary that is no text"},
          {[{"sasl.password", "hunter2"}, {:"sasl.password", "hunter2"}],
           ~s(expected each property once, got "sasl.password" more than once)}
        ] do
      test "refuses #{inspect(config)} without showing a value" do
        message = refused(:config, unquote(Macro.escape(config)))
        assert message =~ unquote(expected)
        refute message =~ "hunter2"
      end
    end

    test "refuses a drain_timeout that outlasts the patience of the group" do
      assert refused(:config, "max.poll.interval.ms": 19_999) =~
               ":drain_timeout option: expected at most half of the max.poll.interval.ms of " <>
                 "19999, got: 10000"

      options = [config: ["max.poll.interval.ms": 20_000]] ++ @good
      assert Options.validate!(options).drain_timeout == 10_000

      assert refused(:drain_timeout, 150_001) =~ "max.poll.interval.ms of 300000"
    end

    test "is left out when the options are inspected" do
      options = Options.validate!([config: ["sasl.password": "hunter2"]] ++ @good)
      refute inspect(options) =~ "hunter2"
    end
  end

  describe "librdkafka's own check" do
    test "passes properties that it knows" do
      assert Properties.check([{"client.id", "me"}, {"session.timeout.ms", "6000"}]) == :ok
    end

    test "names a property that does not exist" do
      assert Properties.check([{"client.id", "me"}, {"client.idd", "me"}]) ==
               {:error, ~s(unknown librdkafka property "client.idd")}
    end

    test "says how names are written when one has underscores" do
      assert {:error, message} = Properties.check([{"session_timeout_ms", "6000"}])
      assert message =~ ~s(as in "session.timeout.ms")
    end

    test "quotes a value that cannot be" do
      assert {:error, message} = Properties.check([{"session.timeout.ms", "soon"}])
      assert message =~ ~s(invalid value "soon" for librdkafka property "session.timeout.ms")
    end

    test "does not quote the value of a secret" do
      assert {:error, message} = Properties.check([{"ssl.key.pem_password", "hunter2"}])
      refute message =~ "hunter2"

      for name <- ~w(sasl.password ssl.key.password ssl.key.pem ssl.keystore.password
                     sasl.oauthbearer.client.secret sasl.oauthbearer.config) do
        assert Properties.secret?(name)
      end

      # Other clients take these; librdkafka refuses them whatever they say.
      for name <- ~w(sasl.jaas.config ssl_key) do
        assert {:error, message} = Properties.check([{name, "hunter2"}])
        assert message =~ inspect(name)
        refute message =~ "hunter2"
      end
    end
  end
end
