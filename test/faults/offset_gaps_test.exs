defmodule OffBroadwayRustKafka.OffsetGapsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History}

  # The broker's cleaner looks for something to do every 15 seconds.
  @compacted_ms 90_000

  defp assert_no_lag(kafka, pipeline, topic) do
    {:ok, {_, high}} = TestClient.watermarks(client(kafka), topic, 0)
    await_committed(kafka, pipeline.group, each(topic, 1, high))

    await(10_000, fn ->
      [progress] = OffBroadwayRustKafka.progress(pipeline.name)
      lag = progress.high_watermark && progress.high_watermark - progress.committed
      if lag == 0, do: :ok, else: {:not_yet, "the lag is #{inspect(lag)}"}
    end)
  end

  defp assert_sound(history, kafka, topic, records) do
    {:ok, {low, high}} = TestClient.watermarks(client(kafka), topic, 0)
    gaps = Enum.to_list(low..(high - 1)) -- records
    History.ask_produced(history, kafka, topic, 1, %{0 => gaps})
    Checker.assert_sound!(history, at_end: :all_committed)
  end

  describe "a compacted topic" do
    @describetag :broker
    @describetag timeout: 180_000

    # Every round begins a segment of its own, as its records are later; the last is not compacted.
    defp compacted(kafka) do
      config = [
        "cleanup.policy": "compact",
        "segment.ms": 500,
        "min.cleanable.dirty.ratio": 0.001,
        "max.compaction.lag.ms": 500
      ]

      topic = create_topic(kafka, 1, config: config)
      began = System.os_time(:millisecond) - 3_600_000

      rounds = [
        List.duplicate("hot", 5_000),
        for(n <- 1..100, do: "key-#{n}"),
        ["hot" | for(n <- 1..50, do: "key-#{2 * n}")],
        ["last", "of all"]
      ]

      keys = Enum.concat(rounds)

      for {keys, round} <- Enum.with_index(rounds) do
        records = for key <- keys, do: [key: key, value: "v", ts: began + 10_000 * round]
        produce(kafka, topic, records)
      end

      last = keys |> Enum.with_index() |> Map.new() |> Map.values() |> Enum.sort()

      await(@compacted_ms, fn ->
        {:ok, offsets} = TestClient.offsets(client(kafka), topic, 0)
        if offsets == last, do: :ok, else: {:not_yet, "#{length(offsets)} records are left"}
      end)

      {topic, last}
    end

    test "is handled without its gaps and committed to the end, also from within a gap", %{
      kafka: kafka
    } do
      {topic, records} = compacted(kafka)
      # Of the 5153 offsets the first 5000 are one gap, and half of the next hundred are gaps.
      assert length(records) == 103 and hd(records) == 5_000
      history = History.start()
      pipeline = TestPipeline.start(kafka, [topic], history: history)
      assert pipeline |> handled(103) |> offsets() == %{{topic, 0} => records}
      assert_no_lag(kafka, pipeline, topic)
      assert stop(pipeline) == []
      assert_sound(history, kafka, topic, records)

      group = random_name("group")
      :ok = TestClient.commit(client(kafka), group, [{topic, 0, 5_003}])
      %{name: name} = again = TestPipeline.start(kafka, [topic], group: group)
      later = for offset <- records, offset >= 5_003, do: offset
      refute 5_003 in later
      assert again |> handled(length(later)) |> offsets() == %{{topic, 0} => later}
      assert_no_lag(kafka, again, topic)
      refute_received {:telemetry, ^name, :reset, _, _}
    end
  end

  describe "transactions" do
    @describetag :broker

    # Five records each, then the record of how it ended; the last one too is one of those.
    setup %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      producer = transactional(kafka)
      for step <- [:commit, :abort, :commit, :abort], do: transaction(producer, topic, step)
      %{topic: topic}
    end

    defp transactional(kafka) do
      {:ok, client} =
        TestClient.start(kafka.bootstrap, "transactional.id": random_name("transactions"))

      %{kafka | client: client}
    end

    defp transaction(producer, topic, step) do
      open_transaction(producer, topic)
      :ok = TestClient.transaction(producer.client, step)
    end

    defp open_transaction(producer, topic) do
      :ok = TestClient.transaction(producer.client, :begin)
      produce(producer, topic, List.duplicate([value: "v", partition: 0], 5))
    end

    @committed Enum.concat(0..4, 12..16)
    @aborted Enum.concat(6..10, 18..22)

    for {isolation, records} <- [
          read_committed: @committed,
          read_uncommitted: Enum.sort(@committed ++ @aborted)
        ] do
      test "that were aborted are seen as #{isolation} says, and leave no lag", %{
        kafka: kafka,
        topic: topic
      } do
        history = History.start()

        pipeline =
          TestPipeline.start(kafka, [[name: topic, offset_reset_policy: :earliest]],
            producer: [config: ["isolation.level": unquote(isolation)]],
            history: history
          )

        records = unquote(records)
        assert pipeline |> handled(length(records)) |> offsets() == %{{topic, 0} => records}
        # The last offset, 23, is not a record's.
        await_committed(kafka, pipeline.group, %{{topic, 0} => 24, {topic, 1} => 0})

        # The brokers have it before the member hears that they have.
        await(5_000, fn ->
          progress = OffBroadwayRustKafka.progress(pipeline.name)

          %{committed: committed, high_watermark: high} =
            Enum.find(progress, &(&1.partition == 0))

          if {committed, high} == {24, 24}, do: :ok, else: {:not_yet, inspect({committed, high})}
        end)

        assert stop(pipeline) == []

        gaps = Map.new(0..1, &{&1, Enum.to_list(0..23) -- records})

        History.ask_produced(history, kafka, topic, 2, gaps)
        Checker.assert_sound!(history, at_end: :all_committed)
      end
    end

    test "that are open come once they are committed, and in their place", %{
      kafka: kafka,
      topic: topic
    } do
      pipeline = TestPipeline.start(kafka, [topic])
      assert length(handled(pipeline, 10)) == 10
      producer = transactional(kafka)
      open_transaction(producer, topic)
      # Behind the open one, where a reader of committed records may not look yet.
      produce(kafka, topic, [[value: "plain", partition: 0]])
      fill(kafka, topic, 2, 1)
      await_committed(kafka, pipeline.group, %{{topic, 0} => 24, {topic, 1} => 1})
      :ok = TestClient.transaction(producer.client, :commit)
      await_committed(kafka, pipeline.group, %{{topic, 0} => 32, {topic, 1} => 1})
      handled = pipeline |> stop() |> offsets()
      assert handled == %{{topic, 0} => Enum.to_list(24..30), {topic, 1} => [0]}
    end

    test "leave no lag beside a partition that is never idle", %{kafka: kafka, topic: topic} do
      produce(kafka, topic, List.duplicate([value: "v", partition: 1], 200_000))
      # Seconds of work.
      slow = fn %{metadata: %{offset: offset}} = message ->
        if rem(offset, 50) == 49, do: pass(1)
        message
      end

      options = [handle: slow, producer: [max_in_flight: 1_000_000]]
      pipeline = TestPipeline.start(kafka, [topic], options)

      await(15_000, fn ->
        committed = committed(kafka, pipeline.group, topic, 2)
        busy = committed[{topic, 1}]
        assert busy == nil or busy < 200_000, "the other partition was not busy long enough"
        if committed[{topic, 0}] == 24, do: :ok, else: {:not_yet, inspect(committed)}
      end)
    end
  end

  test "a committed offset is the one after the last record handled", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)
    group = random_name("group")
    first = TestPipeline.start(kafka, [topic], group: group)
    await_committed(kafka, group, each(topic, 1, 3))
    assert first |> stop() |> offsets() == each(topic, 1, [0, 1, 2])
    fill(kafka, topic, 1, 1)
    # Not the last one again, and not the one after the next.
    second = TestPipeline.start(kafka, [topic], group: group)
    await_committed(kafka, group, each(topic, 1, 4))
    assert second |> stop() |> offsets() == each(topic, 1, [3])
  end
end
