defmodule OffBroadwayRustKafka.Migration.RefusalsTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Options, Properties}

  @good [hosts: "localhost:9092", group_id: "group", topics: ["orders"]]
  @secret "hunter2"

  defp refused(options) do
    options = Keyword.merge(@good, options)
    message = assert_raise(ArgumentError, fn -> Options.validate!(options) end).message
    assert message =~ "invalid options given to OffBroadwayRustKafka.Producer"
    message
  end

  for {options, names} <- [
        {[offset_commit_on_ack: true, commit_interval: 1],
         [":offset_commit_on_ack", ":commit_interval"]},
        {[offset_commit_on_ack: false, commit_interval: 0],
         [":offset_commit_on_ack", ":commit_interval"]},
        {[
           offset_commit_on_ack: false,
           group_config: [offset_commit_interval_seconds: 5],
           commit_interval: 500
         ], [":offset_commit_interval_seconds of :group_config", ":commit_interval"]},
        {[group_config: [group_instance_id: "a"], instance_id: "b"],
         [":group_instance_id of :group_config", ":instance_id", ~s("b")]},
        {[group_name: "other"], [":group_name", ":group_id"]},
        {[group_config: [session_timeout_seconds: 30], config: ["session.timeout.ms": 6_000]],
         [":session_timeout_seconds of :group_config", ~s("session.timeout.ms" in :config)]},
        {[fetch_config: [max_bytes: 5], config: ["fetch.message.max.bytes": 6]],
         [":max_bytes of :fetch_config", ~s("fetch.message.max.bytes" in :config)]},
        {[rebalance_timeout_ms: 60_000, group_config: [rebalance_timeout_seconds: 30]],
         ["max.poll.interval.ms", ":rebalance_timeout"]},
        {[
           client_config: [ssl: [verify: :verify_none]],
           config: ["security.protocol": "plaintext"]
         ], [":ssl of :client_config", ~s("security.protocol" in :config)]},
        {[client_config: [sasl: {:plain, "me", @secret}], config: ["sasl.password": "another"]],
         [":sasl of :client_config", ~s("sasl.password" in :config)]},
        {[message_format: :record, chunk_size: 5], [":message_format", ":chunk_size"]},
        {[client: MyApp.Client, consumer_group: MyApp.Group], [":client", ":consumer_group"]}
      ] do
    test "#{inspect(options)} contradicts itself, and both are named" do
      message = refused(unquote(Macro.escape(options)))
      for name <- unquote(names), do: assert(message =~ name)
      refute message =~ @secret
      refute message =~ "another"
    end
  end

  test "an old option and one of ours that say the same are fine together" do
    for options <- [
          [offset_commit_on_ack: true, commit_interval: 0],
          [offset_commit_on_ack: false, commit_interval: 500],
          [group_name: "group", message_format: :value],
          [group_config: [session_timeout_seconds: 6], config: ["session.timeout.ms": 6_000]],
          [group_config: [group_instance_id: "a"], instance_id: "a"],
          [group_config: [rebalance_timeout_seconds: 60], drain_timeout: 7_000]
        ] do
      assert %Options{} = Options.validate!(Keyword.merge(@good, options))
    end
  end

  for {options, expected} <- [
        {[offset_commit_on_ack: 1], ":offset_commit_on_ack: expected true or false, got: 1"},
        {[begin_offset: 7], ":begin_offset: expected :assigned, got: 7"},
        {[group_config: [session_timeout_seconds: 0]],
         ":session_timeout_seconds of :group_config: expected a number between 1 and 3600, got: 0"},
        {[group_config: [offset_commit_interval_seconds: 0]],
         ":offset_commit_interval_seconds of :group_config: expected a number between 1 and 86400"},
        {[group_config: [sessions: 1]], "unknown option :sessions of :group_config"},
        {[group_config: [heartbeat_rate_seconds: 1, heartbeat_rate_seconds: 2]],
         "expected each option of :group_config once, got :heartbeat_rate_seconds again"},
        {[group_config: %{session_timeout_seconds: 1}],
         "expected a keyword list for :group_config"},
        {[group_config: [group_instance_id: "pod 1"]],
         ":instance_id option: expected a name of 1 to 249 letters"},
        {[fetch_config: [max_bytes: 0]],
         ":max_bytes of :fetch_config: expected a number between 1"},
        {[fetch_config: [size: 1]], "unknown option :size of :fetch_config"},
        {[client_config: [request_timeout: 999]],
         ":request_timeout of :client_config: expected a number between 1000 and 300000, got: 999"},
        {[client_config: [connect_timeout: 0]],
         ":connect_timeout of :client_config: expected a number"},
        {[client_config: [client_id_prefix: 1]],
         ":client_id_prefix of :client_config: expected a string, got: 1"},
        {[client_config: [allow_topic_auto_creation: 1]],
         ":allow_topic_auto_creation of :client_config: expected true or false, got: 1"},
        {[client_config: [restart_delay_seconds: 1]],
         "unknown option :restart_delay_seconds of :client_config"},
        {[client_config: [extra_sock_opts: :inet6]],
         "expected a list for :extra_sock_opts of :client_config"},
        {[client_config: [ssl: [verify: :peer]]],
         ":verify of :ssl of :client_config: expected :verify_peer or :verify_none, got: :peer"},
        {[client_config: [ssl: [cacertfile: 1]]],
         ":cacertfile of :ssl of :client_config: expected a string"},
        {[client_config: [ssl: [ciphers: [%{cipher: :aes}]]]], "of OpenSSL's names"},
        {[client_config: [ssl: [customize_hostname_check: [fqdn_fun: 1]]]],
         "can only have a :match_fun"},
        {[client_config: [ssl: [certs_keys: [%{certfile: "a"}, %{certfile: "b"}]]]],
         "librdkafka has one certificate and key"},
        {[client_config: [ssl: [server_name_indication: {1}]]],
         ":server_name_indication of :ssl of :client_config: expected a string, got: {1}"},
        {[client_config: [ssl: [nonsense: 1]]],
         "unknown option :nonsense of :ssl of :client_config"},
        {[client_config: [sasl: {:plain, "/no/such/file"}]],
         ~s(:sasl of :client_config: cannot read "/no/such/file": no such file)},
        {[rebalance_timeout_ms: 0], ":rebalance_timeout_ms: expected a number between 1"},
        {[default_topic_config: :latest], "expected a keyword list for :default_topic_config"},
        {[topics: [[name: "orders", isolation_level: :dirty]]],
         ":isolation_level of a topic: expected :read_committed or :read_uncommitted, got: :dirty"},
        {[topics: [[name: "orders", fetch_max_bytes: -1]]],
         ":fetch_max_bytes of a topic: expected a number"},
        {[topics: [[name: "orders", nonsense: 1]]],
         "unknown or repeated topic options [:nonsense]"},
        {[message_format: :avro],
         ":message_format option: expected :value, :record or :klife, got: :avro"}
      ] do
    test "#{inspect(options)} is refused with what was expected" do
      assert refused(unquote(Macro.escape(options))) =~ unquote(expected)
    end
  end

  for options <- [
        [client_config: @secret],
        [client_config: [ssl: @secret]],
        [client_config: [ssl: [{:password, @secret} | @secret]]],
        [client_config: [ssl: [password: {@secret}]]],
        [client_config: [ssl: [key: @secret]]],
        [client_config: [ssl: [key: {:RSAPrivateKey, [@secret]}]]],
        [client_config: [ssl: [cacerts: [{@secret}]]]],
        [client_config: [ssl: [certs_keys: [%{password: @secret}, %{password: @secret}]]]],
        [client_config: [sasl: {:plain, "me", {@secret}}]],
        [client_config: [sasl: {:plain, "me", @secret <> <<0>>}]],
        [client_config: [sasl: {:md5, "me", @secret}]],
        [client_config: [sasl: {:callback, MyApp.Auth, @secret}]],
        [client_config: [sasl: [password: @secret]]]
      ] do
    test "#{options |> inspect() |> String.replace(@secret, "…")} is refused without the secret" do
      refute refused(unquote(Macro.escape(options))) =~ @secret
    end
  end

  describe "a secret that is a function" do
    defp check(function) do
      options = [client_config: [sasl: {:plain, "me", function}]] ++ @good
      Properties.check(Options.validate!(options).properties)
    end

    test "is called when the member starts, and may return another" do
      test = self()

      password = fn ->
        send(test, :asked)
        fn -> @secret end
      end

      options = Options.validate!([client_config: [sasl: {:plain, "me", password}]] ++ @good)
      refute_received :asked
      assert {:ok, properties} = Properties.open(options.properties)
      assert {"sasl.password", @secret} in properties
      assert_received :asked
    end

    test "is named by its property when it fails, and what it says stays hidden" do
      for function <- [
            fn -> raise @secret end,
            fn -> throw(@secret) end,
            fn -> exit(@secret) end,
            fn -> {@secret} end
          ] do
        assert {:error, message} = check(function)
        assert message =~ "sasl.password"
        refute message =~ @secret
      end
    end

    test "of both must return both" do
      options = [client_config: [sasl: {:plain, fn -> @secret end}]] ++ @good
      assert {:error, message} = Properties.check(Options.validate!(options).properties)
      assert message =~ "expected {username, password}"
      refute message =~ @secret
    end
  end

  @tag :tmp_dir
  test "a file of credentials is read when the member starts, and said to be wrong before", %{
    tmp_dir: dir
  } do
    path = Path.join(dir, "sasl")
    File.write!(path, @secret)
    message = refused(client_config: [sasl: {:plain, path}])

    assert message =~
             "expected a username and a password, each on its own line, in #{inspect(path)}"

    refute message =~ @secret

    File.write!(path, "me\nold\n")
    options = Options.validate!([client_config: [sasl: {:plain, path}]] ++ @good)
    File.write!(path, "me\n#{@secret}\n")
    assert {:ok, properties} = Properties.open(options.properties)
    assert {"sasl.password", @secret} in properties

    File.rm!(path)
    assert {:error, message} = Properties.open(options.properties)
    assert message =~ inspect(path)
  end
end
