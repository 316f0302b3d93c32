defmodule OffBroadwayRustKafka.UnackedTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  @timeout 1_000

  # A batch that comes back without its odd offsets, the first time it has them.
  defp forget_once do
    seen = :ets.new(:seen, [:public])

    &Enum.filter(&1, fn %{metadata: %{offset: offset}} ->
      rem(offset, 2) == 0 or not :ets.insert_new(seen, {offset})
    end)
  end

  defp forgetful(kafka, topic, options) do
    # What is delivered again is fetched again, long before it is told of again.
    producer = [unacked_timeout: @timeout, config: ["fetch.wait.max.ms": 50]]

    TestPipeline.start(kafka, [topic],
      producer: Keyword.merge(producer, options),
      batchers: [default: [batch_size: 10, batch_timeout: 20]],
      handle_batch: forget_once()
    )
  end

  test "a batch that returns fewer is told by topic, partition, offset and age, and again", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    %{name: name} = pipeline = forgetful(kafka, topic, [])
    assert_receive {:telemetry, ^name, :stalled, %{count: 1, age_ms: age}, metadata}, 10_000

    assert [%{topic: ^topic, partition: 0, offset: 1, in_flight: 5, age_ms: ^age}] =
             metadata.partitions

    assert age >= @timeout
    assert_receive {:telemetry, ^name, :stalled, %{age_ms: later}, _}, 10_000
    assert later >= 2 * @timeout
    # By default it is told and left alone.
    await_committed(kafka, pipeline.group, each(topic, 1, 1))
  end

  test "it is logged with the pipeline's name", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        %{name: name} = forgetful(kafka, topic, [])
        assert_receive {:telemetry, ^name, :stalled, _, _}, 10_000
        # The line follows the event.
        assert_receive {:telemetry, ^name, :stalled, _, _}, 10_000
      end)

    assert log =~ ~r/TestPipeline\d+.*#{topic}\/0 at offset 1 for \d+ ms \(5 in flight\)/
  end

  test "on_unacked: :redeliver brings what was forgotten again, and nothing else", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    pipeline = forgetful(kafka, topic, on_unacked: :redeliver)
    await_committed(kafka, pipeline.group, each(topic, 2, 10))
    handled = pipeline |> stop() |> offsets()

    # What one partition forgot the other does not forget too.
    assert Enum.sum(for {_, offsets} <- handled, do: length(offsets)) == 25
    for {_, offsets} <- handled, do: assert(Enum.uniq(offsets) == Enum.to_list(0..9))
  end

  test "on_unacked: :stop restarts the stages from the committed offset", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    %{name: name} = pipeline = forgetful(kafka, topic, on_unacked: :stop)
    supervisor = Process.whereis(:"#{name}.Broadway.Supervisor")
    monitor = pipeline |> consumer() |> Process.monitor()
    fill(kafka, topic, 1, 10)
    assert_receive {:DOWN, ^monitor, _, _, %{code: :unacked_timeout, topic: ^topic}}, 10_000
    await_committed(kafka, pipeline.group, each(topic, 1, 10))
    assert Process.whereis(:"#{name}.Broadway.Supervisor") == supervisor
    assert_complete(handled_so_far(pipeline), [{topic, 0}], 10)
  end

  test "a handler that hangs is told, and its late ack counts", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    test = self()

    hang = fn message ->
      if message.metadata.partition == 0 and message.metadata.offset == 1,
        do: TestPipeline.hold(test, :hung)

      message
    end

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        producer: [unacked_timeout: @timeout],
        processors: [max_demand: 1],
        handle: hang
      )

    assert_receive {:held, pid, :hung}, 10_000
    assert_receive {:telemetry, ^name, :stalled, _, %{partitions: [stalled]}}, 10_000
    assert %{partition: 0, offset: 1, in_flight: 1} = stalled
    send(pid, :go)
    await_committed(kafka, pipeline.group, each(topic, 2, 3))
  end

  test "a redelivered record and the slow one it repeats count once, whichever is first", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 4)
    test = self()
    first = :counters.new(1, [])

    slow = fn messages ->
      :counters.add(first, 1, 1)
      if :counters.get(first, 1) == 1, do: TestPipeline.hold(test, :slow)
      messages
    end

    pipeline =
      TestPipeline.start(kafka, [topic],
        producer: [unacked_timeout: @timeout, on_unacked: :redeliver],
        batchers: [default: [batch_size: 4, batch_timeout: 20]],
        handle_batch: slow
      )

    assert_receive {:held, pid, :slow}, 10_000
    # The processor gets them again while the batch processor still has them.
    handled = handled(pipeline, 8)
    assert offsets(handled) == %{{topic, 0} => [0, 1, 2, 3, 0, 1, 2, 3]}
    send(pid, :go)
    await_committed(kafka, pipeline.group, each(topic, 1, 4))
    fill(kafka, topic, 1, 1)
    await_committed(kafka, pipeline.group, each(topic, 1, 5))
  end

  test "with unacked_timeout: :infinity nothing is told", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    %{name: name} = forgetful(kafka, topic, unacked_timeout: :infinity)
    refute_receive {:telemetry, ^name, :stalled, _, _}, 3 * @timeout
  end
end
