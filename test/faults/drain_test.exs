defmodule OffBroadwayRustKafka.Faults.DrainTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import OffBroadwayRustKafka.Members

  alias OffBroadwayRustKafka.{Feed, Gaps, History, Members}

  @moduletag timeout: 180_000

  # A mock cluster knows no KIP-848, and takes no commits from members that are on their way to join: of what
  # those that move must not lose time or come twice, brokers tell.
  @partitions 8
  @drain 1_500
  @incremental [
    {"cooperative-sticky", []},
    {"KIP-848", [group_protocol: :consumer]}
  ]
  @protocols [{"eager", [config: ["partition.assignment.strategy": "range"]]} | @incremental]

  setup %{kafka: kafka} do
    Members.context(kafka, @partitions)
  end

  for {protocol, producer} <- @protocols do
    @tag :broker
    @tag producer: producer
    test "a drain ends at drain_timeout, and the member stays in its group, under #{protocol}",
         context do
      %{name: name} = first = start(context, handle: hold(:first, 3, 1))
      await_assigned(first, @partitions)
      feed = Feed.start(context.kafka, context.topic, @partitions)
      held = held(:first, @partitions)

      from = System.os_time(:nanosecond)
      second = start(context)
      assert_receive {:telemetry, ^name, :revoked, revoked, _}, 30_000
      assert revoked.drain_ms in @drain..(@drain + 6_000)
      assert revoked.unacked == revoked.count
      [_, moved] = await_balanced(context, [first, second])
      await_progress(context, moved)

      # What it keeps it goes on with, as the member that it was.
      release(held)
      await_progress(context)

      for event <- [:revoked, :lost],
          do: refute_received({:telemetry, ^name, ^event, _, _})

      await_all_committed(context, Feed.stop(feed))
      Enum.each([first, second], &stop/1)

      for partition <- moved do
        given_up = time(context, first, :revoked, partition)
        assert given_up - from >= @drain * 1_000_000
        # As soon as the group's next round brings it.
        assert time(context, second, :assigned, partition) - given_up < 15_000_000_000
      end

      assert_sound!(context)
    end

    @tag if(protocol == "KIP-848", do: :broker, else: :mock)
    @tag producer: producer
    test "late acks change nothing for the next owner, under #{protocol}", context do
      first = start(context, handle: hold(:first, 1, 1))
      await_assigned(first, @partitions)
      fill(context.kafka, context.topic, @partitions, 3)
      late = held(:first, @partitions)
      await_committed_at(context, 1, all_partitions())

      second = start(context, handle: hold(:second, 1, 1))
      [kept, moved] = await_balanced(context, [first, second])
      next = held(:second, length(moved))

      # Whatever they did would be committed with what the first still has.
      release(late)
      await_committed_at(context, 3, kept)
      await_committed_at(context, 1, moved)
      release(next)
      await_committed_at(context, 3, all_partitions())
      stop(first)
      again = second |> stop() |> offsets()
      for partition <- moved, do: assert(again[{context.topic, partition}] == [1, 2])
      assert_sound!(context)
    end

    @tag if(protocol == "KIP-848", do: :broker, else: :mock)
    @tag producer: producer
    test "an ack that is late by two moves of its partition changes nothing, under #{protocol}",
         context do
      first = start(context, handle: hold(:first, 1, :always))
      await_assigned(first, @partitions)
      fill(context.kafka, context.topic, @partitions, 3)
      late = held(:first, @partitions)
      await_committed_at(context, 1, all_partitions())

      # The second gets some, handles nothing of them, and they come back.
      broadway = [shutdown: 200]
      second = start(context, handle: hold(:second, 1, :always), broadway: broadway)
      [_, moved] = await_balanced(context, [first, second])
      held(:second, length(moved))
      stop(second)
      await_balanced(context, [first])

      # Delivered again, they wait behind the ones of before; those are acked first.
      release(late)

      again =
        held(:first, first.name |> OffBroadwayRustKafka.progress() |> Enum.count(&(&1.epoch > 1)))

      await_committed_at(context, 1, moved)
      release(again)
      await_committed_at(context, 3, all_partitions())
      stop(first)
      assert_sound!(context, clean_stops: [TestPipeline.label(first)])
    end

    @tag :broker
    @tag producer: producer
    test "a revoke stops delivery, drains, commits, and then gives up, under #{protocol}",
         context do
      dawdle = fn message ->
        pass(20)
        message
      end

      first = start(context, handle: dawdle)
      await_assigned(first, @partitions)
      feed = Feed.start(context.kafka, context.topic, @partitions)
      await_progress(context)
      second = start(context)
      [_, moved] = await_balanced(context, [first, second])
      await_progress(context)
      await_all_committed(context, Feed.stop(feed))
      Enum.each([first, second], &stop/1)
      events = History.events(context.history)
      own = TestPipeline.label(first) <> "#1"

      for partition <- moved, place = {context.topic, partition} do
        of_first =
          for {_, ^own, kind, ^place, epoch, value} <- events,
              epoch in [1, nil],
              do: {kind, value}

        assert {:revoked, 0} = List.last(of_first)
        assert {:committed, {last, _}} = List.keyfind(Enum.reverse(of_first), :committed, 0)
        assert {last, place} == {start_of(events, second, place), place}
      end

      assert %{redelivered: 0} = assert_sound!(context)
    end
  end

  for {protocol, producer} <- @incremental do
    @tag :broker
    @tag producer: producer
    test "what does not move goes on while others drain, under #{protocol}", context do
      %{name: name} = first = start(context, handle: hold_even(:first, 3), drain: 8_000)
      bystander = start(context)
      [share, _] = await_balanced(context, [first, bystander])
      feed = Feed.start(context.kafka, context.topic, @partitions)
      held = held(:first, Enum.count(share, &(rem(&1, 2) == 0)))

      await_progress(
        context,
        Enum.filter(all_partitions(), &(&1 not in share or rem(&1, 2) == 1))
      )

      from = System.os_time(:nanosecond)
      third = start(context)
      assert_receive {:telemetry, ^name, :revoked, %{drain_ms: drain}, _}, 30_000
      await_balanced(context, [first, bystander, third])
      to = System.os_time(:nanosecond)
      drain = longest_drain(name, drain)
      release(held)
      times = Feed.stop(feed)
      await_all_committed(context, times)
      Enum.each([first, bystander, third], &stop/1)

      gaps = gaps(context, times, [{from, to}])
      {own, others} = Enum.split_with(gaps, &(&1.member == TestPipeline.label(first) <> "#1"))
      own = Enum.filter(own, &(rem(elem(&1.place, 1), 2) == 1))
      IO.puts("#{unquote(protocol)}, a drain of #{drain} ms: #{Gaps.summary(own)} beside it; ")
      IO.puts("  of other members: #{Gaps.summary(others)}")
      assert Gaps.percentile(own, 50) <= drain + 2_000
      assert Gaps.percentile(own, 100) <= drain + 4_000
      assert Gaps.percentile(others, 50) <= 2_000
      assert Gaps.percentile(others, 100) <= 4_000
      assert_sound!(context)
    end
  end

  # Assignors may take what moves in two steps.
  defp longest_drain(name, longest) do
    receive do
      {:telemetry, ^name, :revoked, %{drain_ms: ms}, _} -> longest_drain(name, max(ms, longest))
    after
      0 -> longest
    end
  end

  defp start(context, options \\ []) do
    {drain, options} = Keyword.pop(options, :drain, @drain)
    # So that what is held takes no demand from other partitions.
    producer = [drain_timeout: drain, max_in_flight: 1] ++ context.producer
    own = [group: context.group, producer: producer, history: context.history]
    processors = [concurrency: @partitions, max_demand: 1]
    TestPipeline.start(context.kafka, [context.topic], own ++ [processors: processors] ++ options)
  end

  # A handler that holds each partition's record at this offset, as often as `times`.
  defp hold(who, offset, times) do
    test = self()
    seen = :atomics.new(@partitions, [])

    fn %{metadata: %{partition: partition}} = message ->
      if message.metadata.offset == offset and :atomics.add_get(seen, partition + 1, 1) <= times,
        do: TestPipeline.hold(test, {who, partition})

      message
    end
  end

  defp hold_even(who, offset) do
    hold = hold(who, offset, 1)

    fn message ->
      if rem(message.metadata.partition, 2) == 0, do: hold.(message), else: message
    end
  end

  defp held(who, count) do
    for _ <- 1..count//1 do
      assert_receive {:held, handler, {^who, _partition}}, 30_000
      handler
    end
  end

  defp release(held), do: Enum.each(held, &send(&1, :go))

  defp all_partitions, do: Enum.to_list(0..(@partitions - 1))

  defp await_committed_at(context, offset, partitions) do
    expected = Map.new(partitions, &{{context.topic, &1}, offset})
    await_committed(context.kafka, context.group, expected, 30_000)
  end

  defp time(context, pipeline, kind, partition) do
    member = TestPipeline.label(pipeline) <> "#1"
    place = {context.topic, partition}
    events = History.events(context.history)
    # One that stops last may be assigned all once more.
    [time | _] = for {time, ^member, ^kind, ^place, _, _} <- events, do: time
    time
  end

  defp start_of(events, pipeline, place) do
    member = TestPipeline.label(pipeline) <> "#1"
    [start | _] = for {_, ^member, :assigned, ^place, _, start} <- events, do: start
    start
  end
end
