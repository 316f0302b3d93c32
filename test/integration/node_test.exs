defmodule OffBroadwayRustKafka.NodeTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.TestNode

  @partitions 4
  @count 4_000

  @moduletag timeout: 180_000

  for {shape, options} <- [
        {"", [processors: [concurrency: 4, max_demand: 5]]},
        {", with a batcher",
         [concurrency: 2, batchers: [default: [batch_size: 10, batch_timeout: 50]]]}
      ] do
    test "a node commits on SIGTERM exactly what it handled#{shape}", %{kafka: kafka} do
      topic = create_topic(kafka, @partitions)
      fill(kafka, topic, @partitions, @count)
      options = [group: random_name("group"), pause: 1] ++ unquote(Macro.escape(options))

      middle = terminate(kafka, topic, options, each(topic, @partitions, 0))
      terminate(kafka, topic, options, middle)
    end
  end

  test "a node loses nothing on kill -9", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, @count)
    group = random_name("group")
    # It has to end before the next one begins: six seconds is the least that brokers allow.
    session = if kafka.cluster, do: 1_600, else: 6_000
    config = ["session.timeout.ms": session, "heartbeat.interval.ms": 200]
    options = [group: group, producer: [config: config]]
    node = TestNode.start(kafka, [topic], [pause: 1] ++ options)
    committed = await_progress(kafka, group, topic, each(topic, @partitions, 0))
    assert TestNode.kill(node, "KILL") == 137

    handled = TestNode.handled(node)
    pipeline = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, group, each(topic, @partitions, @count), 60_000)
    # Where it began is what was committed at the end: a commit may have been under way.
    starts = await_assigned(pipeline, @partitions)
    rest = pipeline |> stop() |> offsets()

    for {at, next} <- starts do
      assert next >= (committed[at] || 0)
      assert Enum.to_list(0..(next - 1)//1) -- Map.get(handled, at, []) == []
      assert Map.get(rest, at, []) == Enum.to_list(next..(@count - 1)//1)
    end
  end

  test "two nodes share a group, and the one that stays takes over exactly", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, @partitions)
    group = random_name("group")
    options = [group: group, processors: [concurrency: 4, max_demand: 5]]
    [first, second] = for _ <- 1..2, do: TestNode.start(kafka, [topic], options)

    # Until both have something to do.
    await(30_000, fn ->
      fill(kafka, topic, @partitions, 5)
      [of_first, of_second] = Enum.map([first, second], &TestNode.handled/1)
      both = Map.keys(of_first) ++ Map.keys(of_second)

      if of_first != %{} and of_second != %{} and length(Enum.uniq(both)) == @partitions,
        do: :ok,
        else: {:not_yet, "one node handled #{inspect(of_first)}, the other #{inspect(of_second)}"}
    end)

    assert TestNode.kill(first, "TERM") == 0
    fill(kafka, topic, @partitions, 100)
    await_end(kafka, group, topic)
    assert TestNode.kill(second, "TERM") == 0

    handled =
      Map.merge(TestNode.handled(first), TestNode.handled(second), fn _, a, b -> a ++ b end)

    # The mock cluster takes no commits in a second round of a rebalance, which is when some come again.
    once = if kafka.cluster, do: &Enum.uniq/1, else: & &1

    for {at, next} <- committed(kafka, group, topic, @partitions),
        do: assert(handled[at] |> once.() |> Enum.sort() == Enum.to_list(0..(next - 1)))
  end

  defp await_end(kafka, group, topic) do
    await_committed(kafka, group, ends(kafka, topic, @partitions), 60_000)
  end

  defp terminate(kafka, topic, options, start) do
    node = TestNode.start(kafka, [topic], options)
    await_progress(kafka, node.group, topic, start)
    assert TestNode.kill(node, "TERM") == 0

    committed = committed(kafka, node.group, topic, @partitions)
    handled = TestNode.handled(node)

    for {at, from} <- start do
      assert Map.get(handled, at, []) == Enum.to_list(from..(committed[at] - 1)//1)
    end

    assert committed != each(topic, @partitions, @count),
           "the stop came too late to tell anything"

    committed
  end

  # Until something more is committed.
  defp await_progress(kafka, group, topic, start) do
    await(30_000, fn ->
      committed = committed(kafka, group, topic, @partitions)

      if Enum.any?(start, fn {at, from} -> (committed[at] || 0) > from end),
        do: committed,
        else: {:not_yet, "committed are #{inspect(committed)}"}
    end)
  end
end
