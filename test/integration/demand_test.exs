defmodule OffBroadwayRustKafka.DemandTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  # Every record waits in its handler until the test lets it go.
  defp hold_all(test), do: fn message -> hold(message, test) end

  defp hold(message, test) do
    TestPipeline.hold(test, message.metadata)
    message
  end

  defp held do
    assert_receive {:held, pid, metadata}, 15_000
    {pid, metadata}
  end

  defp in_flight(pipeline),
    do: pipeline.name |> OffBroadwayRustKafka.progress() |> Enum.map(& &1.in_flight) |> Enum.sum()

  for max_demand <- [1, 3, 10], concurrency <- [1, 3] do
    test "#{concurrency} processors with a max_demand of #{max_demand} never have more in flight",
         %{
           kafka: kafka
         } do
      {concurrency, max_demand} = {unquote(concurrency), unquote(max_demand)}
      topic = create_topic(kafka, 3)
      fill(kafka, topic, 3, 60)

      pipeline =
        TestPipeline.start(kafka, [topic],
          handle: hold_all(self()),
          processors: [concurrency: concurrency, max_demand: max_demand, min_demand: 0],
          producer: [max_in_flight: 1_000]
        )

      # As many as there are processors with a partition of their own are at work at once.
      first = held()
      seen = release(first, pipeline, concurrency * max_demand, 179)
      assert seen == 180
      await_committed(kafka, pipeline.group, each(topic, 3, 60))
    end
  end

  defp release({pid, _}, pipeline, bound, left, seen \\ 1) do
    assert in_flight(pipeline) in 1..bound
    send(pid, :go)
    if left == 0, do: seen, else: release(held(), pipeline, bound, left - 1, seen + 1)
  end

  test "one slow partition does not keep the others waiting", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 500)
    test = self()

    slow = fn message ->
      if message.metadata.partition == 0, do: TestPipeline.hold(test, :slow)
      message
    end

    pipeline = TestPipeline.start(kafka, [topic], handle: slow, processors: [concurrency: 4])
    assert_receive {:held, pid, :slow}, 15_000
    others = handled(pipeline, 1_500)
    assert others |> offsets() |> Map.keys() == for(partition <- 1..3, do: {topic, partition})

    await_committed(kafka, pipeline.group, %{
      {topic, 0} => 0,
      {topic, 1} => 500,
      {topic, 2} => 500,
      {topic, 3} => 500
    })

    release_all(pid, 499)
    assert pipeline |> handled(500) |> offsets() == %{{topic, 0} => Enum.to_list(0..499)}
    await_committed(kafka, pipeline.group, each(topic, 4, 500))
  end

  defp release_all(pid, left) do
    send(pid, :go)

    if left > 0 do
      assert_receive {:held, pid, :slow}, 15_000
      release_all(pid, left - 1)
    end
  end

  test "max_in_flight bounds what one partition has in flight", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 100)

    pipeline =
      TestPipeline.start(kafka, [topic],
        handle: hold_all(self()),
        processors: [concurrency: 1, max_demand: 50],
        producer: [max_in_flight: 7]
      )

    assert release(held(), pipeline, 7, 99) == 100
    assert pipeline |> handled(100) |> offsets() == each(topic, 1, Enum.to_list(0..99))
    await_committed(kafka, pipeline.group, each(topic, 1, 100))
  end

  for concurrency <- [1, 3, 10] do
    test "#{concurrency} producers are one member, and each partition is on one of them", %{
      kafka: kafka
    } do
      topic = create_topic(kafka, 4)
      fill(kafka, topic, 4, 250)

      pipeline =
        TestPipeline.start(kafka, [topic],
          concurrency: unquote(concurrency),
          processors: [concurrency: 4]
        )

      messages = handled(pipeline, 1_000)
      await_committed(kafka, pipeline.group, each(topic, 4, 250))
      assert_exact(messages, each(topic, 4, 0), each(topic, 4, 250))

      # One assignment has them all: there is one member.
      assert_receive {:telemetry, _, :assigned, %{count: 4}, _}
      lanes = for partition <- OffBroadwayRustKafka.progress(pipeline.name), do: partition.lane
      assert Enum.all?(lanes, &(&1 in 0..(unquote(concurrency) - 1)))
      assert length(Enum.uniq(lanes)) == min(unquote(concurrency), 4)
    end
  end

  test "a partition is on the same producer after a restart", %{kafka: kafka} do
    topic = create_topic(kafka, 8)

    [first, second] =
      for _ <- 1..2 do
        pipeline = TestPipeline.start(kafka, [topic], concurrency: 3)
        await_assigned(pipeline, 8)
        progress = OffBroadwayRustKafka.progress(pipeline.name)
        stop(pipeline)
        Map.new(progress, &{&1.partition, &1.lane})
      end

    assert first == second
  end
end
