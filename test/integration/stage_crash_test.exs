defmodule OffBroadwayRustKafka.StageCrashTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  @partitions 8

  # Kills the stage that handles the record, the first time it does.
  defp die_once(partition, offset) do
    counter = :counters.new(1, [])

    fn messages ->
      at? = &(&1.metadata.partition == partition and &1.metadata.offset == offset)

      if Enum.any?(messages, at?) and :counters.get(counter, 1) == 0 do
        :counters.add(counter, 1, 1)
        Process.exit(self(), :kill)
      end

      messages
    end
  end

  defp one_by_one(fun), do: fn message -> hd(fun.([message])) end

  defp assert_each_committed(kafka, pipeline, topic, count) do
    await_committed(kafka, pipeline.group, each(topic, @partitions, count), 60_000)
    # And it goes on, without having been restarted.
    fill(kafka, topic, @partitions, 10)
    await_committed(kafka, pipeline.group, each(topic, @partitions, count + 10), 60_000)
  end

  # How often records were handled again: those that were handled and not yet acknowledged.
  defp repeated(messages), do: length(messages) - length(Enum.uniq_by(messages, &place/1))
  defp place(%{metadata: at}), do: {at.partition, at.offset}

  for concurrency <- [1, 3] do
    test "a processor that is killed loses nothing, with #{concurrency} producers", %{
      kafka: kafka
    } do
      topic = create_topic(kafka, @partitions)
      fill(kafka, topic, @partitions, 400)
      kill = die_once(3, 150)

      %{name: name} =
        pipeline =
        TestPipeline.start(kafka, [topic],
          concurrency: unquote(concurrency),
          processors: [concurrency: 4, max_demand: 20],
          handle: one_by_one(kill)
        )

      topology = Process.whereis(name)
      assert_each_committed(kafka, pipeline, topic, 400)
      assert Process.whereis(name) == topology
      handled = stop(pipeline)
      assert_complete(handled, all(topic, @partitions), 410)
      # Four processors had at most what they had asked for, once.
      assert repeated(handled) <= 4 * 20
    end
  end

  test "what was acknowledged before a processor was killed does not come again, the rest is told",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 100)
    kill = die_once(0, 50)

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        # Each is acknowledged before the next.
        processors: [concurrency: 1, max_demand: 1],
        handle: one_by_one(kill)
      )

    await_committed(kafka, pipeline.group, each(topic, 1, 100))
    assert offsets(handled_so_far(pipeline)) == %{{topic, 0} => Enum.to_list(0..99)}
    assert_received {:telemetry, ^name, :redelivered, %{count: 1}, %{partitions: [told]}}
    assert %{topic: ^topic, partition: 0, offset: 50, count: 1} = told
  end

  test "a batch processor that is killed loses nothing", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 400)
    pipeline = start_batches(kafka, topic, handle_batch: die_once(3, 150))
    assert_each_committed(kafka, pipeline, topic, 400)
    assert_complete(batched_so_far(pipeline), all(topic, @partitions), 410)
  end

  test "a batcher that is killed loses nothing", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 400)
    pipeline = start_batches(kafka, topic, [])
    before = batched(pipeline, 500)
    batcher = Process.whereis(:"#{pipeline.name}.Broadway.Batcher_default")
    Process.exit(batcher, :kill)
    assert_each_committed(kafka, pipeline, topic, 400)
    assert_complete(before ++ batched_so_far(pipeline), all(topic, @partitions), 410)
  end

  defp start_batches(kafka, topic, options) do
    batcher = [batch_size: 10, batch_timeout: 50, concurrency: 2]

    TestPipeline.start(
      kafka,
      [topic],
      [processors: [concurrency: 4, max_demand: 20], batchers: [default: batcher]] ++ options
    )
  end

  test "a processor that crashes while the pipeline is idle costs nothing", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 10)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    await_committed(kafka, pipeline.group, each(topic, @partitions, 10))
    processor = Process.whereis(:"#{name}.Broadway.Processor_default_0")
    monitor = Process.monitor(processor)
    Process.exit(processor, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
    fill(kafka, topic, @partitions, 10)
    await_committed(kafka, pipeline.group, each(topic, @partitions, 20))
    assert offsets(stop(pipeline)) == each(topic, @partitions, Enum.to_list(0..19))
  end
end
