defmodule OffBroadwayRustKafka.SteeringTest do
  use OffBroadwayRustKafka.FaultCase, async: true

  alias OffBroadwayRustKafka.Error

  @partitions 4

  defp start(%{kafka: kafka, history: history}, topics, options \\ []) do
    pipeline = TestPipeline.start(kafka, topics, [history: history] ++ options)
    await_assigned(pipeline, length(topics) * @partitions)
    pipeline
  end

  defp await_partitions(pipeline, count) do
    await(30_000, fn ->
      case OffBroadwayRustKafka.assignment(pipeline.name) do
        {:ok, assigned} when length(assigned) == count -> :ok
        other -> {:not_yet, inspect(other)}
      end
    end)
  end

  defp scopes(topic), do: [:all, [topic], for(place <- all(topic, @partitions), do: place)]

  defp paused(pipeline) do
    {:ok, offsets} = OffBroadwayRustKafka.offsets(pipeline.name)
    for %{paused: true} = it <- offsets, do: {it.topic, it.partition}
  end

  # What was in flight when it was paused is over.
  defp await_quiet(pipeline) do
    await(10_000, fn ->
      {:ok, offsets} = OffBroadwayRustKafka.offsets(pipeline.name)

      case Enum.map(offsets, & &1.in_flight) |> Enum.sum() do
        0 -> positions(offsets)
        left -> {:not_yet, "#{left} are in flight"}
      end
    end)
  end

  defp positions(offsets), do: Map.new(offsets, &{{&1.topic, &1.partition}, &1.position})

  # Another group reads all there is: what did not come here was there to come.
  defp read_elsewhere(kafka, topic, count) do
    other = TestPipeline.start(kafka, [topic], tell: false)
    await_committed(kafka, other.group, each(topic, @partitions, count))
  end

  defp finish(context, pipeline, topic, options) do
    %{kafka: kafka, history: history} = context
    record_produced(history, kafka, topic, @partitions)
    :ok = Broadway.stop(pipeline.name)
    History.ask_committed(history, kafka, pipeline.group, topic, @partitions)
    checked(context, options)
  end

  test "a paused pipeline takes nothing, keeps its partitions, and goes on where it stopped",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 100)
    pipeline = start(context, [topic])
    handled(pipeline, 20)

    for {scope, round} <- Enum.with_index(scopes(topic), 1) do
      assert :ok = OffBroadwayRustKafka.pause(pipeline.name, scope)
      assert paused(pipeline) == all(topic, @partitions)
      before = await_quiet(pipeline)
      fill(kafka, topic, @partitions, 50)
      read_elsewhere(kafka, topic, 100 + 50 * round)
      assert await_quiet(pipeline) == before
      # What is handled is committed, and no more.
      await_committed(kafka, pipeline.group, before)
      assert :ok = OffBroadwayRustKafka.resume(pipeline.name, scope)
      assert paused(pipeline) == []
      await_committed(kafka, pipeline.group, each(topic, @partitions, 100 + 50 * round))
    end

    name = pipeline.name
    for gone <- [:lost, :revoked], do: refute_received({:telemetry, ^name, ^gone, _, _})
    finish(context, pipeline, topic, at_end: :all_committed, order: true, redelivered: 0)
  end

  test "a paused partition waits while the others go on, on whichever producer",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 100)
    pipeline = start(context, [topic], concurrency: 2)
    slow = {topic, 1}
    assert :ok = OffBroadwayRustKafka.pause(pipeline.name, [slow])
    assert paused(pipeline) == [slow]
    %{^slow => position} = await_quiet(pipeline)
    expected = Map.put(each(topic, @partitions, 100), slow, position)
    await_committed(kafka, pipeline.group, expected)
    assert :ok = OffBroadwayRustKafka.resume(pipeline.name, [slow])
    await_committed(kafka, pipeline.group, each(topic, @partitions, 100))
    finish(context, pipeline, topic, at_end: :all_committed, order: true, redelivered: 0)
  end

  test "a stage that crashes while its pipeline is paused loses nothing",
       %{kafka: kafka, history: history} = context do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 50)
    test = self()

    hold = fn message ->
      if message.metadata.offset == 10, do: TestPipeline.hold(test, :held)
      message
    end

    pipeline = start(context, [topic], handle: hold, processors: [concurrency: 1])
    assert_receive {:held, processor, :held}, 10_000
    assert :ok = OffBroadwayRustKafka.pause(pipeline.name)
    assert kill_pid(history, "a processor", processor)
    name = pipeline.name
    assert_receive {:telemetry, ^name, :redelivered, _, _}, 10_000
    assert paused(pipeline) == all(topic, @partitions)
    assert :ok = OffBroadwayRustKafka.resume(pipeline.name)

    for _ <- 1..@partitions do
      assert_receive {:held, processor, :held}, 10_000
      send(processor, :go)
    end

    await_committed(kafka, pipeline.group, each(topic, @partitions, 50))
    finish(context, pipeline, topic, at_end: :all_committed)
  end

  test "a pause and new topics stay when the member is started anew",
       %{kafka: kafka, history: history} = context do
    [topic, added] = for _ <- 1..2, do: create_topic(kafka, @partitions)
    pipeline = start(context, [topic])
    assert :ok = OffBroadwayRustKafka.pause(pipeline.name, [topic])
    assert :ok = OffBroadwayRustKafka.update_topics(pipeline.name, [topic, added])
    await_assigned(pipeline, @partitions)
    fill(kafka, topic, @partitions, 10)
    fill(kafka, added, @partitions, 10)
    await_committed(kafka, pipeline.group, each(added, @partitions, 10))

    consumer = consumer(pipeline)
    assert kill_pid(history, "the consumer", consumer)
    await_assigned(pipeline, 2 * @partitions)
    await_partitions(pipeline, 2 * @partitions)
    assert paused(pipeline) == all(topic, @partitions)
    fill(kafka, added, @partitions, 5)
    await_committed(kafka, pipeline.group, each(added, @partitions, 15), 30_000)
    await_committed(kafka, pipeline.group, each(topic, @partitions, 0))

    assert :ok = OffBroadwayRustKafka.resume(pipeline.name, [topic])
    await_committed(kafka, pipeline.group, each(topic, @partitions, 10))
    record_produced(history, kafka, added, @partitions)
    finish(context, pipeline, topic, at_end: :all_committed)
  end

  test "a seek back delivers again in order, and a seek ahead passes over",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 100)
    pipeline = start(context, [topic])
    await_committed(kafka, pipeline.group, each(topic, @partitions, 100))
    stopped = handled_so_far(pipeline)
    assert length(stopped) == 100 * @partitions

    assert :ok =
             OffBroadwayRustKafka.seek(pipeline.name, [
               {topic, 0, 40},
               {topic, 1, :beginning},
               {topic, 2, 100}
             ])

    again = handled(pipeline, 160)

    assert offsets(again) == %{
             {topic, 0} => Enum.to_list(40..99),
             {topic, 1} => Enum.to_list(0..99)
           }

    # A paused one passes over what comes meanwhile.
    assert :ok = OffBroadwayRustKafka.pause(pipeline.name, [{topic, 3}])
    fill(kafka, topic, @partitions, 20)
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 3, :end}])
    await_committed(kafka, pipeline.group, %{{topic, 3} => 120})
    assert :ok = OffBroadwayRustKafka.resume(pipeline.name, [{topic, 3}])
    fill(kafka, topic, @partitions, 1)
    await_committed(kafka, pipeline.group, each(topic, @partitions, 121))
    assert pipeline |> handled_so_far() |> offsets() |> Map.fetch!({topic, 3}) == [120]

    name = pipeline.name
    assert_receive {:telemetry, ^name, :sought, %{count: 3}, %{partitions: partitions}}
    assert for(it <- partitions, do: it.to_offset) == [40, 0, 100]
    finish(context, pipeline, topic, at_end: :all_committed, order: true)
  end

  test "what is in flight when its partition is sought is handled, and acknowledges nothing",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)
    test = self()
    hold = fn message -> TestPipeline.hold(test, message.metadata.offset) && message end
    pipeline = start(context, [topic], handle: hold, processors: [concurrency: 1])
    produce(kafka, topic, for(n <- 0..9, do: %{partition: 0, value: "#{n}"}))
    assert_receive {:held, processor, 0}, 10_000
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 0, 2}])
    await_committed(kafka, pipeline.group, %{{topic, 0} => 2})
    send(processor, :go)

    await(30_000, fn ->
      go_on()
      committed = committed(kafka, pipeline.group, topic, @partitions)
      if committed[{topic, 0}] == 10, do: :ok, else: {:not_yet, inspect(committed)}
    end)

    offsets = pipeline |> handled_so_far() |> offsets() |> Map.fetch!({topic, 0})
    # All that was given before, however many, and then from the new position on.
    assert Enum.any?(0..9, &(offsets == Enum.to_list(0..&1) ++ Enum.to_list(2..9)))
    finish(context, pipeline, topic, at_end: :all_committed)
  end

  # What is held now.
  defp go_on do
    receive do
      {:held, processor, _} ->
        send(processor, :go)
        go_on()
    after
      0 -> :ok
    end
  end

  @tag :broker
  test "a seek to a time goes on at the first record since then, or at the end",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)

    produce(kafka, topic, for(n <- 0..9, do: %{partition: 0, value: "#{n}", ts: 1_000 + n}))
    pipeline = start(context, [topic])
    await_committed(kafka, pipeline.group, %{{topic, 0} => 10})
    handled_so_far(pipeline)
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 0, {:timestamp, 1_004}}])
    assert pipeline |> handled(6) |> offsets() == %{{topic, 0} => Enum.to_list(4..9)}
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 0, {:timestamp, 2_000}}])
    await_committed(kafka, pipeline.group, %{{topic, 0} => 10})
    finish(context, pipeline, topic, at_end: :all_committed, order: true)
  end

  test "topics that are left are drained and committed, and new ones start by their policy",
       %{kafka: kafka, history: history} = context do
    [left, kept, early, late] = topics = for _ <- 1..4, do: create_topic(kafka, @partitions)
    for topic <- topics, do: fill(kafka, topic, @partitions, 10)
    test = self()

    hold = fn message ->
      if message.metadata.topic == left and message.metadata.offset == 9,
        do: TestPipeline.hold(test, :held)

      message
    end

    pipeline =
      start(context, [left, kept],
        handle: hold,
        processors: [concurrency: 2 * @partitions]
      )

    await_committed(kafka, pipeline.group, each(kept, @partitions, 10))

    held =
      for _ <- 1..@partitions do
        assert_receive {:held, processor, :held}, 10_000
        processor
      end

    new = [
      kept,
      [name: early, offset_reset_policy: :earliest],
      [name: late, offset_reset_policy: :latest]
    ]

    assert :ok = OffBroadwayRustKafka.update_topics(pipeline.name, new)
    Enum.each(held, &send(&1, :go))
    name = pipeline.name
    assert_receive {:telemetry, ^name, :subscribed, %{count: 3}, _}
    assert_receive {:telemetry, ^name, :revoked, %{unacked: 0}, %{partitions: revoked}}, 20_000
    await_committed(kafka, pipeline.group, each(left, @partitions, 10))
    assert Enum.map(revoked, &{&1.topic, &1.partition}) |> Enum.sort() == all(left, @partitions)

    starts = await_assigned(pipeline, 2 * @partitions)
    assert starts == Map.merge(each(early, @partitions, 0), each(late, @partitions, 10))
    fill(kafka, late, @partitions, 3)
    await_committed(kafka, pipeline.group, each(late, @partitions, 13))
    await_committed(kafka, pipeline.group, each(early, @partitions, 10))
    fill(kafka, kept, @partitions, 3)
    await_committed(kafka, pipeline.group, each(kept, @partitions, 13))

    # It comes again where it was.
    fill(kafka, left, @partitions, 1)
    assert :ok = OffBroadwayRustKafka.update_topics(pipeline.name, [left, kept, early, late])
    await_committed(kafka, pipeline.group, each(left, @partitions, 11), 30_000)

    for topic <- topics, do: record_produced(history, kafka, topic, @partitions)
    :ok = Broadway.stop(pipeline.name)
    from = for topic <- topics, place <- all(topic, @partitions), into: %{}, do: {place, 0}
    from = Map.merge(from, each(late, @partitions, 10))
    checked(context, at_end: :all_committed, from: from, order: true, redelivered: 0)
  end

  for {protocol, producer, tags} <- [
        {"the eager assignor range", [config: ["partition.assignment.strategy": "range"]], []},
        {"KIP-848", [group_protocol: :consumer], [broker: true]}
      ] do
    @tag tags
    test "topics are changed and pauses kept under #{protocol}",
         %{kafka: kafka, history: history} = context do
      [left, kept, new] = topics = for _ <- 1..3, do: create_topic(kafka, @partitions)
      for topic <- topics, do: fill(kafka, topic, @partitions, 20)
      pipeline = start(context, [left, kept], producer: unquote(producer))
      await_committed(kafka, pipeline.group, each(kept, @partitions, 20))
      await_committed(kafka, pipeline.group, each(left, @partitions, 20))
      held = {kept, 1}
      assert :ok = OffBroadwayRustKafka.pause(pipeline.name, [held])
      fill(kafka, kept, @partitions, 5)
      assert :ok = OffBroadwayRustKafka.update_topics(pipeline.name, [kept, new])
      await_committed(kafka, pipeline.group, each(new, @partitions, 20), 30_000)
      await_committed(kafka, pipeline.group, Map.put(each(kept, @partitions, 25), held, 20))
      assert paused(pipeline) == [held]
      {:ok, assigned} = OffBroadwayRustKafka.assignment(pipeline.name)

      assert assigned |> Enum.map(& &1.topic) |> Enum.uniq() |> Enum.sort() ==
               Enum.sort([kept, new])

      assert :ok = OffBroadwayRustKafka.resume(pipeline.name, [held])
      await_committed(kafka, pipeline.group, each(kept, @partitions, 25))
      assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{new, 2, 10}])
      fill(kafka, new, @partitions, 1)
      await_committed(kafka, pipeline.group, each(new, @partitions, 21))
      name = pipeline.name
      refute_received {:telemetry, ^name, :lost, _, _}
      for topic <- topics, do: record_produced(history, kafka, topic, @partitions)
      :ok = Broadway.stop(pipeline.name)
      checked(context, at_end: :all_committed, order: true)
    end
  end

  test "nothing is done of a call that names what is not there, and the error says what",
       %{kafka: kafka} = context do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 10)
    %{name: name} = pipeline = start(context, [topic])
    await_committed(kafka, pipeline.group, each(topic, @partitions, 10))

    for function <- [:pause, :resume], stranger <- [{topic, 99}, "another"] do
      assert {:error, %Error{code: :not_assigned} = error} =
               apply(OffBroadwayRustKafka, function, [name, [{topic, 0}, stranger]])

      assert {error.retryable?, error.fatal?} == {false, false}
      assert Exception.message(error) =~ if(is_tuple(stranger), do: "99", else: "another")
    end

    for {position, code} <- [{:end, :not_assigned}, {0, :not_assigned}] do
      positions = [{topic, 0, :beginning}, {"another", 0, position}]
      assert {:error, %Error{code: ^code}} = OffBroadwayRustKafka.seek(name, positions)
    end

    assert {:error, %Error{code: :offset_out_of_range, topic: ^topic, partition: 1} = error} =
             OffBroadwayRustKafka.seek(name, [{topic, 0, :beginning}, {topic, 1, 11}])

    assert Exception.message(error) =~ "ends at 10"

    assert {:error, %Error{code: :unknown_topic_or_part, topic: "no-such-topic"}} =
             OffBroadwayRustKafka.update_topics(name, ["no-such-topic"])

    assert paused(pipeline) == []

    assert :ok = OffBroadwayRustKafka.pause(name)

    assert {:error, %Error{code: :paused, partition: 0}} =
             OffBroadwayRustKafka.resume(name, [{topic, 0}])

    assert :ok = OffBroadwayRustKafka.resume(name)
    fill(kafka, topic, @partitions, 1)
    await_committed(kafka, pipeline.group, each(topic, @partitions, 11))
    finish(context, pipeline, topic, at_end: :all_committed, order: true, redelivered: 0)
  end
end
