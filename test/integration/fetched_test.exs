defmodule OffBroadwayRustKafka.FetchedTest do
  # What is fetched, by librdkafka's own count: how far beyond what is demanded, and how often. It
  # measures memory: alone.
  use OffBroadwayRustKafka.FaultCase, async: false

  alias OffBroadwayRustKafka.{Sockets, TestGroup, TestStage}

  # A quarter of what there is, of each broker.
  @buffer 4_000_000
  @value 4_000

  @partitions 4
  @config ["statistics.interval.ms": 100]

  @fetch max(div(@buffer, 16), 1_000_000)

  # The mock cluster answers with whole batches, so that they are small.
  defp fill_small(kafka, topic, partitions, count) do
    {:ok, client} = TestClient.start(kafka.bootstrap, "batch.num.messages": 5)
    fill_big(%{kafka | client: client}, topic, partitions, count, @value)
  end

  test "nothing is fetched far beyond what is demanded, whatever reads or how long it does not",
       %{kafka: kafka} do
    kafka = if kafka.cluster, do: Kafka.own(brokers: 1), else: kafka
    brokers = Sockets.brokers(kafka)
    topic = create_topic(kafka, @partitions)
    fill_small(kafka, topic, @partitions, 1_000 * brokers)

    readers =
      for {shape, producers} <- [slow: 1, paused: 1, producers: 4, group: 1, stage: 1],
          do: {shape, producers, stuck(shape, kafka, topic)}

    for {shape, _, reader} <- readers do
      if shape != :stage, do: await_held(reader.name)
      if shape == :paused, do: assert(:ok = OffBroadwayRustKafka.pause(reader.name))
    end

    for {shape, producers, reader} <- readers do
      forget_told(reader.name, :statistics)
      ahead = @value * (await_fetched(reader.name, nil) - delivered(reader.name))
      bound = bound(shape, producers * brokers * @fetch)
      IO.puts("  #{shape}: #{ahead} bytes are fetched and not delivered, of #{bound} at most")
      assert ahead in 1..bound, "#{shape}: #{ahead} bytes, and not #{bound} at most"
    end
  end

  # Where nothing was ever taken there are the queues only. One that has room may get a fetch of each broker.
  defp bound(:stage, fetches), do: div(@buffer, 8) + fetches
  defp bound(_reading, fetches), do: @buffer + fetches

  defp delivered(name) do
    {:ok, offsets} = OffBroadwayRustKafka.offsets(name)
    offsets |> Enum.map(& &1.delivered) |> Enum.sum()
  end

  # A stage that nobody has subscribed to.
  defp stuck(:stage, kafka, topic) do
    stage = TestStage.start(kafka, [topic], max_buffered_bytes: @buffer, config: @config)
    await_assigned(stage, @partitions)
    stage
  end

  defp stuck(:group, kafka, topic), do: TestGroup.start(kafka, [topic], stuck())

  defp stuck(:producers, kafka, topic),
    do: TestPipeline.start(kafka, [topic], [concurrency: 4] ++ stuck())

  defp stuck(_one, kafka, topic), do: TestPipeline.start(kafka, [topic], stuck())

  defp stuck do
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"
    test = self()

    [
      name: name,
      handle: fn message -> TestPipeline.hold(test, name) && message end,
      processors: [concurrency: 5, max_demand: 1],
      producer: [max_buffered_bytes: @buffer, config: @config]
    ]
  end

  defp await_held(name), do: assert_receive({:held, _, ^name}, 15_000)

  # How many records were fetched in all, once it is the same in ten statistics in a row.
  defp await_fetched(name, before, same \\ 0) do
    assert_receive {:telemetry, ^name, :statistics, %{rxmsgs: fetched}, _}, 10_000

    case fetched do
      # It has not begun.
      0 -> await_fetched(name, nil)
      ^before when same == 10 -> fetched
      ^before -> await_fetched(name, fetched, same + 1)
      _more -> await_fetched(name, fetched)
    end
  end

  @records 500

  test "what was prefetched is kept by a pause and by a seek of another partition: it is fetched once",
       %{kafka: kafka, history: history} do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, @records)
    handle = fn message -> pass(1) && message end
    options = [history: history, handle: handle, producer: [config: @config]]
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic], options)
    once = each(topic, @partitions, @records)

    for {scope, parts} <- [{:all, 4}, {[topic], 4}, {[{topic, 0}, {topic, 1}], 2}] do
      handled(pipeline, 20)
      assert :ok = OffBroadwayRustKafka.pause(name, scope)
      assert fetched(name, topic) == once
      # There is something that could have been thrown away.
      assert {:ok, offsets} = OffBroadwayRustKafka.offsets(name)
      assert @partitions - parts == Enum.count(offsets, &(not &1.paused))
      for %{paused: true, position: position} <- offsets, do: assert(position < @records)
      assert :ok = OffBroadwayRustKafka.resume(name, scope)
    end

    assert :ok = OffBroadwayRustKafka.seek(name, [{topic, 0, :beginning}])
    await_committed(kafka, pipeline.group, once, 60_000)
    assert %{{^topic, 0} => again} = fetched = fetched(name, topic)
    assert again in @records..(2 * @records)
    assert Map.put(fetched, {topic, 0}, @records) == once
    stop(pipeline)
    History.ask_produced(history, kafka, topic, @partitions)
    History.ask_committed(history, kafka, pipeline.group, topic, @partitions)
    Checker.assert_sound!(history, at_end: :all_committed, order: true)
  end

  # As many as the mock cluster keeps.
  @slow 1_200

  test "what a slow partition beside another has no room for is fetched once, or little more",
       context do
    # Each time it has its share, up to a 64th of the buffer is on its way.
    assert fetched_of_slow(context, 2) in @slow..div(@slow * 5, 4)
  end

  test "what the only partition has no room for waits, and is fetched once", context do
    assert fetched_of_slow(context, 1) == @slow
  end

  # One of them has records.
  defp fetched_of_slow(%{kafka: kafka, history: history}, partitions) do
    topic = create_topic(kafka, partitions)
    {:ok, client} = TestClient.start(kafka.bootstrap, "batch.num.messages": 5)
    record = [partition: 0, value: String.duplicate("x", @value)]
    produce(%{kafka | client: client}, topic, List.duplicate(record, @slow))
    handle = fn message -> pass(1) && message end
    producer = [max_buffered_bytes: @buffer, config: @config]
    processors = [concurrency: 4, max_demand: 10]
    options = [history: history, handle: handle, processors: processors, producer: producer]
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, pipeline.group, each(topic, 1, @slow), 60_000)
    forget_statistics(name)

    [fetched] =
      for %{topic: ^topic, partition: 0} = it <- statistics(name).partitions, do: it.rxmsgs

    IO.puts("  #{fetched} records of #{@slow} were fetched, of one of #{partitions} partitions")
    stop(pipeline)
    Checker.assert_sound_at_end!(history, kafka, pipeline.group, {topic, 1}, order: true)
    fetched
  end

  @wide 100
  @batch 50

  @tag :broker
  test "large batches of many partitions come several in an answer", %{kafka: kafka} do
    topic = create_topic(kafka, @wide)

    # A batch of 200 kB for each: more than a broker has in an answer for one where little may be buffered.
    {:ok, client} = TestClient.start(kafka.bootstrap, "linger.ms": 500, "batch.size": 1_000_000)
    value = String.duplicate("x", @value)
    records = for _ <- 1..@batch, {_, id} <- all(topic, @wide), do: [partition: id, value: value]
    produce(%{kafka | client: client}, topic, records)
    group = random_name("group")

    :ok = TestClient.commit(client, group, for({_, id} <- all(topic, @wide), do: {topic, id, 0}))
    options = [group: group, producer: [config: @config]]
    %{name: name} = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, group, each(topic, @wide, @batch), 60_000)
    forget_told(name, :statistics)
    answers = name |> statistics() |> Map.fetch!(:brokers) |> Enum.map(& &1.rx) |> Enum.sum()
    IO.puts("  #{@wide} batches came in #{answers} answers, others counted")
    assert answers < @wide
  end

  # How many records of each partition, once all of them have come.
  defp fetched(name, topic) do
    forget_statistics(name)
    await_fetched_all(name, topic)
  end

  defp forget_statistics(name) do
    forget_told(name, :statistics)
    # The next may have been on its way.
    statistics(name)
  end

  defp await_fetched_all(name, topic) do
    rxmsgs =
      for it <- statistics(name).partitions,
          it.topic == topic,
          into: %{},
          do: {{topic, it.partition}, it.rxmsgs}

    if Enum.all?(0..(@partitions - 1), &(rxmsgs[{topic, &1}] >= @records)),
      do: rxmsgs,
      else: await_fetched_all(name, topic)
  end

  defp statistics(name) do
    assert_receive {:telemetry, ^name, :statistics, _, %{statistics: statistics}}, 10_000
    statistics
  end
end
