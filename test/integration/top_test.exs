defmodule OffBroadwayRustKafka.MixTopTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureIO

  alias Mix.Tasks.OffBroadwayRustKafka.Top
  alias OffBroadwayRustKafka.Secured

  defp once(argv), do: capture_io(fn -> Top.run(["--once", "--interval", "0.05" | argv]) end)

  defp held(kafka, topic) do
    test = self()

    hold = fn message ->
      if {message.metadata.partition, message.metadata.offset} == {1, 2},
        do: TestPipeline.hold(test, :held)

      message
    end

    pipeline =
      TestPipeline.start(kafka, [topic],
        handle: hold,
        producer: [unacked_timeout: 1_000],
        processors: [max_demand: 1]
      )

    assert_receive {:held, _handler, :held}, 10_000
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 2})

    # The member may hear later than others what is committed.
    await(15_000, fn ->
      {:ok, offsets} = OffBroadwayRustKafka.offsets(pipeline.name)
      known? = Enum.map(offsets, & &1.committed) == [5, 2] and Enum.any?(offsets, & &1.unacked_ms)
      if known?, do: pipeline, else: {:not_yet, inspect(offsets)}
    end)
  end

  test "a node's pipelines are shown, the partition that is held up before the other", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    pipeline = held(kafka, topic)

    # Other tests have pipelines here, too.
    lines = ["--node", "#{node()}"] |> once() |> String.split("\n")
    assert Enum.at(lines, 1) =~ ~r/^TOPIC +PART +RATE\/s +LAG +UNACKED +OLDEST +COMMITTED MEMBER$/
    json = once(["--node", "#{node()}", "--format", "json"])

    assert [[worst], [calm]] = Regex.scan(~r/\{"group":"#{pipeline.group}"[^}]+\}/, json)

    assert worst =~ ~s("topic":"#{topic}","partition":1,"rate":0,"lag":3,)
    assert worst =~ ~s("member":"#{inspect(pipeline.name)}")
    assert worst =~ ~r/"unacked":[1-3],"unacked_ms":\d+,"position":\d,"committed":2,"end":5/
    assert calm =~ ~s("partition":0,"rate":0,"lag":0,"unacked":0,"unacked_ms":null,)
  end

  test "a group on a broker is shown by what it has committed, without joining it", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    pipeline = held(kafka, topic)
    argv = ["--brokers", kafka.bootstrap, "--group", pipeline.group]
    [summary, _titles, worst, calm, ""] = argv |> once() |> String.split("\n")
    assert summary =~ "2 partitions, rate 0/s, lag 3, unacked 0, 1 stuck"
    assert ["1", "0", "3", "-", "-", "2" | _member] = worst |> String.split() |> tl()
    assert ["0", "0", "0", "-", "-", "5" | _member] = calm |> String.split() |> tl()
    assert once(argv ++ ["--format", "json"]) =~ ~s("partition":1,"rate":0,"lag":3,)
    %{name: name} = pipeline
    refute_received {:telemetry, ^name, :revoked, _, _}
  end

  @tag :broker
  test "a group's partitions are shown with whose they are", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    pipeline = TestPipeline.start(kafka, [topic])
    await_committed(kafka, pipeline.group, each(topic, 2, 5))
    json = once(["--brokers", kafka.bootstrap, "--group", pipeline.group, "--format", "json"])
    assert [_, _] = Regex.scan(~r/"member":"[0-9a-f.:]+ off_broadway_rust_kafka-[^"]+"/, json)
  end

  @tag :broker
  test "a group of KIP-848 is shown, though not with whose its partitions are", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    pipeline = TestPipeline.start(kafka, [topic], producer: [group_protocol: :consumer])
    await_committed(kafka, pipeline.group, each(topic, 1, 5))
    json = once(["--brokers", kafka.bootstrap, "--group", pipeline.group, "--format", "json"])
    assert json =~ ~s("member":null,"topic":"#{topic}","partition":0,"rate":0,"lag":0,)
  end

  @tag :secured
  @tag :tmp_dir
  test "a group on brokers that want a login is shown, with a password that no command has in it",
       %{kafka: kafka, tmp_dir: dir} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    pipeline = TestPipeline.start(kafka, [topic])
    await_committed(kafka, pipeline.group, each(topic, 1, 5))
    path = Path.join(dir, "client.properties")

    File.write!(path, """
    # Of librdkafka.
    security.protocol=sasl_ssl
    ssl.ca.location = #{Secured.path("ca.pem")}
    sasl.mechanism=SCRAM-SHA-512
    sasl.username=alice

    sasl.password=alice-secret
    """)

    brokers = ["--brokers", Secured.kafka(:sasl_ssl).bootstrap, "--group", pipeline.group]
    json = once(["--format", "json", "--command-config", path] ++ brokers)
    assert json =~ ~s("topic":"#{topic}","partition":0,"rate":0,"lag":0,)
  end

  @tag :tmp_dir
  test "a file of properties that cannot be used is named, and nothing of what is in it", %{
    tmp_dir: dir
  } do
    path = Path.join(dir, "client.properties")
    argv = ["--brokers", "localhost:1", "--group", "g", "--command-config", path]
    assert_raise Mix.Error, ~r/#{path} cannot be read: no such file/, fn -> once(argv) end

    for {text, said} <- [
          {"# A comment.\nsasl.password hunter2", "line 2 of #{path} is not NAME=VALUE"},
          {"sasl.passwort=hunter2", "sasl.passwort"}
        ] do
      File.write!(path, text)
      error = assert_raise Mix.Error, fn -> once(argv) end
      assert error.message =~ said
      refute error.message =~ "hunter2"
    end
  end

  test "a node that is not there, and brokers that are not, are said to be that" do
    assert_raise Mix.Error, ~r/has a host in its name/, fn -> once(["--node", "app"]) end

    assert_raise Mix.Error, ~r/give either --node, or --brokers and --group/, fn ->
      once(["--brokers", "localhost:1"])
    end

    assert_raise Mix.Error, ~r/--lag: see mix help/, fn -> once(["--lag"]) end
    assert_raise Mix.Error, ~r/table or json, got: xml/, fn -> once(["--format", "xml"]) end

    secret = "sasl.password:hunter2"
    argv = ["--brokers", "localhost:1", "--group", "g", "--config", secret]
    error = assert_raise Mix.Error, fn -> once(argv) end
    refute error.message =~ "hunter2"
  end
end
