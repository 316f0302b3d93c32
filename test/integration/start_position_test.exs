defmodule OffBroadwayRustKafka.StartPositionTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  defp start(kafka, topics, policy, options \\ []) do
    {producer, options} = Keyword.pop(options, :producer, [])
    producer = [offset_reset_policy: policy] ++ producer
    TestPipeline.start(kafka, topics, [producer: producer] ++ options)
  end

  test ":earliest starts at the first record", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    pipeline = start(kafka, [topic], :earliest)

    assert pipeline |> handled(6) |> offsets() == each(topic, 2, [0, 1, 2])
    assert await_assigned(pipeline, 2) == each(topic, 2, 0)
  end

  test ":latest starts at the end", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    pipeline = start(kafka, [topic], :latest)
    assert await_assigned(pipeline, 2) == each(topic, 2, 3)

    fill(kafka, topic, 2, 2)
    assert pipeline |> handled(4) |> offsets() == each(topic, 2, [3, 4])
  end

  test ":latest is where a pipeline starts that says nothing", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)
    pipeline = TestPipeline.new([])
    TestPipeline.listen(pipeline.name)
    options = TestPipeline.broadway(pipeline, kafka, [topic], [])

    options =
      update_in(options[:producer][:module], fn {producer, options} ->
        {producer, Keyword.delete(options, :offset_reset_policy)}
      end)

    start_supervised!({TestPipeline, options})
    assert await_assigned(pipeline, 1) == each(topic, 1, 3)
  end

  @tag :broker
  test "a time starts at the first record at or after it", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    times = [1_000, 2_000, 2_000, 3_000]
    produce(kafka, topic, for(ts <- times, do: [value: "value", ts: ts, partition: 0]))
    produce(kafka, topic, for(ts <- times, do: [value: "value", ts: ts - 1, partition: 1]))

    assert kafka |> start([topic], {:timestamp, 2_000}) |> await_assigned(2) ==
             %{{topic, 0} => 1, {topic, 1} => 3}

    assert kafka |> start([topic], {:timestamp, 0}) |> await_assigned(2) == each(topic, 2, 0)
    pipeline = start(kafka, [topic], {:timestamp, 2_001})

    assert [%{metadata: %{ts: 3_000}}, _] =
             pipeline |> handled(2) |> Enum.sort_by(& &1.metadata.partition)
  end

  @tag :broker
  test "a time after the last record starts at the end", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    produce(kafka, topic, for(_ <- 1..3, do: [value: "value", ts: 1_000]))
    assert kafka |> start([topic], {:timestamp, 1_001}) |> await_assigned(1) == each(topic, 1, 3)
  end

  test "a topic's own policy goes before the pipeline's", %{kafka: kafka} do
    [first, second, third] = topics = for _ <- 1..3, do: create_topic(kafka, 1)
    for topic <- topics, do: fill(kafka, topic, 1, 3)

    topics = [
      first,
      [name: second, offset_reset_policy: :latest],
      [topic: third, offset_reset_policy: :earliest]
    ]

    assert kafka |> start(topics, :earliest) |> await_assigned(3) ==
             %{{first, 0} => 0, {second, 0} => 3, {third, 0} => 0}

    assert kafka |> start(topics, :latest) |> await_assigned(3) ==
             %{{first, 0} => 3, {second, 0} => 3, {third, 0} => 0}
  end

  test "the start is committed at once, before any record is handled", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    test = self()
    hold = fn message -> TestPipeline.hold(test, message.metadata.offset) && message end

    for {policy, start} <- [earliest: 0, latest: 3] do
      pipeline = start(kafka, [topic], policy, handle: hold)
      await_committed(kafka, pipeline.group, each(topic, 2, start))
    end
  end

  test "the start is committed on an empty topic too", %{kafka: kafka} do
    topic = create_topic(kafka, 2)

    for policy <- [:earliest, :latest] do
      pipeline = start(kafka, [topic], policy)
      await_committed(kafka, pipeline.group, each(topic, 2, 0))
    end
  end

  test "with :latest a restart before the first ack skips nothing", %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 3)
    group = random_name("group")

    first = start(kafka, [topic], :latest, group: group)
    await_committed(kafka, group, each(topic, 3, 3))
    assert stop(first) == []

    # These came while nobody was there.
    fill(kafka, topic, 3, 2)
    second = start(kafka, [topic], :latest, group: group)
    assert second |> handled(6) |> offsets() == each(topic, 3, [3, 4])
  end

  test "with :latest a stop with the first records unhandled skips none of them", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    group = random_name("group")
    test = self()
    hold = fn message -> TestPipeline.hold(test, message.metadata.offset) && message end

    first =
      start(kafka, [topic], :latest,
        group: group,
        handle: hold,
        processors: [concurrency: 1, max_demand: 1],
        broadway: [shutdown: 100]
      )

    await_committed(kafka, group, each(topic, 1, 0))
    produce(kafka, topic, ["first", "second"])
    assert_receive {:held, _, 0}, 5_000
    # The held handler is killed after its shutdown.
    assert stop(first) == []
    assert committed(kafka, group, topic, 1) == each(topic, 1, 0)

    second = start(kafka, [topic], :latest, group: group)
    assert second |> handled(2) |> Enum.map(& &1.data) == ["first", "second"]
  end

  for policy <- [:earliest, :latest] do
    test "a committed offset goes before #{inspect(policy)}", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 10)
      group = random_name("group")
      :ok = TestClient.commit(client(kafka), group, [{topic, 0, 4}, {topic, 1, 9}])
      pipeline = start(kafka, [topic], unquote(policy), group: group)

      assert pipeline |> handled(7) |> offsets() ==
               %{{topic, 0} => [4, 5, 6, 7, 8, 9], {topic, 1} => [9]}

      await_committed(kafka, group, each(topic, 2, 10))
    end
  end

  for {policy, to} <- [earliest: 0, latest: 10], assignor <- ["cooperative-sticky", "range"] do
    test "an offset that does not exist is reset to #{inspect(policy)}, under #{assignor}", %{
      kafka: kafka
    } do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 10)
      group = random_name("group")
      :ok = TestClient.commit(client(kafka), group, [{topic, 0, 1_000}, {topic, 1, 8}])

      %{name: name} =
        pipeline =
        start(kafka, [topic], unquote(policy),
          group: group,
          producer: [config: ["partition.assignment.strategy": unquote(assignor)]]
        )

      assert_receive {:telemetry, ^name, :reset, measurements, %{topic: ^topic, partition: 0}},
                     10_000

      assert measurements == %{from_offset: 1_000, to_offset: unquote(to)}

      # Both partitions go on, the other one where it was.
      fill(kafka, topic, 2, 5)
      expected = %{{topic, 0} => Enum.to_list(unquote(to)..14), {topic, 1} => Enum.to_list(8..14)}
      assert pipeline |> handled(15 - unquote(to) + 7) |> offsets() == expected
      await_committed(kafka, group, each(topic, 2, 15))
    end
  end

  @tag :broker
  test "partitions that are added while the group consumes start at their first record", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 3)

    pipeline =
      start(kafka, [topic], :latest,
        producer: [config: ["topic.metadata.refresh.interval.ms": 1_000]]
      )

    assert await_assigned(pipeline, 1) == each(topic, 1, 3)
    :ok = TestClient.add_partitions(client(kafka), topic, 3)
    produce(kafka, topic, for(p <- 0..2, do: [value: "new", partition: p]))

    assert pipeline |> handled(3) |> offsets() ==
             %{{topic, 0} => [3], {topic, 1} => [0], {topic, 2} => [0]}
  end
end
