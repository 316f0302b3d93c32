defmodule OffBroadwayRustKafka.IdleTest do
  # Measures time and CPU: alone.
  use OffBroadwayRustKafka.KafkaCase, async: false

  alias OffBroadwayRustKafka.{Checker, History, TestGroup, TestStage, TestSubscriber}

  @partitions 4
  @rounds 60

  test "a record is handled within milliseconds of its arrival", %{kafka: kafka} do
    reader = reader(:pipeline, kafka)
    delays = for n <- 1..@rounds, do: delay(kafka, reader, n)
    median = delays |> Enum.sort() |> Enum.at(div(@rounds, 2))
    assert median < 50_000, "the median was #{median} µs, of #{inspect(delays)}"
  end

  # IDLE_SECONDS=3600 is the long form: once that long, on librdkafka's own timeouts, past the ten minutes
  # after which brokers close what is idle. The short one is longer than everything that looks from time
  # to time, the backstop twice and six fetches, and librdkafka closes what is idle itself.
  @seconds String.to_integer(System.get_env("IDLE_SECONDS", "3"))
  @short? @seconds < 60
  @times if @short?, do: 4, else: 1

  # Between fetches and heartbeats: the connection to the coordinator goes down after each of these, and
  # is up again within a session.
  @closing if @short?,
             do: [
               "connections.max.idle.ms": 1_000,
               "reconnect.backoff.max.ms": 100,
               "heartbeat.interval.ms": 2_000,
               "session.timeout.ms": 45_000
             ],
             else: []

  # The backstop would take up to a second.
  @bound_us 150_000

  @tag timeout: 1_000 * (@seconds * @times + 120)
  test "the first record after idleness is handled within milliseconds, by each shape of reader",
       %{kafka: kafka} do
    readers = for shape <- [:pipeline, :group, :stage], do: reader(shape, kafka, @closing)

    delays =
      for n <- 1..@times, reader <- readers do
        if reader == hd(readers), do: pass(1_000 * @seconds)
        {reader.shape, delay(kafka, reader, n)}
      end

    IO.puts("  after #{@seconds} s without a record: #{inspect(delays)} µs")

    # Once a broker may be busy with itself; the backstop would be late most times.
    for {shape, all} <- Enum.group_by(delays, &elem(&1, 0), &elem(&1, 1)),
        us <- all |> Enum.sort() |> Enum.take(max(length(all) - 1, 1)),
        do: assert(us < @bound_us, "the #{shape} took #{us} µs")

    for reader <- readers, do: finish(kafka, reader)
  end

  # One that has read a record of each partition, and of which a history is kept.
  defp reader(shape, kafka, config \\ []) do
    topic = create_topic(kafka, @partitions)
    history = History.start()
    started = start(shape, kafka, topic, history, fetch(kafka) ++ config)
    reader = %{shape: shape, topic: topic, history: history, started: started, name: started.name}
    await_assigned(started, @partitions)
    fill(kafka, topic, @partitions, 1)
    await_handled(reader, @partitions)
    reader
  end

  defp start(:pipeline, kafka, topic, history, config),
    do: TestPipeline.start(kafka, [topic], history: history, producer: [config: config])

  defp start(:group, kafka, topic, history, config),
    do: TestGroup.start(kafka, [topic], history: history, producer: [config: config])

  defp start(:stage, kafka, topic, history, config) do
    stage = TestStage.start(kafka, [topic], history: history, config: config)
    TestSubscriber.start(stage.name, tag: stage.name, handle: &History.Stage.ack/1)
    stage
  end

  defp await_handled(%{shape: :stage, name: name}, count), do: TestSubscriber.got(name, count)
  defp await_handled(reader, count), do: handled(reader, count)

  defp finish(kafka, %{started: %{name: name, group: group}, topic: topic} = reader) do
    await_committed(kafka, group, ends(kafka, topic, @partitions))

    if @short?,
      do: assert_received({:telemetry, ^name, :disconnected, _, %{host: "GroupCoordinator"}})

    for gone <- [:lost, :revoked], do: refute_received({:telemetry, ^name, ^gone, _, _})
    halt(reader)
    History.ask_produced(reader.history, kafka, topic, @partitions)
    History.ask_committed(reader.history, kafka, group, topic, @partitions)
    Checker.assert_sound!(reader.history, at_end: :all_committed, redelivered: 0)
  end

  defp halt(%{shape: :pipeline, started: pipeline}), do: stop(pipeline)
  defp halt(%{shape: :group, started: group}), do: TestGroup.stop(group)
  defp halt(%{shape: :stage, started: stage}), do: TestStage.stop(stage)

  test "an idle pipeline uses no measurable CPU", %{kafka: kafka} do
    topic = create_topic(kafka, 50)
    pipeline = TestPipeline.start(kafka, [topic], concurrency: 2, processors: [concurrency: 10])
    await_assigned(pipeline, 50)
    await_committed(kafka, pipeline.group, each(topic, 50, 0))

    {reductions, ticks} = {reductions(pipeline), member_ticks()}
    pass(3_000)

    # Three seconds are 300 ticks of a core.
    assert member_ticks() - ticks <= 3
    assert reductions(pipeline) - reductions < 1_000
  end

  # Microseconds from when the broker has the record: its way to the handler.
  defp delay(kafka, reader, n) do
    produce(kafka, reader.topic, [%{partition: rem(n, @partitions), value: "#{n}"}])
    from = System.monotonic_time(:microsecond)
    await_handled(reader, 1)
    System.monotonic_time(:microsecond) - from
  end

  # A mock cluster answers a fetch when its wait is over, not when there is a record.
  defp fetch(%{cluster: nil}), do: []
  defp fetch(_mock), do: ["fetch.wait.max.ms": 5]

  # User and system time, in ticks of 10 ms, of the threads that a member has of its own.
  defp member_ticks do
    for task <- File.ls!("/proc/self/task"),
        {:ok, stat} <- [File.read("/proc/self/task/#{task}/stat")],
        [_, name, rest] = Regex.run(~r/\((.*)\) (.*)/s, stat),
        String.starts_with?(name, "kafka-"),
        fields = String.split(rest),
        field <- [11, 12],
        reduce: 0 do
      ticks -> ticks + String.to_integer(Enum.at(fields, field))
    end
  end

  defp reductions(pipeline) do
    pids = for {name, _} <- producers(pipeline), do: Process.whereis(name)

    for pid <- pids, reduce: 0 do
      sum -> sum + elem(Process.info(pid, :reductions), 1)
    end
  end

  defp producers(pipeline),
    do: for(name <- Broadway.producer_names(pipeline.name), do: {name, nil})
end
