defmodule OffBroadwayRustKafka.StopTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  @partitions 4
  @count 500

  # Each time the stop comes at another moment of the work.
  for {shape, options} <- [
        {"with one processor", [processors: [concurrency: 1, max_demand: 50]]},
        {"with several processors", [processors: [concurrency: 4, max_demand: 5]]},
        {"with a batcher",
         [
           processors: [concurrency: 3],
           batchers: [default: [concurrency: 2, batch_size: 17, batch_timeout: 50]]
         ]},
        {"with three producers",
         [
           concurrency: 3,
           processors: [concurrency: 2],
           batchers: [default: [batch_size: 10, batch_timeout: 50]]
         ]},
        {"with rare commits", [producer: [commit_interval: 60_000]]},
        {"with commits at once", [producer: [commit_interval: 0]]}
      ] do
    test "a stop in the middle commits exactly what was handled, #{shape}", %{kafka: kafka} do
      topic = create_topic(kafka, @partitions)
      fill(kafka, topic, @partitions, @count)
      group = random_name("group")
      options = [group: group, handle: &dawdle/1] ++ unquote(Macro.escape(options))
      start = each(topic, @partitions, 0)
      reached = stop_repeatedly(kafka, topic, start, options, 4)

      # The last one reads the rest.
      left = @partitions * @count - (reached |> Map.values() |> Enum.sum())
      pipeline = TestPipeline.start(kafka, [topic], options)
      rest = handled(pipeline, left) ++ stop(pipeline)
      assert_exact(rest, reached, each(topic, @partitions, @count))
      assert committed(kafka, group, topic, @partitions) == each(topic, @partitions, @count)
    end
  end

  defp stop_repeatedly(_kafka, _topic, start, _options, 0), do: start

  defp stop_repeatedly(kafka, topic, start, options, times) do
    pipeline = TestPipeline.start(kafka, [topic], options)
    first = handled(pipeline, 1 + :rand.uniform(200))
    rest = stop(pipeline)
    committed = committed(kafka, pipeline.group, topic, @partitions)
    assert_exact(first ++ rest, start, committed)

    assert committed != each(topic, @partitions, @count),
           "the stop came too late to tell anything"

    stop_repeatedly(kafka, topic, committed, options, times - 1)
  end

  defp dawdle(message) do
    pass(if(:rand.uniform(3) == 1, do: 1, else: 0))
    message
  end

  test "a stop waits for what is in the handlers and batches, and commits it", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)
    test = self()

    pipeline =
      TestPipeline.start(kafka, [topic],
        processors: [concurrency: 1, max_demand: 4],
        batchers: [default: [batch_size: 100, batch_timeout: 60_000]],
        handle: fn
          %{metadata: %{offset: 2}} = message ->
            TestPipeline.hold(test, :third)
            message

          message ->
            message
        end
      )

    assert_receive {:held, handler, :third}, 10_000
    stopping = Task.async(fn -> Broadway.stop(pipeline.name) end)
    refute Task.yield(stopping, 100)
    send(handler, :go)
    assert Task.await(stopping, 15_000) == :ok

    handled = batched_so_far(pipeline)
    assert_exact(handled, each(topic, 1, 0), committed(kafka, pipeline.group, topic, 1))
    assert length(handled) in 3..6
  end

  test "what a handler did not finish within the shutdown is not committed", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    group = random_name("group")
    test = self()

    pipeline =
      TestPipeline.start(kafka, [topic],
        group: group,
        processors: [max_demand: 1],
        broadway: [shutdown: 100],
        handle: fn
          %{metadata: %{partition: 0, offset: 3}} = message ->
            TestPipeline.hold(test, :fourth)
            message

          message ->
            message
        end
      )

    assert_receive {:held, _, :fourth}, 10_000
    await_committed(kafka, group, %{{topic, 0} => 3, {topic, 1} => 5})
    stop(pipeline)
    assert committed(kafka, group, topic, 2) == %{{topic, 0} => 3, {topic, 1} => 5}

    again = TestPipeline.start(kafka, [topic], group: group)
    assert again |> handled(2) |> offsets() == %{{topic, 0} => [3, 4]}
  end

  test "a stop leaves the group: the next member gets its partitions at once", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    group = random_name("group")
    # Nobody would get them for as long if a member merely went silent.
    options = [group: group, producer: [config: ["session.timeout.ms": patience(kafka)]]]

    first = TestPipeline.start(kafka, [topic], options)
    await_assigned(first, 2)
    stop(first)

    {micros, _} =
      :timer.tc(fn -> kafka |> TestPipeline.start([topic], options) |> await_assigned(2) end)

    # A session of a real Kafka would be thirty seconds.
    assert micros < 12_000_000
  end

  # The mock brokers keep a group waiting after a leave too.
  defp patience(%{cluster: nil}), do: 30_000
  defp patience(_mock), do: 1_600

  test "an idle pipeline stops at once", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    pipeline = TestPipeline.start(kafka, [topic])
    await_committed(kafka, pipeline.group, each(topic, 2, 5))
    {micros, _} = :timer.tc(fn -> stop(pipeline) end)
    assert micros < 4_000_000
  end

  test "a pipeline that stops before it has joined its group does so at once", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    pipeline = TestPipeline.start(kafka, [topic])
    {micros, _} = :timer.tc(fn -> stop(pipeline) end)
    assert micros < 5_000_000
  end
end
