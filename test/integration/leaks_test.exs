defmodule OffBroadwayRustKafka.Integration.LeaksTest do
  # Alone, as it hears all of the node's logs. That a leak would be found is shown in leaks_test.exs.
  use OffBroadwayRustKafka.KafkaCase, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.OffBroadwayRustKafka.Top
  alias OffBroadwayRustKafka.{Leaks, Producer, Secured}

  @moduletag timeout: 180_000

  @password "hunter2-in-clear-text"
  @key_password "client-secret"
  @token "eyJhbGciOiJub25lIn0.a-token-in-clear-text."

  setup_all do
    dir = Path.join(System.tmp_dir!(), random_name("leaks"))
    {_, 0} = System.cmd("elixir", ["dev/certificates.exs", dir], stderr_to_stdout: true)
    File.write!(Path.join(dir, "password"), @password <> "\n")
    File.write!(Path.join(dir, "login"), "alice\n#{@password}\n")
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  setup %{kafka: kafka, dir: dir} do
    Process.flag(:trap_exit, true)
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)

    leaks =
      Leaks.listen(%{
        "password" => @password,
        "key password" => @key_password,
        "token" => @token,
        "key" => File.read!(Path.join(dir, "client-key.der"))
      })

    %{topic: topic, leaks: leaks}
  end

  @doc false
  def token(token, test) do
    send(test, :asked)
    {:ok, token: token, principal: "alice", lifetime: 60_000}
  end

  # Every shape of a secret, here and in broadway_kafka and klife. Each is refused: the broker knows no
  # such user, or speaks no TLS.
  defp refused(dir) do
    path = &Path.join(dir, &1)
    read = &File.read!(path.(&1))
    sasl = ["security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"]
    user = [{:"sasl.username", "alice"} | sasl]
    ssl = ["security.protocol": "ssl", "ssl.certificate.pem": read.("client.pem")]
    erlang = [cert: read.("client.der"), cacerts: [Secured.der(read.("ca.pem"))]]
    client = Module.concat(__MODULE__, Client)

    [
      [config: [{:"sasl.password", @password} | user]],
      [config: [{:"sasl.password", fn -> @password end} | user]],
      [config: [{:"sasl.password", {:file, path.("password")}} | user]],
      [config: ["sasl.username": fn -> @password end, "sasl.password": @password] ++ sasl],
      [config: Map.new([{:"sasl.password", @password} | user])],
      [
        config: ["security.protocol": "sasl_plaintext"],
        oauthbearer: {__MODULE__, :token, [@token, self()]}
      ],
      [
        config: ["security.protocol": "sasl_plaintext"],
        oauthbearer: fn -> token(@token, self()) end
      ],
      [client_config: [sasl: {:plain, "alice", @password}]],
      [client_config: [sasl: {:plain, ~c"alice", String.to_charlist(@password)}]],
      [client_config: [sasl: {:scram_sha_256, "alice", fn -> @password end}]],
      [client_config: [sasl: {:scram_sha_512, fn -> {"alice", @password} end}]],
      [client_config: [sasl: {:plain, "alice", {:file, path.("password")}}]],
      [client_config: [sasl: {:plain, path.("login")}]],
      [config: [{:"ssl.key.pem", read.("client.key")} | ssl]],
      [config: [{:"ssl.key.pem", fn -> read.("client.key") end} | ssl]],
      [config: [{:"ssl.key.pem", {:file, path.("client.key")}} | ssl]],
      [
        config:
          ["ssl.key.pem": read.("client-locked.key"), "ssl.key.password": @key_password] ++ ssl
      ],
      [
        config:
          [
            "ssl.key.location": path.("client-locked.key"),
            "ssl.key.password": fn -> @key_password end
          ] ++
            ssl
      ],
      [client_config: [ssl: [key: {:RSAPrivateKey, read.("client-key.der")}] ++ erlang]],
      [
        client_config: [ssl: [key: fn -> {:RSAPrivateKey, read.("client-key.der")} end] ++ erlang]
      ],
      [
        client_config: [
          ssl: [keyfile: path.("client-locked.key"), password: @key_password] ++ erlang
        ]
      ],
      [client: client]
    ]
  end

  # Where Klife has it, for as long as it is read.
  defp with_klife(client, kafka, fun) do
    sasl = [mechanism: "PLAIN", mechanism_opts: [username: "alice", password: @password]]
    connection = [bootstrap_servers: [kafka.bootstrap], sasl_opts: sasl]
    Application.put_env(:off_broadway_rust_kafka, client, connection: connection)
    fun.()
  after
    Application.delete_env(:off_broadway_rust_kafka, client)
  end

  defp start(kafka, topic, producer, options \\ []) do
    pipeline = TestPipeline.new([])
    TestPipeline.listen(pipeline.name)
    broadway = TestPipeline.broadway(pipeline, kafka, [topic], options)
    options = broadway[:producer][:module] |> elem(1) |> Keyword.merge(producer)
    options = if options[:client], do: klife(options), else: options
    broadway = put_in(broadway, [:producer, :module], {Producer, options})
    {pipeline, Broadway.start_link(TestPipeline, broadway)}
  end

  defp klife(options) do
    {topics, options} = options |> Keyword.drop([:hosts]) |> Keyword.pop!(:topics)
    [topics: for(name <- topics, do: [name: name]), group_protocol: :classic] ++ options
  end

  # With all that librdkafka has to say.
  defp debugging(producer) do
    case producer[:config] do
      nil -> [config: [debug: "all"]] ++ producer
      config when is_map(config) -> Keyword.put(producer, :config, Map.put(config, :debug, "all"))
      config -> Keyword.put(producer, :config, [{:debug, "all"} | config])
    end
  end

  defp crash(pipeline, leaks) do
    kill(pipeline, leaks, &Process.exit(&1, :kill))
    # What it does not understand it reports, with its state.
    kill(pipeline, leaks, &send(&1, {:off_broadway_rust_kafka, {:error, :nonsense}}))
    [producer | _] = Broadway.producer_names(pipeline.name)

    for name <- [producer, :"#{pipeline.name}.Broadway.Processor_default_0"],
        do: Leaks.note(leaks, "reason of an exit", report(name))
  end

  # A stage that reports what it was and had, unless it is about to start anew by itself.
  defp report(name) do
    GenServer.stop(name, :boom, 5_000)
  catch
    :exit, reason -> reason
  end

  defp kill(pipeline, leaks, how) do
    consumer = consumer(pipeline)
    monitor = Process.monitor(consumer)
    how.(consumer)
    assert_receive {:DOWN, ^monitor, _, _, reason}, 15_000
    Leaks.note(leaks, "reason of an exit", reason)
    Leaks.look(leaks)
  end

  defp look(%{name: name}, leaks) do
    Leaks.look(leaks)

    for ask <- [:assignment, :lag, :offsets, :statistics],
        do: Leaks.note(leaks, "answer", apply(OffBroadwayRustKafka, ask, [name]))

    for {function, args} <- [topology: [name], all_running: []],
        function_exported?(Broadway, function, length(args)),
        do: Leaks.note(leaks, "Broadway's answer", apply(Broadway, function, args))
  end

  defp assert_clean(leaks, places) do
    assert Leaks.found(leaks) == [], Enum.join(Leaks.examples(leaks), "\n")
    # It has looked.
    seen = Leaks.seen(leaks)
    for place <- places, do: assert(seen[place] > 0, "nothing of #{place} was looked at")
  end

  @always [
    "log line",
    "log metadata",
    "process",
    "reason of an exit",
    "report",
    "state",
    "status",
    "table",
    "telemetry of off_broadway_rust_kafka"
  ]

  test "no secret in any shape is shown by a pipeline that is refused, and that crashes",
       context do
    %{kafka: kafka, topic: topic, leaks: leaks, dir: dir} = context
    refused = refused(dir)

    with_klife(List.last(refused)[:client], kafka, fn ->
      for producer <- refused do
        {%{name: name} = pipeline, {:ok, _}} = start(kafka, topic, debugging(producer))
        assert_receive {:telemetry, ^name, :error, _, %{error: error}}, 15_000
        Leaks.note(leaks, "error", error)
        Leaks.note(leaks, "error", Exception.message(error))
        look(pipeline, leaks)
        crash(pipeline, leaks)
        look(pipeline, leaks)
        :ok = Broadway.stop(name, :shutdown, 10_000)
      end
    end)

    assert_receive :asked
    assert_clean(leaks, ["error" | @always])
  end

  # Unsigned, as the broker of bin/kafka takes it.
  defp valid_token do
    now = System.os_time(:second)
    part = &Base.url_encode64(&1, padding: false)
    claims = ~s({"sub":"alice","iat":#{now - 1},"exp":#{now + 120}})
    "#{part.(~s({"alg":"none"}))}.#{part.(claims)}."
  end

  @tag :secured
  test "nor by one that is let in, whatever librdkafka has to say of that", %{topic: topic} do
    token = valid_token()
    key = Secured.read("client-key.der")
    leaks = Leaks.listen(%{"password" => "alice-secret", "token" => token, "key" => key})
    authority = [cacertfile: Secured.path("ca.pem")]
    certificate = [cert: Secured.read("client.der"), key: {:RSAPrivateKey, key}]
    secure = &[client_config: [ssl: authority, sasl: {&1, "alice", "alice-secret"}]]

    for {listener, producer} <- [
          {:sasl_ssl, secure.(:plain)},
          {:sasl_ssl, secure.(:scram_sha_256)},
          {:sasl_ssl, secure.(:scram_sha_512)},
          {:mutual, [client_config: [ssl: authority ++ certificate]]},
          {:sasl,
           [
             config: ["security.protocol": "sasl_plaintext"],
             oauthbearer: {__MODULE__, :token, [token, self()]}
           ]}
        ] do
      {pipeline, {:ok, _}} = start(Secured.kafka(listener), topic, debugging(producer))
      handled(pipeline, 20)
      look(pipeline, leaks)
      crash(pipeline, leaks)
      look(pipeline, leaks)
      :ok = Broadway.stop(pipeline.name, :shutdown, 10_000)
    end

    assert_clean(leaks, @always)
  end

  @tag :hex
  test "Broadway's own telemetry and topology show none either", context do
    %{kafka: kafka, topic: topic, leaks: leaks} = context
    # A password is taken, if not used, without SASL.
    config = ["sasl.username": "alice", "sasl.password": @password, debug: "all"]
    batchers = [batchers: [default: [batch_size: 5, batch_timeout: 50]]]
    {pipeline, {:ok, _}} = start(kafka, topic, [config: config], batchers)
    batched(pipeline, 20)
    look(pipeline, leaks)

    for format <- ["table", "json"] do
      argv = ["--once", "--interval", "0.1", "--node", "#{node()}", "--format", format]
      Leaks.note(leaks, "top", capture_io(fn -> Top.run(argv) end))
    end

    crash(pipeline, leaks)
    :ok = Broadway.stop(pipeline.name)

    assert_clean(leaks, [
      "telemetry of broadway",
      "Broadway's answer",
      "persistent term",
      "top" | @always
    ])
  end

  test "a handler that raises, exits or throws reports its message, and no secret", context do
    %{kafka: kafka, topic: topic, leaks: leaks} = context

    handle = fn message ->
      case rem(message.metadata.offset, 3) do
        0 -> raise "no more"
        1 -> throw(:no_more)
        2 -> exit(:no_more)
      end
    end

    config = ["sasl.username": "alice", "sasl.password": @password]
    {%{name: name}, {:ok, _}} = start(kafka, topic, [config: config], handle: handle)
    assert_receive {:failed, ^name, [_ | _] = messages}, 15_000
    Leaks.note(leaks, "failed messages", messages)
    Leaks.look(leaks)
    :ok = Broadway.stop(name)
    assert_clean(leaks, ["failed messages", "log line", "state"])
  end

  test "what cannot be used starts nothing, and is told without the secret", context do
    %{kafka: kafka, topic: topic, leaks: leaks, dir: dir} = context
    raising = fn -> raise @password end
    ssl = ["security.protocol": "ssl"]

    for producer <- [
          # Of no shape that there is.
          [config: @password],
          [config: [@password]],
          [config: ["sasl.password": {@password}]],
          [config: ["sasl.password": [@password]]],
          [config: ["sasl.passwort": @password]],
          [config: ["sasl.password": @password <> <<0>>]],
          [config: ["sasl.password": @password, "sasl.password": @password]],
          [password: @password],
          [oauthbearer: @password],
          [oauthbearer: {__MODULE__, :token, @password}],
          [client_config: @password],
          [client_config: [sasl: @password]],
          [client_config: [sasl: {:md5, "alice", @password}]],
          [client_config: [sasl: {:plain, "alice", {@password}}]],
          [client_config: [password: @password]],
          [client_config: [ssl: [password: {@password}]]],
          [client_config: [ssl: [key: @password]]],
          [client_config: [ssl: [key: fn -> @password end]]],
          # Of a shape that there is, and without a value.
          [config: ["sasl.password": raising]],
          [config: ["sasl.password": fn -> throw(@password) end]],
          [config: ["sasl.password": fn -> {@password} end]],
          [config: ["sasl.password": fn -> apply(String, :no_such_function, [@password]) end]],
          # Refused by librdkafka as it starts.
          [config: ["ssl.key.pem": @password] ++ ssl],
          [config: ["ssl.key.pem": fn -> @password end] ++ ssl],
          [config: ["ssl.ca.pem": @password] ++ ssl],
          [
            config:
              [
                "ssl.key.location": Path.join(dir, "client-locked.key"),
                "ssl.key.password": @password
              ] ++
                ssl
          ],
          [
            config:
              ["ssl.keystore.location": "/no/such/file", "ssl.keystore.password": @password] ++
                ssl
          ],
          [config: ["sasl.password": @password, "security.protocol": "sasl_plaintext"]]
        ] do
      {pipeline, started} = start(kafka, topic, producer)
      assert {:error, reason} = started
      Leaks.note(leaks, "refusal", reason)
      Leaks.look(leaks)
      assert Process.whereis(pipeline.name) == nil
    end

    assert_clean(leaks, ["refusal", "log line", "report"])
  end
end
