defmodule OffBroadwayRustKafka.SteeredShapesTest do
  # Pauses and seeks where a pipeline has a part of a member only, or none of Broadway's.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{
    Checker,
    Error,
    History,
    Member,
    Record,
    SharedMember,
    Stage,
    StageGroup
  }

  alias OffBroadwayRustKafka.{TestGroup, TestStage, TestSubscriber}

  import TestSubscriber, only: [got: 1]

  @moduletag timeout: 120_000

  defp committed_of(kafka, member, topic),
    do: committed(kafka, member.group, topic, 1)[{topic, 0}]

  # What was in flight is acknowledged.
  defp await_quiet(name) do
    await(15_000, fn ->
      {:ok, offsets} = OffBroadwayRustKafka.offsets(name)
      if Enum.all?(offsets, &(&1.in_flight == 0)), do: :ok, else: {:not_yet, inspect(offsets)}
    end)
  end

  # A member that pipelines share, with what is written down of it and by which pipelines do so too.
  defp shared(kafka, topics) do
    member = TestPipeline.new([])
    TestPipeline.listen(member.name)
    history = History.start()

    watched = History.Member.watch(history, member.name, member.group, TestPipeline.label(member))

    options = TestPipeline.member(member.group, kafka, topics, [])
    start_supervised!({SharedMember, [name: member.name] ++ options})
    {history, watched, member}
  end

  # All of these topics, of one partition each, was handled and committed.
  defp assert_sound(history, kafka, member, [topic | topics]) do
    for other <- topics do
      History.ask_produced(history, kafka, other, 1)
      History.ask_committed(history, kafka, member.group, other, 1)
    end

    Checker.assert_sound_at_end!(history, kafka, member.group, {topic, 1})
  end

  defp got_of(group, count), do: got_of(group.name, count, [])

  defp got_of(_name, 0, got), do: Enum.reverse(got)

  defp got_of(name, count, got) do
    receive do
      {:got, ^name, _, records} ->
        got_of(name, count - length(records), Enum.reverse(records) ++ got)
    after
      15_000 -> flunk("#{count} more records were to come than #{inspect(places(got))}")
    end
  end

  defp places(records), do: for(%Record{} = it <- records, do: {it.partition, it.offset})

  defp offsets_of(records), do: Enum.group_by(records, & &1.partition, & &1.offset)

  test "a partition that is paused stays so when its pipeline starts anew, and goes on in order",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    history = History.start()
    group = TestGroup.start(kafka, [topic], history: history)
    first = TestGroup.await_pipeline(group, 0)
    handled(group, 20)
    await_committed(kafka, group.group, each(topic, 2, 10))

    assert :ok = OffBroadwayRustKafka.pause(group.name, [{topic, 0}])
    fill(kafka, topic, 2, 10)
    assert group |> handled(10) |> offsets() == %{{topic, 1} => Enum.to_list(10..19)}

    History.fault(history, "a pipeline is killed")
    Process.exit(first, :kill)
    assert TestGroup.await_pipeline(group, 0) != first
    fill(kafka, topic, 2, 10)
    assert group |> handled(10) |> offsets() == %{{topic, 1} => Enum.to_list(20..29)}
    assert handled_so_far(group) == []
    assert {:ok, offsets} = OffBroadwayRustKafka.offsets(group.name)

    assert [{0, true, 10}, {1, false, 30}] =
             for(it <- offsets, do: {it.partition, it.paused, it.position})

    assert :ok = OffBroadwayRustKafka.resume(group.name, [{topic, 0}])
    assert group |> handled(20) |> offsets() == %{{topic, 0} => Enum.to_list(10..29)}
    await_committed(kafka, group.group, each(topic, 2, 30))
    TestGroup.stop(group)
    Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 2})
  end

  test "what is sought while nobody reads it is read from there by whoever does",
       %{kafka: kafka} do
    [a, b] = topics = for _ <- 1..2, do: create_topic(kafka, 1)
    for topic <- topics, do: fill(kafka, topic, 1, 20)
    {history, watched, member} = shared(kafka, topics)
    await_assigned(member, 2)
    one = TestPipeline.start(kafka, [a], consumer: member.name, history: watched)
    handled(one, 20)

    assert :ok = OffBroadwayRustKafka.seek(member.name, [{b, 0, 15}])
    await_committed(kafka, member.group, %{{a, 0} => 20, {b, 0} => 15})
    two = TestPipeline.start(kafka, [b], consumer: member.name, history: watched)
    assert two |> handled(5) |> offsets() == %{{b, 0} => Enum.to_list(15..19)}
    await_committed(kafka, member.group, %{{a, 0} => 20, {b, 0} => 20})
    assert_sound(history, kafka, member, [a, b])
  end

  test "a pipeline that shares a member pauses what it reads of it, and nothing else",
       %{kafka: kafka} do
    [a, b, c] = topics = for _ <- 1..3, do: create_topic(kafka, 1)
    for topic <- topics, do: fill(kafka, topic, 1, 5)
    {history, watched, member} = shared(kafka, [a, b])
    one = TestPipeline.start(kafka, [a], consumer: member.name, history: watched)
    two = TestPipeline.start(kafka, [b], consumer: member.name, history: watched)
    for pipeline <- [one, two], do: handled(pipeline, 5)

    assert :ok = OffBroadwayRustKafka.pause(one.name)
    for topic <- [a, b], do: fill(kafka, topic, 1, 5)
    assert two |> handled(5) |> offsets() == %{{b, 0} => Enum.to_list(5..9)}
    assert {:ok, [%{paused: true, position: 5}]} = OffBroadwayRustKafka.offsets(one.name)
    assert handled_so_far(one) == []

    for {call, argument} <- [pause: [b], resume: [{b, 0}], seek: [{b, 0, :end}]] do
      assert {:error, %Error{code: :not_assigned, topic: ^b}} =
               apply(OffBroadwayRustKafka, call, [one.name, argument])
    end

    assert {:error, %Error{code: :no_member}} =
             OffBroadwayRustKafka.update_topics(one.name, [a, c])

    assert :ok = OffBroadwayRustKafka.resume(one.name)
    assert one |> handled(5) |> offsets() == %{{a, 0} => Enum.to_list(5..9)}

    assert :ok = OffBroadwayRustKafka.update_topics(member.name, [a, b, c])
    three = TestPipeline.start(kafka, [c], consumer: member.name, history: watched)
    assert three |> handled(5) |> offsets() == %{{c, 0} => Enum.to_list(0..4)}
    await_committed(kafka, member.group, %{{a, 0} => 10, {b, 0} => 10, {c, 0} => 5})
    assert_sound(history, kafka, member, [a, b, c])
  end

  test "a pipeline may read a topic as soon as its member has been asked to", %{kafka: kafka} do
    [a, b] = for _ <- 1..2, do: create_topic(kafka, 1)
    {_history, _watched, member} = shared(kafka, [a])
    await_assigned(member, 1)
    {:ok, {_consumer, owner, _table}} = Member.shared(member.name)
    :sys.suspend(owner)
    update = Task.async(fn -> OffBroadwayRustKafka.update_topics(member.name, [a, b]) end)
    refute Task.yield(update, 300)
    :sys.resume(owner)
    assert Task.await(update) == :ok
    assert {:ok, %{topics: [^a, ^b]}} = Member.about(member.name)
  end

  test "a pipeline of whose topics the member has left one pauses and resumes the others",
       %{kafka: kafka} do
    [a, b, c] = topics = for _ <- 1..3, do: create_topic(kafka, 1)
    {_history, _watched, member} = shared(kafka, topics)
    one = TestPipeline.start(kafka, [a, b], consumer: member.name)
    two = TestPipeline.start(kafka, [c], consumer: member.name)
    await_assigned(member, 3)
    assert :ok = OffBroadwayRustKafka.update_topics(member.name, [a])

    # One that has none left has nothing to pause.
    for pipeline <- [one, two], do: assert(:ok = OffBroadwayRustKafka.pause(pipeline.name))
    fill(kafka, a, 1, 5)
    other = TestPipeline.start(kafka, [a])
    handled(other, 5)
    assert {:ok, offsets} = OffBroadwayRustKafka.offsets(one.name)
    assert [{true, 0}] = for(%{topic: ^a} = it <- offsets, do: {it.paused, it.position})

    # What is named has to be there.
    for call <- [:pause, :resume] do
      assert {:error, %Error{code: :not_assigned, topic: ^b}} =
               apply(OffBroadwayRustKafka, call, [one.name, [a, b]])
    end

    for pipeline <- [one, two], do: assert(:ok = OffBroadwayRustKafka.resume(pipeline.name))
    assert one |> handled(5) |> offsets() == %{{a, 0} => Enum.to_list(0..4)}
  end

  test "a pipeline that starts anew is as paused as before where it shares its member, and not where it has its own",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {_history, _watched, member} = shared(kafka, [topic])
    sharing = [consumer: member.name]
    alone = [group: random_name("group")]

    for options <- [sharing, alone] do
      first = TestPipeline.start(kafka, [topic], options)
      await_assigned(if(options == alone, do: first, else: member), 1)
      assert :ok = OffBroadwayRustKafka.pause(first.name)
      stop(first)
    end

    fill(kafka, topic, 1, 5)

    [held, free] =
      for options <- [sharing, alone], do: TestPipeline.start(kafka, [topic], options)

    handled(free, 5)
    assert {:ok, [%{paused: true, position: 0}]} = OffBroadwayRustKafka.offsets(held.name)
    assert :ok = OffBroadwayRustKafka.resume(held.name)
    handled(held, 5)
  end

  test "a stage of each partition delivers nothing while all is paused, and then goes on in order",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 10)
    history = History.start()
    group = StageGroup.start(kafka, [topic], history: history)
    got_of(group, 20)
    await_quiet(group.name)
    assert :ok = OffBroadwayRustKafka.pause(group.name)
    fill(kafka, topic, 2, 10)
    other = StageGroup.start(kafka, [topic])
    got_of(other, 40)

    assert {:ok, [%{paused: true, position: 10}, %{paused: true, position: 10}]} =
             OffBroadwayRustKafka.offsets(group.name)

    assert :ok = OffBroadwayRustKafka.resume(group.name)
    assert group |> got_of(20) |> offsets_of() == Map.new(0..1, &{&1, Enum.to_list(10..19)})
    await_committed(kafka, group.group, each(topic, 2, 20))
    StageGroup.stop(group)
    Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 2})
  end

  test "with commit_strategy: :none a seek commits nothing, and the commits after it go where they are asked to",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    history = History.start()
    options = [commit_strategy: :none, commit_interval: 0, history: history]
    stage = TestStage.start(kafka, [topic], options)
    TestSubscriber.start(stage.name, max_demand: 100, handle: fn _ -> :ok end)
    before = got(10)
    :ok = before |> Enum.take(8) |> History.Stage.commit()
    assert committed_of(kafka, stage, topic) == 8

    assert :ok = OffBroadwayRustKafka.seek(stage.name, [{topic, 0, 3}])
    again = got(7)
    assert Enum.map(again, & &1.offset) == Enum.to_list(3..9)
    assert committed_of(kafka, stage, topic) == 8

    assert {:error, %Error{code: :stale_epoch, topic: ^topic}} = Stage.commit(List.last(before))
    assert committed_of(kafka, stage, topic) == 8
    :ok = again |> Enum.take(2) |> History.Stage.commit()
    assert committed_of(kafka, stage, topic) == 5
    TestStage.stop(stage)
    assert committed_of(kafka, stage, topic) == 5
    Checker.assert_sound_at_end!(history, kafka, stage.group, {topic, 1}, at_end: nil)
  end
end
