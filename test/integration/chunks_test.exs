defmodule OffBroadwayRustKafka.ChunksTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias Broadway.Message
  alias OffBroadwayRustKafka.Chunk

  @size 50

  # Records that come in chunks, as `{partition, offset, value}`.
  defp records(chunks) do
    for %{data: records, metadata: %{partition: partition}} <- chunks,
        {offset, _ts, _key, value, _headers} <- records,
        do: {partition, offset, value}
  end

  defp offsets_by_partition(chunks),
    do: chunks |> records() |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))

  defp start(kafka, topic, options) do
    {producer, options} = Keyword.pop(options, :producer, [])
    TestPipeline.start(kafka, [topic], [producer: [chunk_size: @size] ++ producer] ++ options)
  end

  # Waits until chunks with so many records were handled, or came in batches.
  defp take(pipeline, count, from \\ &handled/2, chunks \\ [])
  defp take(_pipeline, count, _from, chunks) when count <= 0, do: chunks

  defp take(pipeline, count, from, chunks) do
    some = from.(pipeline, 1)
    left = count - length(records(some))
    take(pipeline, left, from, chunks ++ some)
  end

  test "every record comes once, in its partition's order, in chunks that say what they hold", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 500)
    pipeline = start(kafka, topic, processors: [concurrency: 3])
    chunks = take(pipeline, 1_500)

    assert offsets_by_partition(chunks) ==
             Map.new(0..2, &{&1, Enum.to_list(0..499)})

    for {_, offset, value} <- records(chunks), do: assert(value == "#{offset + 1}")

    for %{data: data, metadata: metadata, batch_key: batch_key} <- chunks do
      assert length(data) in 1..@size
      {first, last} = {elem(hd(data), 0), elem(List.last(data), 0)}
      assert batch_key == {topic, metadata.partition}

      assert metadata == %{
               topic: topic,
               partition: metadata.partition,
               offset: first,
               last_offset: last,
               count: length(data)
             }
    end

    assert Enum.any?(chunks, &(&1.metadata.count == @size))
    assert stop(pipeline) == []
    assert committed(kafka, pipeline.group, topic, 3) == each(topic, 3, 500)
  end

  test "a record alone is a chunk at once", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    pipeline = start(kafka, topic, [])
    await_assigned(pipeline, 1)

    for n <- 0..4 do
      produce(kafka, topic, ["alone"])
      assert [%{data: [{^n, _, _, "alone", _}]}] = handled(pipeline, 1)
    end
  end

  test "a key, a tombstone, headers and a timestamp are in the records as they are elsewhere", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    headers = [{"h", "1"}, {"h", nil}]

    produce(kafka, topic, [
      %{key: "k", value: nil, headers: headers, ts: 1_700_000_000_000},
      %{value: "", ts: 1_700_000_000_001}
    ])

    [first, second] = kafka |> start(topic, []) |> take(2) |> Enum.flat_map(& &1.data)
    assert first == {0, 1_700_000_000_000, "k", nil, headers}
    assert second == {1, 1_700_000_000_001, nil, "", []}
  end

  test "with headers: false records have none, and all else", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    produce(kafka, topic, [%{key: "k", value: "v", headers: [{"h", "1"}], ts: 1_700_000_000_000}])
    [message] = kafka |> start(topic, producer: [headers: false]) |> handled(1)
    assert message.data == [{0, 1_700_000_000_000, "k", "v", []}]
    [message] = kafka |> TestPipeline.start([topic], producer: [headers: false]) |> handled(1)
    assert %{data: "v", metadata: %{key: "k", headers: [], ts: 1_700_000_000_000}} = message
  end

  test "records that fail in a batch go to handle_failed, and all are committed", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 200)

    fail_some = fn chunks ->
      Enum.flat_map(chunks, fn chunk ->
        {fine, bad} = Chunk.split(chunk, fn {offset, _, _, _, _} -> rem(offset, 7) != 3 end)
        fine ++ Enum.map(bad, &Message.failed(&1, "sevenths"))
      end)
    end

    %{name: name} =
      pipeline =
      start(kafka, topic,
        batchers: [default: [batch_size: 2, batch_timeout: 50]],
        handle_batch: fail_some
      )

    await_committed(kafka, pipeline.group, each(topic, 2, 200))
    stop(pipeline)
    failed = failed_so_far(name)
    assert Enum.all?(failed, &(&1.status == {:failed, "sevenths"}))
    expected = for offset <- 0..199, rem(offset, 7) == 3, do: offset
    assert offsets_by_partition(failed) == %{0 => expected, 1 => expected}
  end

  defp failed_so_far(name) do
    receive do
      {:failed, ^name, messages} -> messages ++ failed_so_far(name)
    after
      0 -> []
    end
  end

  test "a part acknowledged at once, without batchers, leaves the rest of its chunk to its own ack",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)
    test = self()

    low_first = fn chunk ->
      # The records may come in more than one.
      {low, high} = Chunk.split(chunk, fn {offset, _, _, _, _} -> offset < 12 end)
      low = Enum.map(low, &Message.ack_immediately/1)
      for %{metadata: %{offset: 12} = at} <- high, do: TestPipeline.hold(test, at)
      hd(high ++ low)
    end

    pipeline = start(kafka, topic, handle: low_first)
    assert_receive {:held, pid, %{offset: 12}}, 15_000
    await_committed(kafka, pipeline.group, each(topic, 1, 12))
    send(pid, :go)
    await_committed(kafka, pipeline.group, each(topic, 1, 20))
  end

  test "a part that a batch forgets is told by its first offset, and comes again alone", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 40)
    seen = :ets.new(:seen, [:public])

    forget_once = fn chunks ->
      Enum.flat_map(chunks, fn chunk ->
        {kept, _forgotten} =
          Chunk.split(chunk, fn {offset, _, _, _, _} ->
            rem(offset, 2) == 0 or not :ets.insert_new(seen, {offset})
          end)

        kept
      end)
    end

    %{name: name} =
      pipeline =
      start(kafka, topic,
        producer: [unacked_timeout: 1_500, on_unacked: :redeliver],
        batchers: [default: [batch_size: 5, batch_timeout: 20]],
        handle_batch: forget_once
      )

    assert_receive {:telemetry, ^name, :stalled, %{count: 1}, %{partitions: [stalled]}}, 10_000
    assert %{offset: 1, in_flight: 20} = stalled
    await_committed(kafka, pipeline.group, each(topic, 1, 40))
    again = for {_, offset, _} <- pipeline |> stop() |> records(), offset >= 0, do: offset
    odd = for offset <- 0..39, rem(offset, 2) == 1, do: offset
    assert Enum.sort(again -- Enum.to_list(0..39)) == odd
  end

  test "a processor that is killed gets what was not acknowledged again, and nothing else", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 300)
    counter = :counters.new(1, [])

    die_once = fn chunk ->
      if chunk.metadata.offset in 100..250 and :counters.get(counter, 1) == 0 do
        :counters.add(counter, 1, 1)
        Process.exit(self(), :kill)
      end

      chunk
    end

    %{name: name} =
      pipeline =
      start(kafka, topic,
        # Each is acknowledged before the next.
        processors: [concurrency: 1, max_demand: 1],
        handle: die_once
      )

    await_committed(kafka, pipeline.group, each(topic, 1, 300))
    assert offsets_by_partition(handled_so_far(pipeline)) == %{0 => Enum.to_list(0..299)}
    assert_received {:telemetry, ^name, :redelivered, %{count: count}, _}
    assert count in 1..@size
  end

  test "one slow partition does not keep the others waiting, however small its chunks are", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 4)
    test = self()

    slow = fn chunk ->
      if chunk.metadata.partition == 0, do: TestPipeline.hold(test, chunk.metadata.count)
      chunk
    end

    pipeline =
      start(kafka, topic,
        handle: slow,
        processors: [concurrency: 4],
        producer: [config: ["fetch.wait.max.ms": 10]]
      )

    await_assigned(pipeline, 4)

    # Chunks of one record, and more of them than all processors together ask for.
    for n <- 1..60 do
      produce(kafka, topic, [[partition: 0, value: "slow"]])
      await(15_000, fn -> taken(pipeline, n) end)
    end

    assert_receive {:held, pid, count}, 15_000
    fast = for n <- 1..300, partition <- 1..3, do: [partition: partition, value: "#{n}"]
    produce(kafka, topic, fast)
    others = take(pipeline, 900)
    assert others |> offsets_by_partition() |> Map.keys() == [1, 2, 3]
    release(pid, 60 - count)
    await_committed(kafka, pipeline.group, Map.put(each(topic, 4, 300), {topic, 0}, 60))
  end

  # A record is in flight as soon as it has come, or its partition has as many as it may, and is not
  # asked for more.
  defp taken(pipeline, count) do
    slow = pipeline.name |> OffBroadwayRustKafka.progress() |> Enum.find(&(&1.partition == 0))

    if slow.in_flight >= min(count, 25),
      do: :ok,
      else: {:not_yet, "#{count} records were produced, and there is #{inspect(slow)}"}
  end

  defp release(pid, 0), do: send(pid, :go)

  defp release(pid, left) do
    send(pid, :go)
    assert_receive {:held, pid, count}, 15_000
    release(pid, left - count)
  end

  test "max_in_flight bounds the records of a partition, and so its chunks", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 100)
    test = self()

    hold = fn chunk ->
      TestPipeline.hold(test, chunk.metadata)
      chunk
    end

    pipeline = start(kafka, topic, producer: [max_in_flight: 7], handle: hold)
    bounded(pipeline, 100)
    await_committed(kafka, pipeline.group, each(topic, 1, 100))
  end

  defp bounded(_pipeline, 0), do: :ok

  defp bounded(pipeline, left) do
    assert_receive {:held, pid, %{count: count}}, 15_000
    assert [%{in_flight: in_flight}] = OffBroadwayRustKafka.progress(pipeline.name)
    assert count <= in_flight and in_flight <= 7
    send(pid, :go)
    bounded(pipeline, left - count)
  end
end
