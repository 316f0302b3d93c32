defmodule OffBroadwayRustKafka.LostAssignmentTest do
  # A member whose assignment is lost, as after a session that has timed out: what it had for its
  # partitions ends, and is started anew once they are assigned again.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History, StageGroup, TestGroup, TestSubscriber}

  @moduletag timeout: 120_000

  # Records are held for the first time only, one in each partition.
  @spec hold_once(pid(), non_neg_integer(), pos_integer()) :: (map() -> :ok)
  defp hold_once(test, offset, partitions) do
    seen = :atomics.new(partitions, [])

    fn at ->
      if at.offset == offset and :atomics.add_get(seen, at.partition + 1, 1) == 1,
        do: TestPipeline.hold(test, at.partition),
        else: :ok
    end
  end

  @spec held(pos_integer()) :: %{(partition :: non_neg_integer()) => pid()}
  defp held(count) do
    for _ <- 1..count, into: %{} do
      assert_receive {:held, pid, partition}, 15_000
      {partition, pid}
    end
  end

  @spec lose(Kafka.t(), atom()) :: :ok
  defp lose(kafka, name) do
    :ok = TestCluster.request_errors(kafka.cluster, :heartbeat, [:unknown_member_id])
    assert_receive {:telemetry, ^name, :lost, %{count: 2}, _}, 15_000
    :ok
  end

  test "pipelines of partitions finish in vain, and others handle what was in flight" do
    kafka = own()
    topic = create_topic(kafka, 2)
    history = History.start()
    hold = hold_once(self(), 5, 2)
    handle = fn message -> hold.(message.metadata) && message end
    processors = [concurrency: 1, max_demand: 1]
    options = [history: history, handle: handle, processors: processors]
    %{name: name} = group = TestGroup.start(kafka, [topic], options)
    await_assigned(group, 2)
    TestGroup.await_started(group, 2)
    fill(kafka, topic, 2, 10)
    held = held(2)
    await_committed(kafka, group.group, each(topic, 2, 5))
    History.fault(history, "the assignment is lost", TestPipeline.label(group))
    lose(kafka, name)

    # Those that come wait until those that go have ended.
    await_assigned(group, 2)
    refute_received {:telemetry, ^name, :pipeline_started, _, _}
    for {_, pid} <- held, do: send(pid, :go)
    assert length(TestGroup.await_stopped(group, 2)) == 2
    assert length(TestGroup.await_started(group, 2)) == 2
    refute_received {:telemetry, ^name, :set_aside, _, _}
    await_committed(kafka, group.group, each(topic, 2, 10))
    fill(kafka, topic, 2, 5)
    await_committed(kafka, group.group, each(topic, 2, 15))
    TestGroup.stop(group)
    report = TestGroup.sound(history, kafka, group, topic, 2)
    assert report.redelivered >= 2
  end

  test "stages and subscribers end, and others handle what was in flight" do
    kafka = own()
    topic = create_topic(kafka, 2)
    history = History.start()
    hold = hold_once(self(), 5, 2)
    handle = fn records -> Enum.each(records, hold) end
    options = [history: history, handle: handle, max_demand: 1]
    group = StageGroup.start(kafka, [topic], options)
    before = subscribers(group, 2)
    monitors = for pid <- before, do: Process.monitor(pid)
    fill(kafka, topic, 2, 10)
    held = held(2)
    await_committed(kafka, group.group, each(topic, 2, 5))
    History.fault(history, "the assignment is lost", History.Stage.label(group.name))
    lose(kafka, group.name)
    for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, _}, 15_000)
    again = subscribers(group, 2)
    assert Enum.sort(Map.values(held)) == Enum.sort(before)
    assert Enum.all?(again, &(&1 not in before))
    await_committed(kafka, group.group, each(topic, 2, 10))
    fill(kafka, topic, 2, 5)
    await_committed(kafka, group.group, each(topic, 2, 15))
    StageGroup.stop(group)

    # What was in flight came again, and nothing else.
    for {_, offsets} <- by_partition(TestSubscriber.got_so_far(group.name)),
        do: assert(Enum.sort(offsets) == Enum.sort([5 | Enum.to_list(0..14)]))

    report = Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 2})
    assert report.redelivered == 2
  end

  @spec subscribers(StageGroup.t(), pos_integer()) :: [pid()]
  defp subscribers(%{name: name}, count) do
    for _ <- 1..count do
      assert_receive {:subscribed, ^name, pid, _producer, _place}, 15_000
      pid
    end
  end

  @spec by_partition([OffBroadwayRustKafka.Record.t()]) :: %{integer() => [integer()]}
  defp by_partition(records), do: Enum.group_by(records, & &1.partition, & &1.offset)
end
