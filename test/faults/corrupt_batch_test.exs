defmodule OffBroadwayRustKafka.CorruptBatchTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{CorruptBatch, Error}

  @moduletag if(System.get_env("KAFKA_BROKERS"), do: :kafka_data, else: :mock)

  # Partition 0 has a corrupt batch at offset 5, between five records and five others; partition 1
  # has ten records.
  setup %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    on = fn partition, count -> List.duplicate([value: "good", partition: partition], count) end
    produce(kafka, topic, on.(0, 5) ++ on.(1, 5))
    assert CorruptBatch.produce(kafka, topic, 0, random_name("corrupt")) == 5
    produce(kafka, topic, on.(0, 5) ++ on.(1, 5))
    on_exit(fn -> delete(kafka, topic) end)
    %{topic: topic, more: fn count -> produce(kafka, topic, on.(1, count)) end}
  end

  # A broker that looks through its files must not find it.
  defp delete(%{cluster: nil} = kafka, topic), do: TestClient.delete_topic(client(kafka), topic)
  defp delete(_mock, _topic), do: :ok

  defp assert_told(%{name: name}, topic) do
    assert_receive {:telemetry, ^name, :error, _, %{error: %Error{code: :bad_msg} = error}},
                   15_000

    assert {error.topic, error.partition} == {topic, 0}
    assert {error.retryable?, error.fatal?} == {false, false}
    assert error.message =~ "the partition stops here"
  end

  test "a corrupt batch stops its partition, and is told by code, topic and partition", %{
    kafka: kafka,
    topic: topic,
    more: more
  } do
    pipeline = TestPipeline.start(kafka, [topic])
    assert_told(pipeline, topic)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 10})
    # The other partition goes on, and nothing beyond the batch is handled meanwhile.
    more.(10)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 20})

    assert offsets(stop(pipeline)) ==
             %{{topic, 0} => Enum.to_list(0..4), {topic, 1} => Enum.to_list(0..19)}

    assert committed(kafka, pipeline.group, topic, 2) == %{{topic, 0} => 5, {topic, 1} => 20}
  end

  test "a partition that stopped before a corrupt batch goes on when it is sought behind it", %{
    kafka: kafka,
    topic: topic
  } do
    pipeline = TestPipeline.start(kafka, [topic])
    assert_told(pipeline, topic)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 10})
    # Before it there is no way on.
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 0, 4}])
    assert_told(pipeline, topic)
    assert :ok = OffBroadwayRustKafka.seek(pipeline.name, [{topic, 0, 6}])
    await_committed(kafka, pipeline.group, %{{topic, 0} => 11, {topic, 1} => 10})
    offsets = pipeline |> stop() |> offsets() |> Map.fetch!({topic, 0})
    assert offsets == Enum.to_list(0..4) ++ [4] ++ Enum.to_list(6..10)
  end

  test "all records before a corrupt batch are handled, however few may be in flight", %{
    kafka: kafka,
    topic: topic
  } do
    pipeline = TestPipeline.start(kafka, [topic], producer: [max_in_flight: 1])
    assert_told(pipeline, topic)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 10})
  end

  test "what was unacknowledged before a corrupt batch comes again after a processor crash", %{
    kafka: kafka,
    topic: topic,
    more: more
  } do
    test = self()
    once = :counters.new(1, [])

    crash = fn message ->
      if message.metadata.partition == 0 and message.metadata.offset == 3 and
           :counters.get(once, 1) == 0 do
        :counters.add(once, 1, 1)
        TestPipeline.hold(test, :before_the_crash)
        Process.exit(self(), :kill)
      end

      message
    end

    pipeline = TestPipeline.start(kafka, [topic], handle: crash)
    assert_receive {:held, processor, :before_the_crash}, 15_000
    # The partition has stopped, with records in flight, when it crashes.
    assert_told(pipeline, topic)
    send(processor, :go)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 10})
    more.(5)
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 15})
    handled = stop(pipeline)
    assert_complete(handled, [{topic, 1}], 15)
    assert handled |> offsets() |> Map.fetch!({topic, 0}) |> Enum.uniq() == Enum.to_list(0..4)
  end

  test "a corrupt batch is skipped by no other member that gets its partition", %{
    kafka: kafka,
    topic: topic,
    more: more
  } do
    first = TestPipeline.start(kafka, [topic])
    assert_told(first, topic)
    await_committed(kafka, first.group, %{{topic, 0} => 5, {topic, 1} => 10})
    second = TestPipeline.start(kafka, [topic], group: first.group)
    %{name: name} = second
    assert_receive {:telemetry, ^name, :assigned, _, _}, 30_000
    more.(5)
    await_committed(kafka, first.group, %{{topic, 0} => 5, {topic, 1} => 15})
    handled = stop(first)
    assert_told(second, topic)
    more.(5)
    await_committed(kafka, first.group, %{{topic, 0} => 5, {topic, 1} => 20}, 30_000)
    handled = offsets(handled ++ stop(second))
    assert Enum.sort(handled[{topic, 0}]) == Enum.to_list(0..4)
    assert Enum.sort(handled[{topic, 1}]) == Enum.to_list(0..19)
  end
end
