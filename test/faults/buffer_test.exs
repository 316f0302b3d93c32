defmodule OffBroadwayRustKafka.BufferTest do
  # Watches memory: alone.
  use OffBroadwayRustKafka.KafkaCase, async: false

  alias OffBroadwayRustKafka.{Checker, History, Resources, TestNode}

  @moduletag :broker
  @moduletag timeout: 120_000

  @partitions 300
  @record_kb 10
  @records 40
  @total_kb @partitions * @records * @record_kb

  @buffer_kb 16_384
  # What may be fetched and not delivered, and two records of each partition at its cap.
  @bound_kb @buffer_kb + 2 * @partitions * @record_kb
  # Of the VM's own: what a record of each partition takes on its way, and code that is loaded late.
  @vm_kb 20_480

  @seconds 8

  # One record of each partition is in flight, and there is demand for more.
  @narrow [max_in_flight: 1, max_buffered_bytes: 1_024 * @buffer_kb]
  # As much as there is of a fifth of them.
  @roomier [max_in_flight: 2, max_buffered_bytes: 4 * 1_024 * @buffer_kb]
  @processors [concurrency: 8, max_demand: 100]

  # Groups of their own read it: once is enough.
  setup_all do
    kafka = Kafka.shared()
    topic = create_topic(kafka, @partitions)
    value = :binary.copy("x", 1_024 * @record_kb)
    round = for {_, id} <- all(topic, @partitions), do: [partition: id, value: value]
    for _ <- 1..@records, do: produce(kafka, topic, round)
    %{topic: topic}
  end

  test "hundreds of partitions that are all stuck hold what max_buffered_bytes says", context do
    %{kafka: kafka, topic: topic} = context
    history = History.start()
    options = [history: history, pause: 3_600_000, producer: @narrow, processors: @processors]
    node = TestNode.start(kafka, [topic], options)
    History.await_events(history, :assigned, @partitions)
    before = Resources.resident_kb(node.pid)
    History.await_events(history, :delivered, @partitions)
    grown = Resources.peak_kb(node.pid, now() + 1_000 * @seconds) - before
    IO.puts("  #{@partitions} stuck partitions: grew by #{grown} kB, of #{@total_kb} kB")
    assert grown < @bound_kb + @vm_kb
    assert @bound_kb + @vm_kb < div(@total_kb, 2)
  end

  test "what does not fit is read later, in order and without a gap, slow partitions beside quick ones",
       %{kafka: kafka, topic: topic} do
    history = History.start()

    handle = fn message ->
      if rem(message.metadata.partition, 50) == 0, do: pass(5)
      message
    end

    options = [history: history, tell: false, handle: handle]
    options = options ++ [producer: @roomier, processors: @processors]
    pipeline = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, pipeline.group, each(topic, @partitions, @records), 60_000)
    stop(pipeline)
    History.ask_produced(history, kafka, topic, @partitions)
    History.ask_committed(history, kafka, pipeline.group, topic, @partitions)
    Checker.assert_sound!(history, at_end: :all_committed, order: true, redelivered: 0)
  end

  defp now, do: System.monotonic_time(:millisecond)
end
