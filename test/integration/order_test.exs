defmodule OffBroadwayRustKafka.OrderTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias Broadway.Message

  # A little unequal work, so that what may overtake does.
  defp dawdle(message) do
    pass(rem(message.metadata.offset * 7 + message.metadata.partition, 3))
    message
  end

  test "a partition's records keep their order under ten processors and a batcher", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 8)
    fill(kafka, topic, 8, 100)

    pipeline =
      TestPipeline.start(kafka, [topic],
        processors: [concurrency: 10, max_demand: 5],
        batchers: [default: [concurrency: 4, batch_size: 20, batch_timeout: 20]],
        handle: &dawdle/1
      )

    in_order = each(topic, 8, Enum.to_list(0..99))
    assert pipeline |> batched(800) |> offsets() == in_order
    assert pipeline |> handled(800) |> offsets() == in_order
    await_committed(kafka, pipeline.group, each(topic, 8, 100))
  end

  test "a partition has one processor and one batch processor, and they share the work", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 6)
    fill(kafka, topic, 6, 20)

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        processors: [concurrency: 3],
        batchers: [default: [concurrency: 3, batch_size: 5, batch_timeout: 50]],
        handle: &Message.update_data(&1, fn _ -> {&1.metadata.partition, &1.metadata.offset} end)
      )

    await_committed(kafka, pipeline.group, each(topic, 6, 20))

    processors =
      for _ <- 1..120 do
        assert_received {:handled, ^name, pid, message}
        {message.metadata.partition, pid}
      end

    batch_processors =
      for {pid, {partition, _}} <- receive_batches(name, 120), do: {partition, pid}

    for served <- [processors, batch_processors] do
      by_pid = served |> Enum.uniq() |> Enum.group_by(&elem(&1, 1), &elem(&1, 0))
      assert by_pid |> Map.values() |> Enum.map(&length/1) == [2, 2, 2]
      assert by_pid |> Map.values() |> Enum.concat() |> Enum.sort() == Enum.to_list(0..5)
    end
  end

  test "a batch has records of one partition only", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 30)

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        batchers: [default: [batch_size: 10, batch_timeout: 60_000]]
      )

    await_committed(kafka, pipeline.group, each(topic, 4, 30))

    for _ <- 1..12 do
      assert_received {:batch, ^name, _, messages}
      assert length(messages) == 10
      assert [_one] = messages |> offsets() |> Map.keys()
    end
  end

  test "the user's own partition_by is used instead", %{kafka: kafka} do
    topic = create_topic(kafka, 2)

    produce(
      kafka,
      topic,
      for(n <- 1..40, do: [partition: rem(n, 2), key: "#{rem(n, 4)}", value: "#{n}"])
    )

    by_key = fn message -> String.to_integer(message.metadata.key) end

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic], processors: [concurrency: 4, partition_by: by_key])

    await_committed(kafka, pipeline.group, each(topic, 2, 20))

    served =
      for _ <- 1..40 do
        assert_received {:handled, ^name, pid, message}
        {message.metadata.key, pid}
      end

    assert served |> Enum.uniq() |> Enum.sort() |> Enum.map(&elem(&1, 0)) == ~w(0 1 2 3)
    assert served |> Enum.uniq_by(&elem(&1, 1)) |> length() == 4
  end

  describe "order, routing and commits stay as they are when a handler" do
    test "updates the data", %{kafka: kafka} do
      assert_undisturbed(kafka, & &1)
    end

    test "acknowledges at once", %{kafka: kafka} do
      assert_undisturbed(kafka, &Message.ack_immediately/1)
    end

    test "replaces the metadata", %{kafka: kafka} do
      assert_undisturbed(kafka, &%{&1 | metadata: nil})
    end

    test "acknowledges at once and replaces the metadata", %{kafka: kafka} do
      assert_undisturbed(kafka, &Message.ack_immediately(%{&1 | metadata: %{own: 1}}))
    end

    test "acknowledges at once and has batch keys of its own", %{kafka: kafka} do
      assert_undisturbed(kafka, &(&1 |> Message.ack_immediately() |> Message.put_batch_key(:own)))
    end
  end

  defp assert_undisturbed(kafka, change) do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 50)

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        processors: [concurrency: 10],
        batchers: [default: [concurrency: 3, batch_size: 10, batch_timeout: 20]],
        handle: fn %{metadata: %{partition: partition, offset: offset}} = message ->
          message |> Message.update_data(fn _ -> {partition, offset} end) |> change.()
        end
      )

    served = for {pid, data} <- receive_batches(name, 200), do: {elem(data, 0), {pid, data}}

    for {partition, served} <- Enum.group_by(served, &elem(&1, 0), &elem(&1, 1)) do
      assert served |> Enum.uniq_by(&elem(&1, 0)) |> length() == 1
      assert Enum.map(served, &elem(&1, 1)) == for(offset <- 0..49, do: {partition, offset})
    end

    await_committed(kafka, pipeline.group, each(topic, 4, 50))
    assert_no_restart(name)
  end

  defp receive_batches(_name, 0), do: []

  defp receive_batches(name, count) do
    assert_receive {:batch, ^name, pid, messages}, 15_000

    for(message <- messages, do: {pid, message.data}) ++
      receive_batches(name, count - length(messages))
  end

  # A stage that died would have been assigned its partitions, or demanded its records, again.
  defp assert_no_restart(name) do
    assert_received {:telemetry, ^name, :assigned, _, _}
    refute_received {:telemetry, ^name, :assigned, _, _}
    refute_received {:batch, ^name, _, _}
    :ok
  end

  describe "Broadway's own test messages" do
    setup %{kafka: kafka} do
      topic = create_topic(kafka, 1)

      pipeline =
        TestPipeline.start(kafka, [topic],
          processors: [concurrency: 10],
          batchers: [default: [concurrency: 3, batch_size: 3, batch_timeout: 20]],
          handle: &Message.update_data(&1, fn data -> {:seen, data} end)
        )

      %{pipeline: pipeline, topic: topic}
    end

    test "go through test_message/3", %{pipeline: pipeline} do
      ref = Broadway.test_message(pipeline.name, "data")
      assert_receive {:ack, ^ref, [%{data: {:seen, "data"}}], []}, 5_000
    end

    test "go through test_message/3 with metadata like a record's", %{
      pipeline: pipeline,
      topic: topic
    } do
      metadata = %{topic: topic, partition: 3, offset: 7, key: nil, ts: nil, headers: []}
      ref = Broadway.test_message(pipeline.name, nil, metadata: metadata)
      assert_receive {:ack, ^ref, [%{data: {:seen, nil}, metadata: ^metadata}], []}, 5_000
    end

    test "go through test_batch/3", %{pipeline: pipeline} do
      ref = Broadway.test_batch(pipeline.name, ["a", "b", "c"])
      assert_receive {:ack, ^ref, messages, []}, 5_000
      assert Enum.map(messages, & &1.data) == [seen: "a", seen: "b", seen: "c"]
    end

    test "and leave records and commits alone", %{kafka: kafka, pipeline: pipeline, topic: topic} do
      ref = Broadway.test_batch(pipeline.name, ["a", "b"], batch_mode: :flush)
      assert_receive {:ack, ^ref, _, []}, 5_000
      produce(kafka, topic, ["record"])
      await_committed(kafka, pipeline.group, each(topic, 1, 1))
    end
  end
end
