defmodule OffBroadwayRustKafka.Faults.StageCrashTest do
  use OffBroadwayRustKafka.FaultCase, async: true

  @partitions 8
  # Delivered and unacked, of one partition: what a crash may deliver again.
  @in_flight 200
  @stages [processors: [concurrency: 4, max_demand: 50]]
  @batches [batchers: [default: [batch_size: 50, batch_timeout: 50, concurrency: 2]]]

  describe "in full flow" do
    @describetag :broker

    for {stage, each, options} <- [
          {:processor, 50_000, []},
          {:batcher, 10_000, @batches},
          {:batch_processor, 10_000, @batches}
        ] do
      test "a #{stage} that is killed loses none of #{each * @partitions} records", context do
        {topic, pipeline, counted} = start(context, unquote(each), unquote(options))
        await_count(counted, Enum.random(1_000..(unquote(each) * 6)))
        assert kill_one(context.history, stages(pipeline, unquote(stage)))
        assert_sound(context, pipeline, topic, 1)
      end
    end

    test "processors, batchers and batch processors killed at random times lose none", context do
      options = @batches ++ [broadway: [max_restarts: 100]]
      {topic, pipeline, counted} = start(context, 20_000, options)

      kills =
        for at <- Enum.sort(for _ <- 1..10, do: Enum.random(1_000..140_000)) do
          await_count(counted, at)
          kind = Enum.random([:processor, :batcher, :batch_processor])
          kill_one(context.history, stages(pipeline, kind))
        end

      assert_sound(context, pipeline, topic, Enum.count(kills, & &1))
    end
  end

  describe "fifty kills, some while stages are down from the one before," do
    @kills 50

    for {shape, options, kinds} <- [
          {"processors", [], [:processor]},
          {"processors, batchers and batch processors, with 3 producers",
           @batches ++ [concurrency: 3], [:processor, :batcher, :batch_processor]},
          {"processors, batchers and batch processors, with chunks of 20,",
           @batches ++ [producer: [chunk_size: 20]], [:processor, :batcher, :batch_processor]}
        ] do
      test "of #{shape} lose no record", context do
        {topic, pipeline, counted} =
          start(
            context,
            0,
            unquote(options) ++ [broadway: [max_restarts: 1_000_000, resubscribe_interval: 5]]
          )

        kill_often(context, pipeline, topic, counted, unquote(kinds), @kills)
        assert_sound(context, pipeline, topic, @kills)
      end
    end
  end

  defp kill_often(_context, _pipeline, _topic, _counted, _kinds, 0), do: :ok

  defp kill_often(%{kafka: kafka} = context, pipeline, topic, counted, kinds, left) do
    [before, more] = [counted.(), Enum.random(0..40)]
    fill(kafka, topic, @partitions, 1 + div(more, 2))
    # As often as not in the middle of what follows the kill before.
    await_count(counted, before + Enum.random([0, more]))
    killed? = kill_one(context.history, stages(pipeline, Enum.random(kinds)))
    left = if killed?, do: left - 1, else: left
    kill_often(context, pipeline, topic, counted, kinds, left)
  end

  defp start(%{kafka: kafka, history: history}, each, options) do
    topic = create_topic(kafka, @partitions)
    if each > 0, do: fill_big(kafka, topic, @partitions, each)
    record_produced(history, kafka, topic, @partitions)
    {handle, counted} = counting()

    {producer, options} = Keyword.pop(options, :producer, [])
    producer = [max_in_flight: @in_flight] ++ producer

    pipeline =
      TestPipeline.start(
        kafka,
        [topic],
        [history: history, tell: false, handle: handle, producer: producer] ++ @stages ++ options
      )

    {topic, pipeline, counted}
  end

  # Without a restart of the member, and no more came again than was in flight.
  defp assert_sound(context, pipeline, topic, kills) do
    report = assert_all_committed(context, [pipeline], topic, @partitions)
    assert report.members == 1
    assert report.redelivered <= kills * @partitions * @in_flight
  end
end
