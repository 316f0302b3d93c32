defmodule OffBroadwayRustKafka.Integration.SaslTest do
  # On the listeners of bin/kafka, which know alice.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Error, Secured}

  @moduletag :secured

  @password "alice-secret"
  @mechanisms [plain: "PLAIN", scram_sha_256: "SCRAM-SHA-256", scram_sha_512: "SCRAM-SHA-512"]

  setup %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)
    %{topic: topic}
  end

  defp start(topic, producer, options \\ []),
    do: TestPipeline.start(Secured.kafka(:sasl_ssl), [topic], [producer: producer] ++ options)

  defp config(mechanism, user, password) do
    [
      config: [
        "security.protocol": "sasl_ssl",
        "ssl.ca.location": Secured.path("ca.pem"),
        "sasl.mechanism": @mechanisms[mechanism],
        "sasl.username": user,
        "sasl.password": password
      ]
    ]
  end

  defp brod(mechanism, user, password) do
    ssl = [cacertfile: Secured.path("ca.pem")]
    [client_config: [ssl: ssl, sasl: {mechanism, user, password}]]
  end

  defp assert_refused(%{name: name}, code \\ :authentication) do
    assert_receive {:telemetry, ^name, :error, %{count: 1},
                    %{error: %Error{code: ^code, retryable?: false, fatal?: true} = error}},
                   30_000

    error.message
  end

  for {mechanism, name} <- @mechanisms do
    test "a user is let in by #{name} over TLS, in every shape", %{topic: topic} do
      mechanism = unquote(mechanism)
      file = Path.join(System.tmp_dir!(), random_name("password"))
      File.write!(file, @password <> "\n")
      on_exit(fn -> File.rm!(file) end)

      for producer <- [
            config(mechanism, "alice", @password),
            config(mechanism, fn -> "alice" end, fn -> @password end),
            config(mechanism, "alice", {:file, file}),
            brod(mechanism, "alice", @password),
            brod(mechanism, ~c"alice", String.to_charlist(@password)),
            brod(mechanism, "alice", fn -> @password end),
            brod(mechanism, "alice", {:file, file})
          ] do
        pipeline = start(topic, producer)
        assert [%{data: "1"}, _, _] = handled(pipeline, 3)
        stop(pipeline)
      end
    end

    test "a wrong password and an unknown user are told by #{name}, and end a pipeline that is to stop",
         %{topic: topic} do
      for {user, password} <- [{"alice", "hunter2-wrong"}, {"mallory", @password}],
          producer <- [config(unquote(mechanism), user, password)] do
        %{name: name} = pipeline = start(topic, [on_fatal: :stop] ++ producer, watch_end: true)
        message = assert_refused(pipeline)
        assert message =~ ~r/[Aa]uthentication failed/
        refute message =~ password

        assert_receive {:ended, ^name, {:shutdown, %Error{code: :authentication}}}, 15_000
      end
    end

    test "a password that was changed is read anew by #{name}, and let in", %{topic: topic} do
      file = Path.join(System.tmp_dir!(), random_name("password"))
      File.write!(file, "outdated")
      on_exit(fn -> File.rm!(file) end)
      pipeline = start(topic, config(unquote(mechanism), "alice", {:file, file}))
      assert_refused(pipeline)
      # In its place at once: the file may be read while it is written.
      File.write!(file <> ".new", @password)
      File.rename!(file <> ".new", file)
      %{name: name} = pipeline
      # The error comes again within half a minute, and each time the file is read.
      for _ <- 1..3, do: assert_receive({:handled, ^name, _, _}, 60_000)
    end
  end

  # Unsigned, as the broker of bin/kafka takes it.
  defp token(ends_in) do
    now = System.os_time(:second)
    part = &Base.url_encode64(&1, padding: false)
    claims = ~s({"sub":"alice","iat":#{now - 600},"exp":#{now + ends_in}})
    token = "#{part.(~s({"alg":"none"}))}.#{part.(claims)}."
    {:ok, token: token, principal: "alice", lifetime: 60_000}
  end

  test "a user is let in by OAUTHBEARER over TLS", %{topic: topic} do
    for producer <- [
          [config: ["security.protocol": "sasl_ssl", "ssl.ca.location": Secured.path("ca.pem")]],
          [client_config: [ssl: [cacertfile: Secured.path("ca.pem")]]]
        ] do
      pipeline = start(topic, [oauthbearer: fn -> token(600) end] ++ producer)
      assert [_, _, _] = handled(pipeline, 3)
    end
  end

  test "a token that has expired is told, and ends a pipeline that is to stop", %{topic: topic} do
    producer = [client_config: [ssl: [cacertfile: Secured.path("ca.pem")]]]
    producer = [on_fatal: :stop, oauthbearer: fn -> token(-300) end] ++ producer
    %{name: name} = pipeline = start(topic, producer, watch_end: true)
    assert_refused(pipeline)
    assert_receive {:ended, ^name, {:shutdown, %Error{code: :authentication}}}, 15_000
  end

  test "a mechanism that the listener does not have is told, with those that it has", %{
    topic: topic
  } do
    config = config(:scram_sha_512, "alice", @password)[:config]
    config = Keyword.merge(config, "security.protocol": "sasl_plaintext")
    pipeline = TestPipeline.start(Secured.kafka(:sasl), [topic], producer: [config: config])
    assert assert_refused(pipeline) =~ "PLAIN"
  end

  test "three lines are enough for a listener with SASL_SSL", %{topic: topic, kafka: kafka} do
    pipeline =
      TestPipeline.start(%{kafka | bootstrap: Secured.kafka(:sasl_ssl).bootstrap}, [topic],
        producer: [
          client_config: [
            ssl: [cacertfile: Secured.path("ca.pem")],
            sasl: {:scram_sha_512, "alice", @password}
          ]
        ]
      )

    assert [_, _, _] = handled(pipeline, 3)
    await_committed(kafka, pipeline.group, each(topic, 1, 3))
  end
end
