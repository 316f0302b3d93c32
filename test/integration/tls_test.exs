defmodule OffBroadwayRustKafka.Integration.TlsTest do
  # On the listeners of bin/kafka, with the certificates of dev/certificates.exs.
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Error, Peer, Producer, Secured}

  @moduletag :secured

  setup %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)
    %{topic: topic}
  end

  defp start(listener, topic, producer, options \\ []),
    do: TestPipeline.start(Secured.kafka(listener), [topic], [producer: producer] ++ options)

  defp assert_read(listener, topic, producer) do
    pipeline = start(listener, topic, producer)
    assert [%{data: "1"}, _, _] = handled(pipeline, 3)
    stop(pipeline)
    pipeline
  end

  # Told within seconds, by an event that says what to do; and with on_fatal: :stop the pipeline ends.
  defp assert_refused(listener, topic, producer, reason) do
    producer = [on_fatal: :stop] ++ producer
    %{name: name} = pipeline = start(listener, topic, producer, watch_end: true)

    assert_receive {:telemetry, ^name, :error, %{count: 1},
                    %{error: %Error{code: :ssl, retryable?: false, fatal?: true} = error}},
                   30_000

    assert error.message =~ reason
    assert_receive {:ended, ^name, {:shutdown, %Error{code: :ssl}}}, 15_000
    assert handled_so_far(pipeline) == []
  end

  defp ssl(config), do: [config: [{:"security.protocol", "ssl"} | config]]
  defp der(name), do: name |> Secured.read() |> Secured.der()
  defp authority, do: [{:"ssl.ca.location", Secured.path("ca.pem")}]
  defp erlang(ssl), do: [client_config: [ssl: ssl]]
  defp erlang_authority, do: [cacertfile: Secured.path("ca.pem")]

  describe "a broker's certificate" do
    test "is trusted by its authority's, given as a file, as PEM or as DER", %{topic: topic} do
      for producer <- [
            ssl(authority()),
            ssl("ssl.ca.pem": Secured.read("ca.pem")),
            ssl("ssl.ca.pem": {:file, Secured.path("ca.pem")}),
            erlang(erlang_authority()),
            erlang(cacertfile: Secured.path("ca.pem"), verify: :verify_peer),
            erlang(cacerts: [der("stranger-ca.pem"), der("ca.pem")])
          ] do
        assert_read(:ssl, topic, producer)
      end
    end

    test "is not trusted by another authority's, nor by those that the system knows", %{
      topic: topic
    } do
      reason = "was issued by nobody whom this machine trusts: set ssl.ca.location or ssl.ca.pem"

      for producer <- [
            ssl("ssl.ca.location": Secured.path("stranger-ca.pem")),
            ssl([]),
            erlang(true),
            erlang(cacerts: [der("stranger-ca.pem")])
          ] do
        assert_refused(:ssl, topic, producer, reason)
      end
    end

    test "is trusted where the system knows its authority", %{topic: topic} do
      {peer, _} =
        Peer.start(env: [{~c"SSL_CERT_FILE", String.to_charlist(Secured.path("ca.pem"))}])

      pipeline = TestPipeline.new([])

      broadway =
        TestPipeline.broadway(pipeline, Secured.kafka(:ssl), [topic],
          producer: ssl([]),
          tell: false
        )

      :ok = Peer.run(peer, broadway)
      await_committed(Kafka.shared(), pipeline.group, each(topic, 1, 3))
    end

    test "is not trusted under another host's name, unless names are not compared", %{
      topic: topic
    } do
      reason = "the broker's certificate is not for 127.0.0.1: use a name that is in it"
      assert_refused(:elsewhere, topic, ssl(authority()), reason)
      assert_refused(:elsewhere, topic, erlang(erlang_authority()), reason)
      unnamed = [{:"ssl.endpoint.identification.algorithm", "none"} | authority()]
      assert_read(:elsewhere, topic, ssl(unnamed))
      disabled = [server_name_indication: :disable] ++ erlang_authority()
      assert_read(:elsewhere, topic, erlang(disabled))
    end

    test "is not trusted once it has expired, unless none is verified", %{topic: topic} do
      reason = "the broker's certificate has expired: renew it on the brokers"
      assert_refused(:expired, topic, ssl(authority()), reason)

      for producer <- [
            erlang(verify: :verify_none),
            ssl("enable.ssl.certificate.verification": false)
          ] do
        # Nothing is wrong with what nobody looks at.
        {%{name: name}, log} = with_log(fn -> assert_read(:expired, topic, producer) end)
        refute log =~ "[error] Kafka consumer of #{inspect(name)}: "
      end
    end

    test "that is refused is told once more in the log, with whose it is and what to do", %{
      topic: topic
    } do
      log = capture_log(fn -> assert_refused(:expired, topic, ssl(authority()), "expired") end)
      assert log =~ ~r/SSLCERTVRFY: .*subject=.*the broker's certificate has expired/
      assert log =~ "What to do: check security.protocol, ssl.ca.location"
    end

    test "that is refused costs no process and no restart while it is tried again", %{
      topic: topic
    } do
      %{name: name} = pipeline = start(:expired, topic, ssl(authority()))
      consumer = consumer(pipeline)
      for _ <- 1..2, do: assert_receive({:telemetry, ^name, :error, _, _}, 15_000)
      assert consumer(pipeline) == consumer
    end
  end

  describe "a client's certificate" do
    defp mutual(config), do: ssl(authority() ++ config)

    defp files(name) do
      [
        "ssl.certificate.location": Secured.path(name <> ".pem"),
        "ssl.key.location": Secured.path(name <> ".key")
      ]
    end

    test "may be files, and a key may have a password", %{topic: topic} do
      locked = Secured.path("client-locked.key")
      password = Path.join(System.tmp_dir!(), random_name("password"))
      File.write!(password, "client-secret\n")
      on_exit(fn -> File.rm!(password) end)

      for producer <- [
            mutual(files("client")),
            mutual(files("chain")),
            mutual(
              "ssl.certificate.location": Secured.path("client.pem"),
              "ssl.key.location": locked,
              "ssl.key.password": "client-secret"
            ),
            mutual(
              "ssl.certificate.location": Secured.path("client.pem"),
              "ssl.key.location": locked,
              "ssl.key.password": {:file, password}
            ),
            erlang(
              [certfile: Secured.path("client.pem"), keyfile: locked, password: "client-secret"] ++
                erlang_authority()
            ),
            erlang(
              [
                certfile: Secured.path("client.pem"),
                keyfile: locked,
                password: fn -> "client-secret" end
              ] ++ erlang_authority()
            ),
            erlang(
              [
                certs_keys: [
                  %{certfile: Secured.path("client.pem"), keyfile: Secured.path("client.key")}
                ]
              ] ++ erlang_authority()
            )
          ] do
        assert_read(:mutual, topic, producer)
      end
    end

    test "may be PEM in memory, from a function or from a file", %{topic: topic} do
      for {certificate, key} <- [
            {Secured.read("client.pem"), Secured.read("client.key")},
            {Secured.read("chain.pem"), Secured.read("chain.key")},
            {fn -> Secured.read("client.pem") end, fn -> Secured.read("client.key") end},
            {{:file, Secured.path("client.pem")}, {:file, Secured.path("client.key")}}
          ] do
        config = ["ssl.certificate.pem": certificate, "ssl.key.pem": key]
        assert_read(:mutual, topic, mutual(config))
      end

      locked = [
        "ssl.certificate.pem": Secured.read("client.pem"),
        "ssl.key.pem": Secured.read("client-locked.key"),
        "ssl.key.password": fn -> "client-secret" end
      ]

      assert_read(:mutual, topic, mutual(locked))
    end

    test "may be DER in memory", %{topic: topic} do
      key = {:RSAPrivateKey, Secured.read("client-key.der")}
      certificate = Secured.read("client.der")
      issuers = [cacerts: [der("ca.pem")]]
      assert_read(:mutual, topic, erlang([cert: certificate, key: key] ++ issuers))
      assert_read(:mutual, topic, erlang([cert: [certificate], key: fn -> key end] ++ issuers))
    end

    test "is refused when it has expired, is another authority's, or is not there", %{
      topic: topic
    } do
      for certificate <- [files("outdated"), files("stranger"), []] do
        assert_refused(
          :mutual,
          topic,
          mutual(certificate),
          "the broker refused the client's certificate"
        )
      end
    end

    test "that cannot be used starts nothing, and is named without the secret", %{topic: topic} do
      Process.flag(:trap_exit, true)

      for {config, property} <- [
            {[
               "ssl.certificate.location": Secured.path("client.pem"),
               "ssl.key.location": Secured.path("client-locked.key"),
               "ssl.key.password": "not-the-password"
             ], "ssl.key.location"},
            {["ssl.certificate.location": "/no/such/file"], "ssl.certificate.location"},
            {["ssl.key.pem": "not-the-password"], "ssl.key.pem"},
            {["ssl.ca.location": "/no/such/file"], "ssl.ca.location"}
          ] do
        options = [
          hosts: Secured.kafka(:mutual).bootstrap,
          group_id: "group",
          topics: [topic],
          config: config ++ ["security.protocol": "ssl"]
        ]

        broadway = [
          name: __MODULE__.Unusable,
          context: nil,
          producer: [module: {Producer, options}],
          processors: [default: []]
        ]

        assert {:error, reason} = Broadway.start_link(TestPipeline, broadway)
        assert %Error{code: :invalid_config, fatal?: true} = error = error_in(reason)
        assert error.message =~ property
        refute inspect(reason) =~ "not-the-password"
      end
    end

    @tag :tmp_dir
    @tag timeout: 120_000
    test "that was replaced after it had expired is taken without a restart of the pipeline", %{
      topic: topic,
      tmp_dir: dir
    } do
      [certificate, key] = for name <- ["me.pem", "me.key"], do: Path.join(dir, name)
      File.cp!(Secured.path("outdated.pem"), certificate)
      File.cp!(Secured.path("outdated.key"), key)
      config = ["ssl.certificate.location": certificate, "ssl.key.location": key]
      %{name: name} = pipeline = start(:mutual, topic, mutual(config))
      pid = Process.whereis(name)
      assert_receive {:telemetry, ^name, :error, _, %{error: %Error{code: :ssl}}}, 5_000
      File.cp!(Secured.path("client.pem"), certificate)
      File.cp!(Secured.path("client.key"), key)
      assert [_, _, _] = await_handled(pipeline, 3)
      assert Process.whereis(name) == pid
    end
  end

  test "a listener without TLS is told of to who has it, and one with TLS to who has none", %{
    topic: topic,
    kafka: kafka
  } do
    log =
      capture_log(fn ->
        %{name: plain} = TestPipeline.start(Secured.kafka(:ssl), [topic])
        assert_receive {:telemetry, ^plain, :error, _, %{error: error}}, 15_000
        assert %Error{code: :all_brokers_down, retryable?: true} = error
      end)

    assert log =~ "does the listener want TLS? See security.protocol"
    %{name: secured} = TestPipeline.start(%{kafka | client: nil}, [topic], producer: ssl([]))
    assert_receive {:telemetry, ^secured, :error, _, %{error: error}}, 15_000
    assert %Error{code: :transport, retryable?: true} = error
    assert error.message =~ ~r/connecting to a PLAINTEXT (broker )?listener\?/
  end

  # librdkafka tells the same error again half a minute later.
  defp await_handled(%{name: name}, count) do
    for _ <- 1..count do
      assert_receive {:handled, ^name, _, message}, 60_000
      message
    end
  end

  # Broadway wraps it as its supervisors do.
  defp error_in(%Error{} = error), do: error
  defp error_in(reason) when is_tuple(reason), do: reason |> Tuple.to_list() |> error_in()
  defp error_in([head | tail]), do: error_in(head) || error_in(tail)
  defp error_in(_other), do: nil
end
