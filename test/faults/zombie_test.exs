defmodule OffBroadwayRustKafka.Faults.ZombieTest do
  use OffBroadwayRustKafka.FaultCase, async: true

  alias OffBroadwayRustKafka.Brokers

  @partitions 8
  @each 300
  @await_ms 60_000

  # Six seconds is the least that brokers allow; under the other protocol they decide.
  for {protocol, tag, producer} <- [
        {:classic, :broker, [config: ["session.timeout.ms": 6_000]]},
        {:consumer, :cluster, [group_protocol: :consumer]}
      ] do
    @tag tag
    @tag producer: producer
    test "a member that was stopped past its session commits nothing, and comes back (#{protocol})",
         context do
      kafka = if unquote(tag) == :cluster, do: Brokers.kafka(), else: context.kafka
      assert_fenced(%{context | kafka: kafka})
    end
  end

  defp assert_fenced(%{kafka: kafka, history: history} = context) do
    topic = create_topic(kafka, @partitions)
    options = [group: random_name("group"), history: history]
    node = start_node(context, topic, options)
    label = TestNode.label(node)
    {gate, handle} = gate()

    # Its handlers stand still while the node is a zombie: whatever is committed then of what the
    # node had, the node has committed.
    producer = [drain_timeout: 1_000] ++ context.producer
    pipeline = TestPipeline.start(kafka, [topic], [handle: handle, producer: producer] ++ options)
    await_shared(pipeline)
    fill(kafka, topic, @partitions, @each)
    record_produced(history, kafka, topic, @partitions)
    await_handled(node, 50)
    :atomics.put(gate, 1, 0)

    TestNode.signal(node, "STOP")
    starts = await_taken_over(pipeline)
    taken = Map.drop(starts, starts |> Map.keys() |> Enum.reject(&(&1 in had(history, label))))
    assert taken != %{}
    await_committed(kafka, pipeline.group, taken)

    continued = System.os_time(:nanosecond)
    TestNode.signal(node, "CONT")
    await_back(kafka, pipeline.group, taken, history, label, continued)
    # It had records in hand, and handled them in vain.
    before = epochs(events(history, label, :handled, 0, continued))
    again = epochs(events(history, label, :handled, continued))
    assert Enum.any?(again, &(&1 in before))

    :atomics.put(gate, 1, 1)
    await_committed(kafka, pipeline.group, ends(kafka, topic, @partitions), @await_ms)
    assert TestNode.kill(node, "TERM") == 0
    assert_all_committed(%{context | kafka: kafka}, [pipeline], topic, @partitions)
  end

  defp start_node(%{kafka: kafka, producer: producer}, topic, options) do
    own = [pause: 10, producer: producer, processors: [concurrency: 2, max_demand: 50]]
    TestNode.start(kafka, [topic], own ++ options)
  end

  defp gate do
    gate = :atomics.new(1, [])
    :atomics.put(gate, 1, 1)
    {gate, fn message -> pass(gate, message) end}
  end

  defp pass(gate, message) do
    if :atomics.get(gate, 1) == 1 do
      message
    else
      pass(10)
      pass(gate, message)
    end
  end

  defp await_shared(pipeline) do
    await(@await_ms, fn ->
      case length(OffBroadwayRustKafka.progress(pipeline.name)) do
        count when count in 1..(@partitions - 1) -> :ok
        count -> {:not_yet, "the pipeline has #{count} partitions"}
      end
    end)
  end

  defp await_handled(node, count) do
    await(@await_ms, fn ->
      case node |> TestNode.handled() |> Map.values() |> Enum.concat() |> length() do
        handled when handled >= count -> :ok
        handled -> {:not_yet, "the node handled #{handled}"}
      end
    end)
  end

  defp await_taken_over(pipeline) do
    await(@await_ms, fn ->
      progress = OffBroadwayRustKafka.progress(pipeline.name)

      if length(progress) == @partitions,
        do: Map.new(progress, &{{&1.topic, &1.partition}, &1.start}),
        else: {:not_yet, "#{length(progress)} partitions were taken over"}
    end)
  end

  # Until it is assigned something again; before that nothing moves.
  defp await_back(kafka, group, taken, history, label, since) do
    await(@await_ms, fn ->
      {:ok, committed} = TestClient.committed(client(kafka), group, Map.keys(taken))

      if events(history, label, :assigned, since) == [] do
        assert committed == taken
        {:not_yet, "the node is not back"}
      else
        :ok
      end
    end)
  end

  defp had(history, label),
    do: for({_, _, _, place, _, _} <- events(history, label, :delivered, 0), do: place)

  defp epochs(events),
    do: events |> Enum.map(fn {_, _, _, place, epoch, _} -> {place, epoch} end) |> Enum.uniq()

  defp events(history, label, kind, since, until \\ :infinity) do
    for {time, member, ^kind, _, _, _} = event <- History.events(history),
        member != nil and History.label(member) == label and time >= since and time < until,
        do: event
  end
end
