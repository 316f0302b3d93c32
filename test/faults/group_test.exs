defmodule OffBroadwayRustKafka.Faults.GroupTest do
  # Groups with a pipeline for each partition, beside members on nodes of their own that come and are killed.
  use OffBroadwayRustKafka.FaultCase, async: true

  alias OffBroadwayRustKafka.TestGroup

  @partitions 6
  @each 200
  @await_ms 60_000

  test "pipelines follow the partitions that a node takes and, killed, leaves", context do
    %{kafka: kafka, history: history} = context
    topic = create_topic(kafka, @partitions)
    options = [group: random_name("group"), history: history]
    group = TestGroup.start(kafka, [topic], options)
    TestGroup.await_started(group, @partitions)
    fill(kafka, topic, @partitions, @each)

    node = TestNode.start(kafka, [topic], [pause: 5, processors: [concurrency: 2]] ++ options)
    moved = TestGroup.await_stopped(group, 1)
    fill(kafka, topic, @partitions, @each)

    await(@await_ms, fn ->
      if TestNode.handled(node) == %{}, do: {:not_yet, "the node handles nothing"}, else: :ok
    end)

    TestNode.kill(node, "KILL")
    ends = record_produced(history, kafka, topic, @partitions)
    await_committed(kafka, group.group, ends, 2 * @await_ms)
    assert moved != []
    assert length(OffBroadwayRustKafka.progress(group.name)) == @partitions
    TestGroup.stop(group)
    History.ask_committed(history, kafka, group.group, topic, @partitions)
    checked(context, at_end: :all_committed, fencing: kafka.cluster == nil)
  end

  test "pipelines that move to another member and back, again and again, always run", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 4)
    group = TestGroup.start(kafka, [topic], processors: [concurrency: 1])
    TestGroup.await_started(group, 4)

    for _ <- 1..5 do
      other = TestGroup.start(kafka, [topic], group: group.group, processors: [concurrency: 1])
      moved = length(TestGroup.await_started(other, 1))
      TestGroup.stop(other)
      assert moved == 1

      await(@await_ms, fn ->
        {:ok, assigned} = OffBroadwayRustKafka.assignment(group.name)
        taken = Enum.count(assigned, & &1.producer)
        if taken == 4, do: :ok, else: {:not_yet, "#{taken} partitions have a pipeline"}
      end)
    end

    fill(kafka, topic, 4, 10)
    assert group |> handled(40) |> offsets() == each(topic, 4, Enum.to_list(0..9))
  end
end
