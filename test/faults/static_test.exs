defmodule OffBroadwayRustKafka.Faults.StaticTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import OffBroadwayRustKafka.Members

  alias OffBroadwayRustKafka.{Feed, Gaps, Members, TestNode}

  @moduletag :broker
  @moduletag timeout: 180_000

  @partitions 12
  @session ["session.timeout.ms": 30_000, "heartbeat.interval.ms": 500]
  @classic [
    {"cooperative-sticky", [config: @session]},
    {"eager", [config: ["partition.assignment.strategy": "range"] ++ @session]}
  ]
  @protocols @classic ++ [{"KIP-848", [group_protocol: :consumer]}]

  setup %{kafka: kafka} do
    Members.context(kafka, @partitions)
  end

  for {protocol, producer} <- @protocols do
    @tag producer: producer
    test "a member that stops and comes back within its session moves no partition, under #{protocol}",
         context do
      [first | others] = members = for id <- ~w(a b c), do: start(context, id)
      [share | shares] = await_balanced(context, members)
      feed = Feed.start(context.kafka, context.topic, @partitions)
      await_progress(context)
      forget_moves(members)

      from = System.os_time(:nanosecond)
      stop(first)
      await_progress(context, Enum.concat(shares))
      again = start(context, "a")
      await_assigned(again, length(share))
      to = System.os_time(:nanosecond)

      assert assigned(again) == share
      await_progress(context)
      assert_unmoved(context, Feed.stop(feed), others, {from, to})
      stop(again)
      assert %{redelivered: 0, order_breaks: 0} = assert_sound!(context)
    end
  end

  for {protocol, producer} <- @classic do
    @tag producer: producer
    test "a node that is killed and comes back within its session moves no partition, under #{protocol}",
         context do
      node = start_node(context, "a")
      others = for id <- ~w(b c), do: start(context, id)
      feed = Feed.start(context.kafka, context.topic, @partitions)
      shares = await_shares(others, @partitions - div(@partitions, 3))
      await_progress(context)
      forget_moves(others)

      from = System.os_time(:nanosecond)
      TestNode.kill(node, "KILL")
      await_progress(context, Enum.concat(shares))
      again = start_node(context, "a")
      await_progress(context)
      to = System.os_time(:nanosecond)

      assert_unmoved(context, Feed.stop(feed), others, {from, to})
      TestNode.kill(again, "TERM")
      assert_sound!(context)
    end

    @tag producer: producer
    test "of two members with one instance id the older is fenced, says so and stays out, under #{protocol}",
         context do
      test = self()

      hold = fn message ->
        %{offset: offset, partition: partition} = message.metadata
        if offset == 20 and partition < 4, do: TestPipeline.hold(test, partition)
        message
      end

      batchers = [default: [batch_size: 5, batch_timeout: 20, concurrency: 3]]
      older = start(context, "a", handle: hold, processors: [concurrency: 4], batchers: batchers)
      await_assigned(older, @partitions)
      feed = Feed.start(context.kafka, context.topic, @partitions)

      held =
        for _ <- 1..4 do
          assert_receive {:held, handler, _}, 10_000
          handler
        end

      newer = start(context, "a")
      await_assigned(newer, @partitions)

      error = assert_fatal(older)
      assert error.code == :fenced_instance_id
      %{name: name} = older
      assert_receive {:telemetry, ^name, :lost, %{count: @partitions}, _}, 10_000
      assert assigned(older) == []

      # What it still has goes its way, through the same batch processors, and changes nothing.
      Enum.each(held, &send(&1, :go))
      await_progress(context)
      forget_moves([newer])
      refute_disturbed(newer)
      refute_received {:telemetry, ^name, :assigned, _, _}
      {micros, _} = :timer.tc(fn -> stop(older) end)
      assert micros < 2_000_000
      refute_disturbed(newer)

      times = Feed.stop(feed)
      await_all_committed(context, times)
      stop(newer)
      assert_sound!(context)
    end
  end

  @tag producer: [group_protocol: :consumer]
  test "of two members with one instance id the newer waits until the older is gone", context do
    older = start(context, "a")
    await_assigned(older, @partitions)
    feed = Feed.start(context.kafka, context.topic, @partitions)
    newer = start(context, "a")
    assert assert_fatal(newer).code == :unreleased_instance_id
    refute_disturbed(older)
    stop(older)
    await_assigned(newer, @partitions)
    await_all_committed(context, Feed.stop(feed))
    stop(newer)
    assert %{redelivered: 0} = assert_sound!(context)
  end

  @tag producer: [group_protocol: :consumer]
  test "a node that is killed and comes back is let in once its session has ended", context do
    node = start_node(context, "a")
    feed = Feed.start(context.kafka, context.topic, @partitions)
    await_progress(context)
    TestNode.kill(node, "KILL")
    again = start_node(context, "a")
    await_all_committed(context, Feed.stop(feed))
    TestNode.kill(again, "TERM")
    assert_sound!(context)
  end

  defp assert_fatal(%{name: name}) do
    assert_receive {:telemetry, ^name, :error, _, %{error: %{fatal?: true} = error}}, 30_000
    error
  end

  # Not within so many heartbeats.
  defp refute_disturbed(%{name: name}) do
    receive do
      {:telemetry, ^name, event, _, metadata}
      when event in [:revoked, :lost, :error, :commit_failed] ->
        flunk("#{event} of #{inspect(metadata)}")
    after
      3_000 -> :ok
    end
  end

  # Nor did the partitions of those who stayed wait for it.
  defp assert_unmoved(context, times, others, window) do
    await_all_committed(context, times)

    for %{name: name} <- others, event <- [:assigned, :revoked, :lost] do
      refute_received {:telemetry, ^name, ^event, _, _}
    end

    count = others |> Enum.map(&length(assigned(&1))) |> Enum.sum()
    Enum.each(others, &stop/1)
    gaps = gaps(context, times, [window])
    IO.puts("a static member's restart: #{Gaps.summary(gaps)}")
    assert length(gaps) == count

    # That nothing moved is said above; this, that none of it stood still, while the machine starts a node.
    assert Gaps.percentile(gaps, 50) <= 2_000
    assert Gaps.percentile(gaps, 100) < 5_000
  end

  defp await_shares(members, count) do
    await(60_000, fn ->
      shares = Enum.map(members, &assigned/1)

      if Enum.uniq(Enum.map(shares, &length/1)) == [div(count, length(members))],
        do: shares,
        else: {:not_yet, "they have #{inspect(shares)}"}
    end)
  end

  # Whatever they were told before is not of interest.
  defp forget_moves(members) do
    for %{name: name} <- members,
        event <- [:assigned, :revoked, :lost],
        do: forget_told(name, event)
  end

  defp start(context, id, options \\ []) do
    producer = Keyword.put(context.producer, :instance_id, id)
    options = [group: context.group, producer: producer, history: context.history] ++ options
    TestPipeline.start(context.kafka, [context.topic], options)
  end

  defp start_node(context, id) do
    producer = Keyword.put(context.producer, :instance_id, id)
    options = [group: context.group, producer: producer, history: context.history]
    TestNode.start(context.kafka, [context.topic], options)
  end
end
