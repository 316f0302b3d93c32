defmodule OffBroadwayRustKafka.Migration.GuideTest do
  # Alone, as it reads the log.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Options, Properties}

  @guide "guides/migration.md"
  @external_resource @guide

  @password "hunter2"
  @authority "an authority's certificate, which is longer than a line of PEM may be"
  @certificate "a certificate"
  @key "a key"

  # Of broadway_kafka 0.7 and off_broadway_klife 0.1 with klife 1.2, all that their schemas have.
  @options ~w(
    hosts group_id topics receive_interval reconnect_timeout offset_commit_on_ack offset_reset_policy
    begin_offset shared_client group_config fetch_config client_config
    group_instance_id offset_commit_interval_seconds max_rejoin_attempts rejoin_delay_seconds
    session_timeout_seconds heartbeat_rate_seconds rebalance_timeout_seconds
    min_bytes max_bytes max_wait_time max_fetch_retries fetch_retry_backoff_ms
    client_id_prefix sasl ssl connect_timeout request_timeout query_api_versions extra_sock_opts
    allow_topic_auto_creation
    client consumer_group group_name message_format fetch_strategy committers_count
    default_topic_config instance_id rebalance_timeout_ms
    name isolation_level fetch_max_bytes max_queue_size fetch_interval_ms handler_cooldown_ms
    handler_max_unacked_commits handler_max_batch_size mode
  )

  @rows (for "| `" <> _ = line <- File.stream!(@guide) do
           [old, new, said] =
             line
             |> String.trim()
             |> String.trim("|")
             |> String.split("|")
             |> Enum.map(&String.trim/1)

           {String.trim(old, "`"), String.trim(new, "`"), String.replace(said, "`", "")}
         end)

  defmodule WithCallbacks do
    def klife_client, do: MyApp.KafkaClient
    def handle_consumer_start(_topic, _partition, _group), do: :ok
  end

  defmodule ConsumerGroup do
    def klife_client, do: MyApp.KafkaClient
  end

  setup_all do
    file = Path.join(System.tmp_dir!(), "sasl-#{System.unique_integer([:positive])}")
    File.write!(file, "me\n#{@password}\n")

    clients = %{
      MyApp.KafkaClient => [bootstrap_servers: ["localhost:19092", "localhost:29092"]],
      MyApp.SecureClient => [
        bootstrap_servers: ["kafka:9093"],
        ssl: true,
        connect_opts: [inet_backend: :inet, active: false, cacertfile: "ca.pem"],
        socket_opts: [keepalive: true],
        sasl_opts: [
          mechanism: "PLAIN",
          mechanism_opts: [username: "me", password: @password]
        ]
      ]
    }

    for {client, connection} <- clients,
        do: Application.put_env(:off_broadway_rust_kafka, client, connection: connection)

    on_exit(fn ->
      File.rm!(file)
      for {client, _} <- clients, do: Application.delete_env(:off_broadway_rust_kafka, client)
    end)

    %{sasl_file: file}
  end

  # A code's `authority` and the like, and modules under the names that the guide gives them.
  defp eval(code, file) do
    bindings = [
      password: @password,
      file: file,
      authority: @authority,
      certificate: @certificate,
      key: @key,
      authority_pem: pem("CERTIFICATE", @authority),
      certificate_pem: pem("CERTIFICATE", @certificate),
      key_pem: pem("RSA PRIVATE KEY", @key)
    ]

    code =
      code
      |> String.replace("MyApp.WithCallbacks", inspect(WithCallbacks))
      |> String.replace("MyApp.KafkaConsumerGroup", inspect(ConsumerGroup))

    {options, _} = Code.eval_string("[#{code}]", bindings)
    options
  end

  defp pem(label, der) do
    lines = der |> Base.encode64() |> String.replace(~r/.{64}(?=.)/, "\\0\n")
    "-----BEGIN #{label}-----\n#{lines}\n-----END #{label}-----\n"
  end

  defp with_base(options) do
    instead = if options[:group_name], do: [], else: [group_id: "group"]

    hosts =
      if options[:client] || options[:consumer_group], do: [], else: [hosts: "localhost:9092"]

    Keyword.merge(hosts ++ instead ++ [topics: ["orders"]], options)
  end

  defp validated(options) do
    options = options |> with_base() |> Options.validate!()
    {:ok, properties} = Properties.open(options.properties)
    assert Properties.check(Enum.reject(properties, &tls?/1)) == :ok
    %{options | properties: Enum.sort(properties)}
  end

  # Their files and certificates are not there.
  defp tls?({name, _}), do: String.starts_with?(name, "ssl.") and name != "ssl.cipher.suites"

  defp said(fun) do
    {result, log} = with_log(fun)
    {result, log |> String.split("\n") |> Enum.filter(&(&1 =~ "OffBroadwayRustKafka.Producer: "))}
  end

  defp assert_row(old, "refused", said, file) do
    options = old |> eval(file) |> with_base()
    message = assert_raise(ArgumentError, fn -> Options.validate!(options) end).message
    assert message =~ "OffBroadwayRustKafka.Producer"
    assert message =~ said
    refute message =~ @password
  end

  defp assert_row(old, new, said, file) do
    new = if new == "nothing", do: [], else: eval(new, file)
    {options, lines} = said(fn -> old |> eval(file) |> validated() end)
    assert options == validated(new)
    if said == "", do: assert(lines == []), else: assert([_] = lines)
    for line <- lines, do: assert(line =~ said)
    refute Enum.join(lines) =~ @password
  end

  for {{old, new, said}, index} <- Enum.with_index(@rows) do
    test("row #{index}: #{String.slice(old, 0, 180)}", %{sasl_file: file},
      do: assert_row(unquote(old), unquote(new), unquote(said), file)
    )
  end

  test "every option of both is in a table" do
    old = Enum.map_join(@rows, "\n", &elem(&1, 0))
    assert Enum.reject(@options, &(old =~ ~r/\b#{&1}: /)) == []
  end

  test "the guide has rows of all kinds" do
    kinds =
      Enum.frequencies_by(@rows, fn {_, new, _} -> if new in ["nothing", "refused"], do: new end)

    assert %{"nothing" => _, "refused" => _, nil => _} = kinds
  end
end
