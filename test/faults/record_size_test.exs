defmodule OffBroadwayRustKafka.RecordSizeTest do
  # Memory is measured: nothing else may run meanwhile.
  use OffBroadwayRustKafka.KafkaCase, async: false

  alias OffBroadwayRustKafka.Error

  @mib 1_048_576

  # A topic that takes large records, and a client that sends them.
  defp large(kafka) do
    {:ok, client} = TestClient.start(kafka.bootstrap, "message.max.bytes": 20 * @mib)
    kafka = %{kafka | client: client}
    {kafka, create_topic(kafka, 1, config: ["max.message.bytes": 20 * @mib])}
  end

  # The least that librdkafka takes.
  @small_fetch [
    "fetch.message.max.bytes": 1_000,
    "message.max.bytes": 1_000,
    "fetch.max.bytes": 1_000
  ]

  test "records above the fetch limit arrive, in order with small ones", %{kafka: kafka} do
    {kafka, topic} = large(kafka)
    sizes = [10, 500_000, 20, 2 * @mib, 30, 1_000]
    # One by one, so that every record is a batch.
    for size <- sizes, do: produce(kafka, topic, [:binary.copy("x", size)])
    pipeline = TestPipeline.start(kafka, [topic], producer: [config: @small_fetch])
    handled = handled(pipeline, length(sizes))
    assert Enum.map(handled, &byte_size(&1.data)) == sizes
    assert offsets(handled) == each(topic, 1, Enum.to_list(0..5))
    await_committed(kafka, pipeline.group, each(topic, 1, 6))
  end

  test "a record above receive.message.max.bytes is told with what to raise, and not passed over",
       %{kafka: kafka} do
    {kafka, topic} = large(kafka)
    values = ["first", :binary.copy("x", @mib), "last"]
    for value <- values, do: produce(kafka, topic, [value])
    group = random_name("group")
    # Enough for the metadata of all topics that the suite has made.
    small = @small_fetch ++ ["receive.message.max.bytes": 500_000]

    %{name: name} =
      pipeline = TestPipeline.start(kafka, [topic], group: group, producer: [config: small])

    assert_receive {:telemetry, ^name, :error, _, %{error: %Error{code: :bad_msg} = error}},
                   20_000

    assert error.message =~ "receive.message.max.bytes"
    await_committed(kafka, group, each(topic, 1, 1))
    assert pipeline |> stop() |> Enum.map(& &1.data) == ["first"]
    assert committed(kafka, group, topic, 1) == each(topic, 1, 1)

    large = TestPipeline.start(kafka, [topic], group: group)
    assert large |> handled(2) |> Enum.map(& &1.data) == tl(values)
    await_committed(kafka, group, each(topic, 1, 3))
  end

  test "empty values, tombstones and values of a mebibyte pass through one partition in order", %{
    kafka: kafka
  } do
    {kafka, topic} = large(kafka)
    mebibyte = :crypto.strong_rand_bytes(@mib)
    values = ["", nil, mebibyte, nil, "", mebibyte, "small", mebibyte, nil]
    produce(kafka, topic, for(value <- values, do: [value: value, key: "key"]))
    pipeline = TestPipeline.start(kafka, [topic])
    handled = handled(pipeline, length(values))
    assert Enum.map(handled, & &1.data) == values
    await_committed(kafka, pipeline.group, each(topic, 1, length(values)))
  end

  test "a record with ten thousand headers arrives with all of them, in order", %{kafka: kafka} do
    {kafka, topic} = large(kafka)
    headers = for n <- 1..10_000, do: {"header-#{rem(n, 100)}", "#{n}"}
    produce(kafka, topic, [[value: "v", headers: headers], [value: nil, headers: headers]])
    pipeline = TestPipeline.start(kafka, [topic])
    assert pipeline |> handled(2) |> Enum.map(& &1.metadata.headers) == [headers, headers]
    await_committed(kafka, pipeline.group, each(topic, 1, 2))
  end

  @tag :broker
  test "memory stays small beside a large backlog of large values, waiting and handled", %{
    kafka: kafka
  } do
    {kafka, topic} = large(kafka)
    # The last reference to what was produced goes with the process.
    Task.await(Task.async(fn -> backlog(kafka, topic, 150) end), 60_000)
    on_exit(fn -> TestClient.delete_topic(client(%{kafka | client: nil}), topic) end)
    test = self()

    slow = fn message ->
      if message.metadata.offset == 1, do: TestPipeline.hold(test, :full)
      # The test keeps no values.
      %{message | data: byte_size(message.data)}
    end

    before = memory()
    pipeline = TestPipeline.start(kafka, [topic], handle: slow, processors: [max_demand: 4])
    assert_receive {:held, processor, :full}, 20_000
    # What was asked for, the queue's eighth of 64 MiB, and two fetches of a record.
    assert_settled(before, 4 + 8 + 2 + 16)
    send(processor, :go)
    assert pipeline |> handled(150) |> Enum.map(& &1.data) |> Enum.uniq() == [@mib]
    await_committed(kafka, pipeline.group, each(topic, 1, 150))
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    assert_settled(before, 4 + 2 + 30)
  end

  defp backlog(kafka, topic, count) do
    value = :crypto.strong_rand_bytes(@mib)
    for _ <- 1..count, do: produce(kafka, topic, [value])
  end

  # Of the process where the system tells, else of the VM.
  defp memory do
    with {:ok, status} <- File.read("/proc/self/status"),
         [_, kib] <- Regex.run(~r/VmRSS:\s+(\d+) kB/, status) do
      String.to_integer(kib) * 1024
    else
      _ -> :erlang.memory(:total)
    end
  end

  # A second without another fetch.
  defp assert_settled(before, mib, last \\ 0) do
    now = memory()
    assert now - before < mib * @mib, "#{div(now - before, @mib)} MiB more than before"

    if now > last do
      pass(1_000)
      assert_settled(before, mib, now)
    end
  end
end
