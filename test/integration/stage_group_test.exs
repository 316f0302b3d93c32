defmodule OffBroadwayRustKafka.StageGroupTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History, Stage, StageGroup, TestSubscriber}

  defp got(%{name: name}, count), do: TestSubscriber.got(name, count)
  defp got_so_far(%{name: name}), do: TestSubscriber.got_so_far(name)

  # The subscribers that were started, by partition.
  defp subscribers(%{name: name}, count) do
    for _ <- 1..count, into: %{} do
      assert_receive {:subscribed, ^name, pid, producer, {_topic, partition}}, 15_000
      {partition, {pid, producer}}
    end
  end

  defp by_partition(records), do: Enum.group_by(records, & &1.partition, & &1.offset)

  # All groups have stopped, and nothing was lost, or came again that need not.
  defp assert_sound(history, kafka, groups, at, options \\ []) do
    Enum.each(groups, &StageGroup.stop/1)
    Checker.assert_sound_at_end!(history, kafka, hd(groups).group, at, options)
  end

  defp assigned(group), do: await_assigned(group, 1) |> Map.keys() |> Enum.map(&elem(&1, 1))

  test "each partition has a stage and a subscriber of its own, and keeps its order", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 50)
    history = History.start()
    group = StageGroup.start(kafka, [topic], history: history)
    started = subscribers(group, 4)
    assert started |> Map.values() |> Enum.uniq() |> length() == 4
    assert by_partition(got(group, 200)) == Map.new(0..3, &{&1, Enum.to_list(0..49)})
    refute_received {:subscribed, _, _, _, _}
    {:ok, assigned} = OffBroadwayRustKafka.assignment(group.name)
    assert assigned |> Enum.map(& &1.producer) |> Enum.uniq() |> length() == 4
    assert_sound(history, kafka, [group], {topic, 4}, order: true)
  end

  test "what was handled when handle_events returned is acknowledged then, and not before", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)
    test = self()
    hold = fn records -> TestPipeline.hold(test, {hd(records).offset, length(records)}) end
    history = History.start()
    options = [handle: hold, max_demand: 10, commit_interval: 0, history: history]
    group = StageGroup.start(kafka, [topic], options)
    assert_receive {:held, pid, {0, count}}, 15_000

    # It has asked for ten, has some in hand and the others behind them, and all of it proves nothing.
    await(15_000, fn -> in_flight(group, 10) end)
    send(pid, :go)
    assert_receive {:held, ^pid, {^count, next}}, 15_000
    await_committed(kafka, group.group, %{{topic, 0} => count})
    send(pid, :go)
    handle_all(pid, count + next, 20)
    await_committed(kafka, group.group, %{{topic, 0} => 20})
    assert_sound(history, kafka, [group], {topic, 1})
  end

  defp in_flight(group, count) do
    case OffBroadwayRustKafka.offsets(group.name) do
      {:ok, [%{acked: 0, in_flight: ^count}]} -> :ok
      other -> {:not_yet, inspect(other)}
    end
  end

  defp handle_all(_pid, count, count), do: :ok

  defp handle_all(pid, from, count) do
    assert_receive {:held, ^pid, {^from, next}}, 15_000
    send(pid, :go)
    handle_all(pid, from + next, count)
  end

  test "a partition that moves is drained, and its subscriber ended", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    test = self()
    history = History.start()
    # A machine that is busy for as long as the mock cluster's sessions last loses its partitions.
    config = if kafka.cluster, do: ["session.timeout.ms": 4_000, "heartbeat.interval.ms": 200]
    options = [group_id: random_name("group"), commit_interval: 60_000, history: history]
    options = [config: config || []] ++ options
    hold = fn records -> TestPipeline.hold(test, hd(records).partition) end
    one = StageGroup.start(kafka, [topic], [handle: hold, max_demand: 5] ++ options)
    started = subscribers(one, 2)

    held =
      for _ <- 1..2,
          into: %{},
          do:
            (
              assert_receive {:held, pid, p}, 15_000
              {p, pid}
            )

    monitors = Map.new(held, fn {p, pid} -> {Process.monitor(pid), p} end)

    two = StageGroup.start(kafka, [topic], options)
    # What is in flight is waited for: it is handled, acknowledged and committed before it moves.
    for {_, pid} <- held, do: send(pid, :go)
    release_all(one)
    [moved] = assigned(two)
    assert_receive {:DOWN, monitor, _, _, _} when is_map_key(monitors, monitor), 15_000
    assert monitors[monitor] == moved
    assert_receive {:telemetry, _, :revoked, %{unacked: 0}, _}
    {pid, _} = started[1 - moved]
    assert Process.alive?(pid)
    assert %{^moved => _} = subscribers(two, 1)
    fill(kafka, topic, 2, 3)
    offsets = offsets_up_to(two, 7)
    assert Enum.take(offsets, -3) == [5, 6, 7]
    # The mock cluster may begin another round meanwhile, and takes no commits in it.
    if kafka.cluster == nil, do: assert(offsets == [5, 6, 7])

    # What the first still holds is handled. The mock cluster refuses commits while a member leaves.
    for group <- [one, two], do: await_handled(group)
    for group <- [one, two], do: assert(:ok = OffBroadwayRustKafka.commit(group.name))
    assert_sound(history, kafka, [two, one], {topic, 2})
  end

  defp offsets_up_to(group, last) do
    offsets = for record <- got(group, 1), do: record.offset
    if last in offsets, do: offsets, else: offsets ++ offsets_up_to(group, last)
  end

  defp await_handled(group) do
    await(15_000, fn ->
      receive do
        {:held, pid, _} -> send(pid, :go)
      after
        0 -> :ok
      end

      {:ok, offsets} = OffBroadwayRustKafka.offsets(group.name)

      if Enum.all?(offsets, &(&1.in_flight == 0 and &1.position == 8)),
        do: :ok,
        else: {:not_yet, inspect(offsets)}
    end)
  end

  # Handlers that come to be held while the test looks elsewhere.
  defp release_all(%{name: name} = group) do
    receive do
      {:held, pid, _} ->
        send(pid, :go)
        release_all(group)

      {:telemetry, ^name, :revoked, _, _} = revoked ->
        send(self(), revoked)
    after
      15_000 -> flunk("nothing was revoked")
    end
  end

  test "a subscriber that crashes loses nothing, and the others do not notice", %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 30)
    crashes = :counters.new(1, [])

    crash = fn records ->
      if Enum.any?(records, &(&1.partition == 1 and &1.offset == 12)) and
           :counters.get(crashes, 1) < 2 do
        :counters.add(crashes, 1, 1)
        exit(:crash)
      end
    end

    history = History.start()
    group = StageGroup.start(kafka, [topic], handle: crash, history: history)
    await_committed(kafka, group.group, each(topic, 3, 30))

    started =
      for _ <- 1..5,
          do:
            (
              assert_receive {:subscribed, _, _, _, {_, p}}
              p
            )

    assert Enum.frequencies(started) == %{0 => 1, 1 => 3, 2 => 1}

    %{name: name} = group

    assert_receive {:telemetry, ^name, :error, _,
                    %{error: %Error{code: :subscriber_failed} = error}}

    assert %{topic: ^topic, partition: 1, retryable?: true} = error
    assert error.message =~ "the subscriber ended"
    records = by_partition(got_so_far(group))
    assert {records[0], records[2]} == {Enum.to_list(0..29), Enum.to_list(0..29)}
    assert Enum.uniq(Enum.sort(records[1])) == Enum.to_list(0..29)
    assert_sound(history, kafka, [group], {topic, 3})
  end

  test "a stage that crashes comes back with its subscriber", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    history = History.start()
    group = StageGroup.start(kafka, [topic], history: history)
    %{0 => {_, stage}} = subscribers(group, 1)
    got(group, 10)
    Process.exit(stage, :kill)
    %{0 => {_, another}} = subscribers(group, 1)
    assert another != stage
    fill(kafka, topic, 1, 5)
    await_committed(kafka, group.group, %{{topic, 0} => 15})
    assert_sound(history, kafka, [group], {topic, 1})
  end

  test "a subscriber that fails to start says so, and the group lives on", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    broken = :counters.new(1, [])

    start = fn {_, partition} ->
      if partition == 1 and :counters.get(broken, 1) == 0, do: raise("no database")
    end

    history = History.start()
    History.begin_fault(history, "one cannot start")
    group = StageGroup.start(kafka, [topic], start: start, history: history)
    %{name: name} = group

    assert_receive {:telemetry, ^name, :error, _,
                    %{error: %Error{code: :subscriber_failed} = error}},
                   15_000

    assert error.message =~ "the subscriber failed to start"
    assert error.message =~ "no database"
    await_committed(kafka, group.group, %{{topic, 0} => 10})
    # Nothing of it is lost: once it can start it gets all.
    :counters.add(broken, 1, 1)
    await_committed(kafka, group.group, each(topic, 2, 10))
    History.end_fault(history, "one cannot start")
    assert_sound(history, kafka, [group], {topic, 2})
  end

  test "a group that stops lets subscribers finish, commits and leaves", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 40)
    test = self()
    slow = fn records -> send(test, {:slow, hd(records).partition}) && Kafka.pass(50) end
    history = History.start()
    options = [handle: slow, commit_interval: 60_000, history: history]
    group = StageGroup.start(kafka, [topic], options)
    assert_receive {:slow, 0}, 15_000
    assert_receive {:slow, 1}, 15_000
    StageGroup.stop(group)
    assert_receive {:telemetry, _, :closed, _, %{error: nil}}
    # All that somebody was handed was handled, and is committed.
    handled = by_partition(got_so_far(group))

    for partition <- 0..1,
        do:
          assert(
            committed(kafka, group.group, topic, 2)[{topic, partition}] ==
              length(handled[partition])
          )
  end

  test "commits by hand go by the group's name, and stay where they are", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    history = History.start()
    group = StageGroup.start(kafka, [topic], commit_strategy: :none, history: history)
    records = got(group, 10)
    {:ok, [%{partition: 0}]} = OffBroadwayRustKafka.assignment(group.name)
    :ok = Stage.commit([{topic, 0, 3}], :sync, stage: group.name)
    assert committed(kafka, group.group, topic, 1) == %{{topic, 0} => 3}
    :ok = Stage.commit(Enum.at(records, 5))
    assert_sound(history, kafka, [group], {topic, 1}, at_end: nil)
    assert committed(kafka, group.group, topic, 1) == %{{topic, 0} => 6}
  end

  test "a group whose member starts anew goes on", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    history = History.start()
    group = StageGroup.start(kafka, [topic], history: history)
    got(group, 20)
    History.fault(history, "the consumer is killed")
    children = Supervisor.which_children(group.name)
    {_, consumer, _, _} = List.keyfind(children, OffBroadwayRustKafka.Consumer, 0)
    Process.exit(consumer, :kill)
    fill(kafka, topic, 2, 5)
    await_committed(kafka, group.group, each(topic, 2, 15), 60_000)
    assert_sound(history, kafka, [group], {topic, 2})
  end

  test "options, before anything starts" do
    good = [hosts: "localhost:1", group_id: "g", topics: ["t"], subscriber: StageGroup]

    for {message, options} <- [
          {~r/OffBroadwayRustKafka.Stage.Group: required :subscriber option not found/,
           Keyword.delete(good, :subscriber)},
          {~r/:subscriber option: expected a module with a start_link\/1, got: Nowhere/,
           Keyword.put(good, :subscriber, Nowhere)},
          {~r/:subscriber option: .* got: Enum/, Keyword.put(good, :subscriber, Enum)},
          {~r/unknown options \[:max_demand\]/, good ++ [max_demand: -1]}
        ] do
      assert_raise ArgumentError, message, fn -> Stage.Group.start_link(options) end
    end
  end

  test "a subscriber must have something to acknowledge" do
    assert_raise CompileError, ~r/expects it to define handle_events\/3/, fn ->
      Code.compile_string("""
      defmodule OffBroadwayRustKafka.StageGroupTest.Empty do
        use OffBroadwayRustKafka.Stage.Subscriber
      end
      """)
    end
  end
end
