defmodule OffBroadwayRustKafka.GroupTest do
  # A pipeline for each partition or topic, as they come and go. One history is of each, held against
  # what is guaranteed.

  use OffBroadwayRustKafka.KafkaCase, async: true

  import OffBroadwayRustKafka.TestGroup, only: [sound: 5, sound: 6]

  alias OffBroadwayRustKafka.{Consumer, History, TestGroup}

  @moduletag timeout: 120_000

  # In ms, and within a second more it is over: on a busy machine too.
  @drain 300

  test "each partition has a pipeline of its own, with a name that says which", %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 20)
    history = History.start()
    group = TestGroup.start(kafka, [topic], history: history)
    started = TestGroup.await_started(group, 3)
    assert Enum.sort(started) == for(p <- 0..2, do: {topic, p})
    messages = handled(group, 60)

    for p <- 0..2 do
      name = :"#{inspect(group.name)}.#{topic}.#{p}"
      assert {:ok, [%{partition: ^p, producer: 0}]} = OffBroadwayRustKafka.assignment(name)
      assert offsets(messages)[{topic, p}] == Enum.to_list(0..19)
    end

    assert {:ok, assigned} = OffBroadwayRustKafka.assignment(group.name)
    assert length(assigned) == 3
    await_committed(kafka, group.group, each(topic, 3, 20))

    # The brokers' answer may be on its way.
    await(15_000, fn ->
      {:ok, lags} = OffBroadwayRustKafka.lag(group.name)
      if Enum.map(lags, & &1.lag) == [0, 0, 0], do: :ok, else: {:not_yet, inspect(lags)}
    end)

    TestGroup.stop(group)
    sound(history, kafka, group, topic, 3)
  end

  test "a topic has a pipeline as long as it has a partition here, and all may share one",
       %{kafka: kafka} do
    [a, b] = topics = for _ <- 1..2, do: create_topic(kafka, 2)
    for topic <- topics, do: fill(kafka, topic, 2, 5)

    history = History.start()
    own = [module: TestGroup.PerTopic, history: history]
    per_topic = TestGroup.start(kafka, topics, own)
    assert Enum.sort(TestGroup.await_started(per_topic, 2)) == Enum.sort([{a, nil}, {b, nil}])
    assert length(handled(per_topic, 20)) == 20

    assert {:ok, [_, _]} = OffBroadwayRustKafka.assignment(:"#{inspect(per_topic.name)}.#{a}")
    TestGroup.stop(per_topic)
    sound(history, kafka, per_topic, topics, 2, redelivered: 0)

    history = History.start()
    own = [module: TestGroup.PerGroup, history: history, concurrency: 2]
    per_group = TestGroup.start(kafka, topics, own)
    assert TestGroup.await_started(per_group, 1) == [{nil, nil}]
    assert length(handled(per_group, 20)) == 20

    assert {:ok, assigned} =
             OffBroadwayRustKafka.assignment(:"#{inspect(per_group.name)}.Pipeline")

    assert assigned |> Enum.map(& &1.producer) |> Enum.uniq() |> Enum.sort() == [0, 1]
    TestGroup.stop(per_group)
    sound(history, kafka, per_group, topics, 2, redelivered: 0)
  end

  test "acks commit in the order received, and successful and failed records count alike",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 6)
    history = History.start()
    test = self()

    handle = fn %{metadata: %{offset: offset}} = message ->
      if offset in [1, 2], do: TestPipeline.hold(test, offset)
      if offset in [0, 3], do: Broadway.Message.failed(message, "refused"), else: message
    end

    # Each record in a process of its own, so that later ones are done first.
    processors = [concurrency: 6, max_demand: 1, partition_by: & &1.metadata.offset]
    options = [history: history, handle: handle, processors: processors]
    group = TestGroup.start(kafka, [topic], options)
    held = for _ <- 1..2, do: assert_receive({:held, _, _}, 15_000)
    held = Map.new(held, fn {:held, pid, offset} -> {offset, pid} end)
    assert [0, 3, 4, 5] = group |> handled(4) |> Enum.map(& &1.metadata.offset) |> Enum.sort()
    await_committed(kafka, group.group, each(topic, 1, 1))
    send(held[2], :go)
    handled(group, 1)
    await_committed(kafka, group.group, each(topic, 1, 1))
    send(held[1], :go)
    await_committed(kafka, group.group, each(topic, 1, 6))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 1, order: false, redelivered: 0)
  end

  test "partitions move between two groups' nodes with their pipelines, and nothing is lost or twice",
       %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    history = History.start()
    group = Kafka.random_name("group")
    options = [history: history, group: group, producer: patient(kafka)]
    one = TestGroup.start(kafka, [topic], options)
    TestGroup.await_started(one, 4)
    fill(kafka, topic, 4, 50)
    handled(one, 200)

    two = TestGroup.start(kafka, [topic], options)
    assert length(TestGroup.await_stopped(one, 2)) == 2
    assert length(TestGroup.await_started(two, 2)) == 2
    fill(kafka, topic, 4, 50)
    # Each handles what it has of it.
    handled(one, 100)
    handled(two, 100)

    TestGroup.stop(two)
    assert length(TestGroup.await_started(one, 2)) == 2
    fill(kafka, topic, 4, 10)
    handled(one, 40)
    await_committed(kafka, group, each(topic, 4, 110))
    TestGroup.stop(one)
    assert_once(kafka, sound(history, kafka, one, topic, 4))
  end

  test "a revoke is heard between the starts of two pipelines, and what it takes is not started",
       %{kafka: kafka} do
    topic = create_topic(kafka, 6)
    group = Kafka.random_name("group")
    history = History.start()
    test = self()

    config = fn config, _topic, partition ->
      TestPipeline.hold(test, partition)
      config
    end

    options = [history: history, group: group, producer: patient(kafka)]
    %{name: name} = one = TestGroup.start(kafka, [topic], [config: config] ++ options)
    await_assigned(one, 6)
    assert_receive {:held, pipelines, first}, 15_000
    two = TestGroup.start(kafka, [topic], options)
    assert_receive {:telemetry, ^name, :revoked, _, %{partitions: revoked}}, 30_000
    revoked = Enum.map(revoked, & &1.partition)
    kept = Enum.to_list(0..5) -- revoked
    send(pipelines, :go)

    ours = Enum.uniq([first | kept])

    for _ <- tl(ours) do
      assert_receive {:held, ^pipelines, next}, 15_000
      assert next in kept
      send(pipelines, :go)
    end

    started = one |> TestGroup.await_started(length(ours)) |> Enum.map(&elem(&1, 1))
    assert Enum.sort(started) == Enum.sort(ours)
    if first in revoked, do: assert(TestGroup.await_stopped(one, 1) == [{topic, first}])
    TestGroup.await_started(two, length(revoked))
    fill(kafka, topic, 6, 10)

    assert one |> handled(10 * length(kept)) |> offsets() |> Map.keys() |> Enum.sort() ==
             for(p <- kept, do: {topic, p})

    handled(two, 10 * length(revoked))
    await_committed(kafka, group, each(topic, 6, 10))
    refute_received {:held, _, _}
    for group <- [one, two], do: TestGroup.stop(group)
    sound(history, kafka, one, topic, 6, redelivered: 0)
  end

  test "a revoke lets a pipeline finish what it has, batches too, and commits exactly that",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 30)
    history = History.start()
    group = Kafka.random_name("group")

    # Neither full nor timed out: only its end lets a batch go.
    batchers = [default: [batch_size: 1_000, batch_timeout: 60_000]]
    handle = &Broadway.Message.put_batcher(&1, :default)
    own = [history: history, group: group, producer: patient(kafka)]
    one = TestGroup.start(kafka, [topic], [batchers: batchers, handle: handle] ++ own)
    handled(one, 60)
    two = TestGroup.start(kafka, [topic], own)
    [{^topic, gone}] = TestGroup.await_stopped(one, 1)
    assert one |> batched(30) |> offsets() == %{{topic, gone} => Enum.to_list(0..29)}
    assert %{{^topic, ^gone} => start} = await_assigned(two, 1)
    assert start == 30 or (kafka.cluster != nil and start == 0)
    TestGroup.stop(one)
    await_committed(kafka, group, each(topic, 2, 30))
    TestGroup.stop(two)
    assert_once(kafka, sound(history, kafka, two, topic, 2))
  end

  # The mock cluster may begin another round of a rebalance during a revoke, and takes no commits in it.
  defp assert_once(%{cluster: nil}, report), do: assert(report.handled_twice == 0)
  defp assert_once(_mock, report), do: report

  # A mock group waits for a member that drains for as long as its session, less a second.
  @spec patient(Kafka.t()) :: keyword()
  defp patient(%{cluster: nil}), do: []
  defp patient(_mock), do: [config: ["session.timeout.ms": 4_000]]

  test "what is not done within the drain timeout is killed, and comes again to the next owner",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 1)
    history = History.start()
    group = Kafka.random_name("group")
    test = self()
    handle = fn message -> TestPipeline.hold(test, message.metadata.partition) && message end
    producer = [drain_timeout: @drain] ++ patient(kafka)
    own = [history: history, group: group, producer: producer]
    %{name: name} = one = TestGroup.start(kafka, [topic], [handle: handle] ++ own)
    held = for _ <- 1..2, do: assert_receive({:held, _, _}, 15_000)

    held =
      Map.new(held, fn {:held, pid, partition} -> {partition, {pid, Process.monitor(pid)}} end)

    two = TestGroup.start(kafka, [topic], own)
    [{^topic, gone}] = TestGroup.await_stopped(one, 1)
    {_, ref} = held[gone]
    assert_receive {:DOWN, ^ref, _, _, :killed}, 15_000
    assert_receive {:telemetry, ^name, :revoked, %{drain_ms: drain, unacked: 1}, _}, 15_000
    assert drain in @drain..(@drain + 1_000)
    assert [%{metadata: %{partition: ^gone, offset: 0}}] = handled(two, 1)

    {kept, _} = held[1 - gone]
    send(kept, :go)
    await_committed(kafka, group, each(topic, 2, 1))
    for group <- [one, two], do: TestGroup.stop(group)
    report = sound(history, kafka, one, topic, 2, clean_stops: [TestPipeline.label(two)])
    assert %{redelivered: 1, handled_twice: 0} = report
  end

  test "an ack that comes after its pipeline was killed changes nothing for the next owner",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    history = History.start()
    group = Kafka.random_name("group")
    test = self()

    handle = fn %{metadata: %{offset: offset}} = message ->
      if offset == 1, do: TestPipeline.hold(test, message)
      message
    end

    processors = [concurrency: 1, max_demand: 1]
    producer = [drain_timeout: @drain] ++ patient(kafka)
    own = [history: history, group: group, producer: producer]
    options = [processors: processors, handle: handle] ++ own
    one = TestGroup.start(kafka, [topic], options)
    of_one = for _ <- 1..2, into: %{}, do: held()
    await_committed(kafka, group, each(topic, 2, 1))

    two = TestGroup.start(kafka, [topic], options)
    [{^topic, gone}] = TestGroup.await_stopped(one, 1)
    {^gone, {next, _}} = held()
    {_, late} = of_one[gone]
    Broadway.Message.ack_immediately(late)
    # It would be committed with what the first still has.
    {kept, _} = of_one[1 - gone]
    send(kept, :go)
    await_committed(kafka, group, %{{topic, gone} => 1, {topic, 1 - gone} => 3})
    send(next, :go)
    await_committed(kafka, group, each(topic, 2, 3))
    for group <- [one, two], do: TestGroup.stop(group)
    clean = [TestPipeline.label(two)]
    assert %{redelivered: 1} = sound(history, kafka, one, topic, 2, clean_stops: clean)
  end

  @spec held() :: {non_neg_integer(), {pid(), Broadway.Message.t()}}
  defp held do
    assert_receive {:held, pid, message}, 15_000
    {message.metadata.partition, {pid, message}}
  end

  test "a topic's pipeline goes on when one of its partitions goes, and ends with the last",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    group = Kafka.random_name("group")
    own = [module: TestGroup.PerTopic, producer: patient(kafka)]
    options = [history: history, group: group] ++ own
    one = TestGroup.start(kafka, [topic], options)
    TestGroup.await_started(one, 1)
    two = TestGroup.start(kafka, [topic], options)
    TestGroup.await_started(two, 1)
    fill(kafka, topic, 2, 10)
    assert [{_, offsets}] = one |> handled(10) |> offsets() |> Map.to_list()
    assert offsets == Enum.to_list(0..9)
    handled(two, 10)
    name = one.name
    refute_received {:telemetry, ^name, :pipeline_stopped, _, _}
    TestGroup.stop(one)
    fill(kafka, topic, 2, 10)
    handled(two, 20)
    await_committed(kafka, group, each(topic, 2, 20))
    TestGroup.stop(two)
    sound(history, kafka, two, topic, 2)
  end

  test "a partition that was to go and stays after all has its pipeline again", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    history = History.start()
    group = TestGroup.start(kafka, [topic], history: history)
    TestGroup.await_started(group, 1)
    {pipelines, _} = starter(group)
    # As the consumer tells it where one rebalance is overtaken by another.
    send(pipelines, {Consumer, {:revoking, [{topic, 0, 0, 1, 0}]}})
    send(pipelines, {Consumer, {:kept, [{topic, 0, 0, 1, 0}]}})
    TestGroup.await_stopped(group, 1)
    TestGroup.await_started(group, 1)
    fill(kafka, topic, 1, 10)
    assert group |> handled(10) |> offsets() == each(topic, 1, Enum.to_list(0..9))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 1, redelivered: 0)
  end
end
