defmodule OffBroadwayRustKafka.Integration.CredentialsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Error, Producer, Properties}

  @secret "hunter2-in-clear-text"
  @plain ["security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"]
  @token ["security.protocol": "sasl_plaintext"]

  # None on brokers of the user's own, which have no such listener.
  defp sasl do
    case System.get_env("KAFKA_SASL_BROKERS") do
      none when none in [nil, ""] -> nil
      brokers -> %Kafka{bootstrap: brokers}
    end
  end

  # Unsigned, as the broker of bin/kafka takes it.
  defp token(lifetime_ms) do
    now = System.os_time(:second)
    claims = ~s({"sub":"alice","iat":#{now - 1},"exp":#{now + div(lifetime_ms, 1000) + 60}})
    part = &Base.url_encode64(&1, padding: false)

    {:ok,
     token: "#{part.(~s({"alg":"none"}))}.#{part.(claims)}.",
     principal: "alice",
     lifetime: lifetime_ms}
  end

  # Tells the test of each call, which answers it.
  defp asking(test) do
    fn ->
      send(test, {:asked, self()})

      receive do
        {:answer, answer} -> answer.()
      end
    end
  end

  defp answer(answer) do
    assert_receive {:asked, asker}, 15_000
    send(asker, {:answer, answer})
  end

  defp assert_refused(%{name: name}) do
    assert_receive {:telemetry, ^name, :error, _,
                    %{error: %Error{code: :authentication} = error}},
                   15_000

    assert %Error{fatal?: true, retryable?: false} = error
    error.message
  end

  test "a token that cannot be had is told with the reason, and asked for again", %{kafka: kafka} do
    producer = [config: @token, oauthbearer: asking(self())]
    pipeline = TestPipeline.start(kafka, ["orders"], producer: producer)
    answer(fn -> {:error, :identity_provider_is_down} end)

    assert assert_refused(pipeline) =~
             "the :oauthbearer function failed: :identity_provider_is_down"

    answer(fn -> {:ok, token: "t", principal: "p", lifetime: 0} end)
    assert assert_refused(pipeline) =~ "answered neither"
  end

  test "what a function for a token raises, throws or answers wrongly shows no secret", %{
    kafka: kafka
  } do
    log =
      capture_log(fn ->
        for answer <- [
              fn -> raise @secret end,
              fn -> throw(@secret) end,
              fn -> exit(@secret) end,
              fn -> @secret end,
              fn -> {:ok, @secret} end,
              fn -> {:ok, token: @secret, principal: "p", lifetime: "1"} end,
              fn -> {:ok, token: @secret <> <<0>>, principal: "p", lifetime: 60_000} end,
              fn -> {:ok, token: @secret <> <<255>>, principal: "p", lifetime: 60_000} end,
              fn -> {:ok, token: @secret, principal: <<255>>, lifetime: 60_000} end,
              fn -> {:ok, token: @secret, principal: "p", lifetime: 2 ** 64} end,
              fn -> {:ok, token: @secret <> "\n", principal: "p", lifetime: 60_000} end
            ] do
          producer = [config: @token, oauthbearer: asking(self())]
          pipeline = TestPipeline.start(kafka, ["orders"], producer: producer)
          answer(answer)
          %{name: name} = pipeline
          assert_receive {:telemetry, ^name, :error, _, %{error: %{fatal?: true} = error}}, 15_000
          refute Exception.message(error) =~ @secret
          # It would ask again.
          stop(pipeline)
        end
      end)

    refute log =~ @secret
  end

  test "without a function for a token that is said", %{kafka: kafka} do
    config = ["sasl.mechanism": "OAUTHBEARER"] ++ @token
    pipeline = TestPipeline.start(kafka, ["orders"], producer: [config: config])
    assert assert_refused(pipeline) =~ "there is no :oauthbearer function"
  end

  test "what cannot be a function for a token is refused, and so is another mechanism or none" do
    for {options, message} <- [
          {[oauthbearer: fn _ -> :ok end], "expected a function without arguments or"},
          {[oauthbearer: {:module, "name", [@secret]}],
           "expected a function without arguments or"},
          {[oauthbearer: fn -> :ok end, config: @plain],
           "sasl.mechanism can only be OAUTHBEARER"},
          {[oauthbearer: fn -> :ok end],
           "can only be sasl_ssl or sasl_plaintext, got: plaintext"},
          {[oauthbearer: fn -> :ok end, config: ["security.protocol": "SSL"]],
           "can only be sasl_ssl or sasl_plaintext, got: SSL"}
        ] do
      producer = {Producer, [hosts: "h", group_id: "g", topics: ["t"]] ++ options}
      broadway = [name: :none, producer: [module: producer], processors: [default: []]]
      error = assert_raise ArgumentError, fn -> Producer.prepare_for_start(Producer, broadway) end
      assert Exception.message(error) =~ message
      refute Exception.message(error) =~ @secret
    end
  end

  @tag :tmp_dir
  test "a secret may be a function or in a file, read each time, and no other property may", %{
    tmp_dir: dir
  } do
    path = Path.join(dir, "password")
    File.write!(path, "first\n")

    given = ["sasl.password": {:file, path}, "sasl.username": fn -> File.read!(path) end]
    assert {:ok, properties} = Properties.parse(given)
    assert {:ok, [_, {_, "first\n"}]} = Properties.open(properties)
    assert {:ok, [{"sasl.password", "first"}, _]} = Properties.open(properties)
    File.write!(path, "second")
    assert {:ok, [{"sasl.password", "second"}, _]} = Properties.open(properties)
    File.rm!(path)
    assert {:error, message} = Properties.open(properties)
    assert message =~ ~s("sasl.password" has no value: #{path} cannot be read: no such file)
    assert {:error, _} = Properties.parse("client.id": fn -> "me" end)
    assert {:error, _} = Properties.parse("client.id": {:file, path})
    assert {:error, message} = Properties.parse("sasl.password": {:secret, @secret})
    refute message =~ @secret
  end

  @tag :broker
  test "records are read with a token, which is had anew before it ends", %{kafka: kafka} do
    if sasl = sasl() do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      producer = [config: @token, oauthbearer: asking(self())]
      pipeline = TestPipeline.start(sasl, [topic], producer: producer)
      answer(fn -> token(3_000) end)
      pipeline |> handled(10) |> assert_exact(each(topic, 1, 0), each(topic, 1, 10))
      for _ <- 1..2, do: answer(fn -> token(3_000) end)
      fill(kafka, topic, 1, 10)
      handled(pipeline, 10)
      await_committed(kafka, pipeline.group, each(topic, 1, 20))
      %{name: name} = pipeline
      refute_received {:telemetry, ^name, :error, _, %{error: %{code: :authentication}}}
    end
  end

  @tag :broker
  test "after a token that could not be had the next one serves", %{kafka: kafka} do
    if sasl = sasl() do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      producer = [config: @token, oauthbearer: {__MODULE__, :ask, [self()]}]
      pipeline = TestPipeline.start(sasl, [topic], producer: producer)
      answer(fn -> {:error, :down} end)
      assert_refused(pipeline)
      answer(fn -> token(60_000) end)
      handled(pipeline, 10)
    end
  end

  @tag :broker
  test "a password that is refused is read anew where it is a function", %{kafka: kafka} do
    if sasl = sasl() do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      # As it is checked, as the member starts, and then.
      passwords = ["outdated", "outdated", "alice-secret"]
      {:ok, agent} = Agent.start_link(fn -> passwords end)
      next = fn [password | rest] -> {password, if(rest == [], do: [password], else: rest)} end
      password = fn -> Agent.get_and_update(agent, next) end
      config = ["sasl.username": "alice", "sasl.password": password] ++ @plain
      pipeline = TestPipeline.start(sasl, [topic], producer: [config: config])
      assert_refused(pipeline)
      handled(pipeline, 10)
    end
  end

  @tag :broker
  test "on_fatal: :stop ends a pipeline whose password is wrong" do
    if sasl = sasl() do
      config = ["sasl.username": "alice", "sasl.password": @secret] ++ @plain
      producer = [config: config, on_fatal: :stop]

      log =
        capture_log(fn ->
          options = [producer: producer, watch_end: true]
          %{name: name} = pipeline = TestPipeline.start(sasl, ["orders"], options)
          assert_refused(pipeline)
          assert_receive {:ended, ^name, {:shutdown, %Error{code: :authentication}}}, 15_000
        end)

      assert log =~ "What to do: check sasl.mechanism, the password or token"
      refute log =~ @secret
    end
  end

  @doc false
  def ask(test), do: asking(test).()
end
