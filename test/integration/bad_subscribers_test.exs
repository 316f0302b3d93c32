defmodule OffBroadwayRustKafka.BadSubscribersTest do
  # Subscribers of a group of stages that do what they should not. Each is told of, loses nothing, and is its
  # own partition's affair.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History, Stage, StageGroup, TestSubscriber}

  @bad 1

  # So often it is bad, in one partition.
  defp times(count, bad) do
    left = :counters.new(1, [])
    :counters.put(left, 1, count)

    fn
      {_topic, @bad} -> bad_or_not(left, bad)
      [%{partition: @bad} | _] -> bad_or_not(left, bad)
      _another -> :ok
    end
  end

  defp bad_or_not(left, bad) do
    if :counters.get(left, 1) > 0 do
      :counters.sub(left, 1, 1)
      bad.()
    end
  end

  # What was told of it, each time.
  defp errors(%{name: name}, topic, count) do
    for _ <- 1..count do
      assert_receive {:telemetry, ^name, :error, _, %{error: error}}, 15_000
      assert %Error{code: :subscriber_failed, topic: ^topic, partition: @bad} = error
      assert error.retryable? and not error.fatal?
      assert error.message =~ inspect(StageGroup)
      error.message
    end
  end

  defp start(kafka, options) do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 20)
    history = History.start()
    {StageGroup.start(kafka, [topic], [history: history] ++ options), topic, history}
  end

  # It goes on, as the member that it was, and nothing was lost.
  defp assert_lives(kafka, group, topic, history) do
    await_committed(kafka, group.group, each(topic, 2, 20))
    member = OffBroadwayRustKafka.assignment(group.name)
    assert {:ok, [%{partition: 0}, %{partition: 1}]} = member
    fill(kafka, topic, 2, 5)
    await_committed(kafka, group.group, each(topic, 2, 25))
    StageGroup.stop(group)
    report = Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 2})
    # Nothing was ever revoked and assigned anew.
    assert report.members == 1
    report
  end

  for {what, answer, told} <- [
        {"an error", {:error, :no_database}, ~r/failed to start: :no_database/},
        {"an error that is an exception", {:error, {%RuntimeError{message: "no disk"}, []}},
         ~r/failed to start: .*no disk/s},
        {":ignore", :ignore, ~r/failed to start: .*:ignore/},
        {"rubbish", :up, ~r/failed to start: bad return value: :up/},
        {"no process", {:ok, :nobody}, ~r/failed to start: bad return value: \{:ok, :nobody\}/}
      ] do
    test "one whose start_link/1 returns #{what} says so and is started again", %{kafka: kafka} do
      answer = unquote(Macro.escape(answer))
      options = [start: times(2, fn -> {:answer, answer} end)]
      {group, topic, history} = start(kafka, options)
      for message <- errors(group, topic, 2), do: assert(message =~ unquote(Macro.escape(told)))
      assert %{redelivered: 0} = assert_lives(kafka, group, topic, history)
    end
  end

  for {what, bad, told} <- [
        {"throws", quote(do: throw(:up)), ~r/failed to start: .*throw.*:up/s},
        {"exits", quote(do: exit(:no_database)), ~r/failed to start: .*exit.*:no_database/s}
      ] do
    test "one whose start_link/1 #{what} says so and is started again", %{kafka: kafka} do
      {group, topic, history} = start(kafka, start: times(2, fn -> unquote(bad) end))
      for message <- errors(group, topic, 2), do: assert(message =~ unquote(Macro.escape(told)))
      assert %{redelivered: 0} = assert_lives(kafka, group, topic, history)
    end
  end

  test "one whose handle_events/3 answers rubbish has handled its records, and gets the others again",
       %{kafka: kafka} do
    options = [handle: times(2, fn -> {:answer, :handled} end)]
    {group, topic, history} = start(kafka, options)
    for message <- errors(group, topic, 2), do: assert(message =~ ~r/subscriber ended.*:handled/s)
    assert %{handled: 50, handled_twice: 0} = assert_lives(kafka, group, topic, history)
  end

  test "one that fails more often in a row than it is started at once waits, and the others do not",
       %{kafka: kafka} do
    up = :atomics.new(1, [])

    start = fn
      {_topic, @bad} -> if :atomics.get(up, 1) == 0, do: raise("no database")
      _another -> :ok
    end

    {group, topic, history} = start(kafka, start: start)
    History.begin_fault(history, "one cannot start")
    assert [_, _, _, fourth] = at_once = errors(group, topic, 4)
    for message <- Enum.take(at_once, 3), do: assert(message =~ "started again at once")
    assert fourth =~ "started again in 5000 ms"

    # While it waits the other partition goes on.
    await_committed(kafka, group.group, %{{topic, 0} => 20, {topic, @bad} => 0})
    fill(kafka, topic, 2, 1)
    await_committed(kafka, group.group, %{{topic, 0} => 21, {topic, @bad} => 0})
    assert [fifth] = errors(group, topic, 1)
    assert fifth =~ "no database"
    :atomics.put(up, 1, 1)
    await_committed(kafka, group.group, each(topic, 2, 21), 30_000)
    History.end_fault(history, "one cannot start")
    StageGroup.stop(group)
    Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 2})
  end

  test "a commit by a group's name of a partition that another member has is refused, and changes nothing",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    history = History.start()
    options = [group_id: random_name("group"), commit_strategy: :none, history: history]
    one = StageGroup.start(kafka, [topic], options)
    TestSubscriber.got(one.name, 20)
    two = StageGroup.start(kafka, [topic], options)
    [{^topic, theirs}] = two |> await_assigned(1) |> Map.keys()
    # Nothing was committed, so the other gets it all.
    TestSubscriber.got(two.name, 10)
    ours = 1 - theirs
    commit = &Stage.commit(&1, :sync, stage: one.name)

    for offsets <- [[{topic, theirs, 5}], [{topic, ours, 5}, {topic, theirs, 5}]] do
      assert {:error, %Error{code: :not_assigned, topic: ^topic, partition: ^theirs} = error} =
               commit.(offsets)

      assert Exception.message(error) =~ topic
      assert committed(kafka, one.group, topic, 2) == each(topic, 2, nil)
    end

    assert {:error, %Error{code: :not_assigned}} =
             Stage.commit([{topic, theirs, 5}], :async, stage: one.name)

    # Each goes on with its own.
    assert :ok = commit.([{topic, ours, 10}])
    assert :ok = Stage.commit([{topic, theirs, 10}], :sync, stage: two.name)
    for group <- [one, two], do: StageGroup.stop(group)
    Checker.assert_sound_at_end!(history, kafka, one.group, {topic, 2})
  end
end
