defmodule OffBroadwayRustKafka.TopicLifeTest do
  # What becomes of a position that is out of range when a pipeline starts is start_position_test's,
  # and of one that retention has overtaken retention_test's.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.Error

  @moduletag :broker
  @moduletag timeout: 120_000

  # The default of topic.metadata.refresh.interval.ms, and as long again for a busy machine.
  @noticed_ms 20_000

  # As a user has it by default; elsewhere topics are looked at every second.
  @by_default []
  @often ["topic.metadata.refresh.interval.ms": 1_000]

  defp start(kafka, topics, group, options \\ []) do
    {config, options} = Keyword.pop(options, :config, @often)
    producer = Keyword.merge([offset_reset_policy: :earliest, config: config], group)
    TestPipeline.start(kafka, topics, [producer: producer] ++ options)
  end

  defp delete(kafka, topic), do: :ok = TestClient.delete_topic(client(kafka), topic)

  # A topic that is gone just now, and the pipeline that has handled its ten records.
  defp deleted_after_ten(kafka, group) do
    topic = create_topic(kafka, 1)
    pipeline = start(kafka, [topic], group)
    await_committed(kafka, pipeline.group, each(topic, 1, 0), @noticed_ms)
    fill(kafka, topic, 1, 10)
    await_committed(kafka, pipeline.group, each(topic, 1, 10), @noticed_ms)
    assert length(handled_so_far(pipeline)) == 10
    delete(kafka, topic)
    {topic, pipeline}
  end

  # librdkafka calls partitions of a deleted topic lost, in a classic group.
  defp await_given_up(%{name: name} = pipeline, topic) do
    assert_receive {:telemetry, ^name, event, measurements, %{partitions: partitions}}
                   when event in [:revoked, :lost],
                   @noticed_ms

    if Enum.any?(partitions, &(&1.topic == topic)),
      do: measurements,
      else: await_given_up(pipeline, topic)
  end

  for protocol <- [:classic, :consumer], policy <- [:earliest, :latest] do
    describe "under #{inspect(policy)}, in a #{protocol} group," do
      @describetag group: [offset_reset_policy: policy, group_protocol: protocol]

      test "added partitions are read from their first record, soon and by default", %{
        kafka: kafka,
        group: group
      } do
        topic = create_topic(kafka, 1)
        pipeline = start(kafka, [topic], group, config: @by_default)
        await_committed(kafka, pipeline.group, each(topic, 1, 0), @noticed_ms)
        :ok = TestClient.add_partitions(client(kafka), topic, 3)
        fill(kafka, topic, 3, 5)
        await_committed(kafka, pipeline.group, each(topic, 3, 5), @noticed_ms)
        assert offsets(stop(pipeline)) == each(topic, 3, Enum.to_list(0..4))
      end

      test "a topic that appears later is read from its first record", %{
        kafka: kafka,
        group: group
      } do
        there = create_topic(kafka, 1)
        later = random_name("later")
        %{name: name} = pipeline = start(kafka, [later, there], group)
        await_committed(kafka, pipeline.group, each(there, 1, 0), @noticed_ms)
        fill(kafka, there, 1, 5)
        await_committed(kafka, pipeline.group, each(there, 1, 5), @noticed_ms)
        ^later = create_topic(kafka, 2, name: later)
        fill(kafka, later, 2, 5)
        await_committed(kafka, pipeline.group, each(later, 2, 5), 2 * @noticed_ms)

        assert offsets(stop(pipeline)) ==
                 Map.merge(each(there, 1, Enum.to_list(0..4)), each(later, 2, Enum.to_list(0..4)))

        refute_received {:telemetry, ^name, :error, _, %{error: %Error{fatal?: true}}}
      end

      test "a topic that is deleted and later created again is read from its first record", %{
        kafka: kafka,
        group: group
      } do
        {topic, pipeline} = deleted_after_ten(kafka, group)
        await_given_up(pipeline, topic)
        ^topic = create_topic(kafka, 1, name: topic)
        fill(kafka, topic, 1, 5)
        await_handled(pipeline, topic, 5)
        await_committed(kafka, pipeline.group, each(topic, 1, 5), @noticed_ms)
      end

      # With more records than the old one had, the old position exists in the new one.
      for {than, count} <- [{"fewer", 5}, {"more", 20}] do
        test "a topic that is deleted and at once created again, with #{than} records, is read from its first",
             %{kafka: kafka, group: group} do
          {topic, pipeline} = deleted_after_ten(kafka, group)
          ^topic = create_topic(kafka, 1, name: topic)
          fill(kafka, topic, 1, unquote(count))
          await_handled(pipeline, topic, unquote(count))
          await_committed(kafka, pipeline.group, each(topic, 1, unquote(count)), @noticed_ms)
        end
      end

      test "late acknowledgements of a deleted topic's records commit nothing of its successor",
           %{
             kafka: kafka,
             group: group
           } do
        topic = create_topic(kafka, 1)
        test = self()

        hold = fn message ->
          if message.data == "held", do: TestPipeline.hold(test, message.metadata.offset)
          message
        end

        pipeline = start(kafka, [topic], group, handle: hold)
        await_committed(kafka, pipeline.group, each(topic, 1, 0), @noticed_ms)
        fill(kafka, topic, 1, 10)
        produce(kafka, topic, ["held"])
        assert_receive {:held, handler, 10}, @noticed_ms
        await_committed(kafka, pipeline.group, each(topic, 1, 10), @noticed_ms)
        assert length(handled_so_far(pipeline)) == 10
        delete(kafka, topic)
        ^topic = create_topic(kafka, 1, name: topic)
        fill(kafka, topic, 1, 20)
        send(handler, :go)
        await_handled(pipeline, topic, 20)
        await_committed(kafka, pipeline.group, each(topic, 1, 20), @noticed_ms)
      end
    end
  end

  # Records of the new topic: those that were produced to it, whatever of the old one is handled.
  defp await_handled(pipeline, topic, count),
    do: await_handled(pipeline, topic, MapSet.new(0..(count - 1)), count)

  defp await_handled(%{name: name} = pipeline, topic, missing, count) do
    if MapSet.size(missing) > 0 do
      receive do
        {:handled, ^name, _, %{data: data, metadata: %{topic: ^topic, offset: offset}}} ->
          missing = if data == "held", do: missing, else: MapSet.delete(missing, offset)
          await_handled(pipeline, topic, missing, count)
      after
        2 * @noticed_ms ->
          flunk("of #{count} records were not handled #{inspect(MapSet.to_list(missing))}")
      end
    end
  end

  for protocol <- [:classic, :consumer] do
    test "a topic that is deleted with records unacknowledged holds up no other, in a #{protocol} group",
         %{kafka: kafka} do
      [gone, stays] = for _ <- 1..2, do: create_topic(kafka, 2)
      test = self()

      hold = fn message ->
        if message.data == "held", do: TestPipeline.hold(test, :held)
        message
      end

      pipeline = start(kafka, [gone, stays], [group_protocol: unquote(protocol)], handle: hold)

      await_committed(kafka, pipeline.group, each(stays, 2, 0), @noticed_ms)
      produce(kafka, gone, ["held"])
      assert_receive {:held, handler, :held}, @noticed_ms
      delete(kafka, gone)
      # What is to be committed now never can be.
      send(handler, :go)
      given_up = await_given_up(pipeline, gone)
      assert Map.get(given_up, :drain_ms, 0) < 3_000
      fill(kafka, stays, 2, 5)
      await_committed(kafka, pipeline.group, each(stays, 2, 5), 5_000)
    end
  end
end
