defmodule OffBroadwayRustKafka.Faults.ProcessTest do
  use OffBroadwayRustKafka.FaultCase, async: true

  @partitions 8
  # Delivered and unacked, of one partition.
  @in_flight 200
  @most @partitions * @in_flight

  defp start(%{kafka: kafka, history: history}, topic, options) do
    {producer, options} = Keyword.pop(options, :producer, [])

    own = [
      history: history,
      tell: false,
      producer: [max_in_flight: @in_flight] ++ producer,
      processors: [concurrency: 4, max_demand: 50]
    ]

    TestPipeline.start(kafka, [topic], Keyword.merge(own, options))
  end

  describe "in full flow" do
    @describetag :broker
    @each 20_000

    setup %{kafka: kafka, history: history} do
      topic = create_topic(kafka, @partitions)
      fill_big(kafka, topic, @partitions, @each)
      record_produced(history, kafka, topic, @partitions)
      {handle, counted} = counting()
      %{topic: topic, handle: handle, counted: counted}
    end

    test "producers that are killed at random times lose none", %{topic: topic} = context do
      # Of three, Broadway starts six again within three seconds.
      pipeline = start(context, topic, concurrency: 3, handle: context.handle)
      kills = 6

      for at <- Enum.sort(for _ <- 1..kills, do: Enum.random(1..(@partitions * @each - @most))) do
        await_count(context.counted, at)
        kill_one(context.history, stages(pipeline, :producer))
      end

      report = assert_all_committed(context, [pipeline], topic, @partitions)
      assert report.members == 1
      assert report.redelivered <= kills * @most
    end

    test "the owner of the consumer, killed twice, loses none", %{topic: topic} = context do
      pipeline = start(context, topic, concurrency: 3, handle: context.handle)

      for at <- Enum.sort(for _ <- 1..2, do: Enum.random(1..(@partitions * @each - @most))) do
        await_count(context.counted, at)
        kill_pid(context.history, "the owner of the consumer", consumer(pipeline))
      end

      # Its member commits and leaves by itself: the next does not wait for a session to end.
      report = assert_all_committed(context, [pipeline], topic, @partitions)
      assert report.members == 3
      assert report.redelivered <= 2 * @most
    end
  end

  describe "a node" do
    @each 2_000
    @concurrency 4
    @pause_ms 1
    # What its handlers manage in one interval of 200 ms and the time of a commit.
    @uncommitted div(2 * 200 * @concurrency, @pause_ms)

    setup %{kafka: kafka, history: history} do
      topic = create_topic(kafka, @partitions)
      fill_big(kafka, topic, @partitions, @each)
      record_produced(history, kafka, topic, @partitions)
      %{topic: topic, group: random_name("group")}
    end

    test "that is killed by SIGKILL repeats what it had not committed, and no more", context do
      %{kafka: kafka, history: history, topic: topic, group: group} = context
      node = start_node(context, config: [])
      await_handled(node, Enum.random(500..3_000))
      assert TestNode.kill(node, "KILL") == 137

      pipeline = start(context, topic, group: group, producer: [config: session(kafka)])
      # The session of the node has to end first.
      starts = await_assigned(pipeline, @partitions)
      above = delivered_above(history, TestNode.label(node), starts)
      assert above <= @most + @uncommitted

      report = assert_all_committed(context, [pipeline], topic, @partitions)
      assert report.redelivered == above
    end
  end

  defp start_node(%{kafka: kafka} = context, options) do
    producer = [max_in_flight: @in_flight, config: session(kafka) ++ options[:config]]

    TestNode.start(kafka, [context.topic],
      history: context.history,
      group: context.group,
      pause: @pause_ms,
      producer: producer,
      processors: [concurrency: @concurrency, max_demand: 50]
    )
  end

  # Six seconds is the least that brokers allow.
  defp session(%{cluster: nil}), do: ["session.timeout.ms": 6_000]
  defp session(_mock), do: []

  defp await_handled(node, count) do
    await(60_000, fn ->
      case node
           |> TestNode.handled()
           |> Enum.map(fn {_, offsets} -> length(offsets) end)
           |> Enum.sum() do
        handled when handled >= count -> :ok
        handled -> {:not_yet, "the node handled #{handled} of #{count}"}
      end
    end)
  end

  defp delivered_above(history, label, starts) do
    for {_, member, :delivered, place, _, {_, spans}} <- History.events(history),
        member != nil and History.label(member) == label,
        {first, last} <- spans,
        reduce: 0 do
      count -> count + max(last - max(first, starts[place]) + 1, 0)
    end
  end
end
