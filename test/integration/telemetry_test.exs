defmodule OffBroadwayRustKafka.MemberTelemetryTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Error, Telemetry}

  # Every event of a pipeline up to now, with its measurements and metadata.
  defp events(%{name: name} = pipeline) do
    receive do
      {:telemetry, ^name, event, measurements, metadata} ->
        [{event, measurements, metadata} | events(pipeline)]
    after
      0 -> []
    end
  end

  test "every documented event is emitted by a real member, with what is documented" do
    kafka = own()
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    group = random_name("group")
    # Out of range: a reset.
    :ok = TestClient.commit(client(kafka), group, [{topic, 1, 1_000}])
    test = self()

    hung = :counters.new(1, [])

    # Once: it comes again.
    hang = fn message ->
      if message.data == "hang" and :counters.get(hung, 1) == 0 do
        :counters.add(hung, 1, 1)
        TestPipeline.hold(test, :hung)
      end

      message
    end

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        group: group,
        handle: hang,
        producer: [unacked_timeout: 300, on_unacked: :redeliver]
      )

    await_committed(kafka, group, each(topic, 2, 5))

    # A handler that hangs: a stall.
    produce(kafka, topic, [%{partition: 0, value: "hang"}])
    assert_receive {:held, handler, :hung}, 10_000
    assert_receive {:telemetry, ^name, :stalled, _, _} = stalled, 10_000
    assert_receive {:telemetry, ^name, :redelivered, _, _} = redelivered, 10_000
    send(handler, :go)
    produce(kafka, topic, [%{partition: 1, value: "no"}])
    await_committed(kafka, group, each(topic, 2, 6))

    # The assignment is lost.
    :ok = TestCluster.request_errors(kafka.cluster, :heartbeat, [:unknown_member_id])
    assert_receive {:telemetry, ^name, :lost, _, _} = lost, 10_000
    await_assigned(pipeline, 2)

    # Two commits that fail.
    errors = [:offset_metadata_too_large, :offset_metadata_too_large]
    :ok = TestCluster.request_errors(kafka.cluster, :offset_commit, errors)
    fill(kafka, topic, 2, 1)
    await_committed(kafka, group, each(topic, 2, 7))

    # And no broker any more, for a while.
    :ok = TestCluster.broker(kafka.cluster, :all, :down)
    assert_receive {:telemetry, ^name, :error, _, _} = error, 10_000
    :ok = TestCluster.broker(kafka.cluster, :all, :up)
    fill(kafka, topic, 2, 1)
    await_committed(kafka, group, each(topic, 2, 8), 30_000)
    stop(pipeline)

    untagged =
      for {:telemetry, _, event, of, with} <- [stalled, redelivered, lost, error],
          do: {event, of, with}

    events = untagged ++ events(pipeline)
    documented = for [_, event] <- Telemetry.events(), do: event
    # The first :assigned was taken by await_assigned/2, and so may others have been.
    emitted = events |> Enum.map(&elem(&1, 0)) |> Enum.uniq()
    assert Enum.sort([:assigned | emitted] |> Enum.uniq()) == Enum.sort(documented)

    for {event, measurements, metadata} <- events do
      assert %{name: ^name, group_id: ^group} = metadata
      assert {event, check(event, measurements, metadata)} == {event, :ok}
    end
  end

  defp check(:assigned, %{count: count}, %{partitions: partitions}) do
    ^count = length(partitions)
    for %{topic: _, partition: _, slot: _, epoch: _, start_offset: _} = it <- partitions, do: it
    :ok
  end

  defp check(:revoked, %{count: count, unacked: 0, drain_ms: ms}, %{partitions: partitions})
       when is_integer(ms) and length(partitions) == count,
       do: unacked(partitions)

  defp check(:lost, %{count: count, unacked: 0}, %{partitions: partitions})
       when length(partitions) == count,
       do: unacked(partitions)

  defp check(:committed, %{count: count, latency_us: micros}, %{offsets: offsets})
       when is_integer(micros) and length(offsets) == count,
       do: offsets(:ok, offsets)

  defp check(:commit_failed, %{count: count}, %{error: %Error{}, offsets: offsets})
       when length(offsets) == count,
       do: offsets(:ok, offsets)

  defp check(:stalled, %{count: 1, age_ms: age}, %{partitions: [partition]})
       when age >= 300 do
    %{topic: _, partition: 0, slot: _, epoch: 1, offset: 5, in_flight: 1, age_ms: ^age} =
      partition

    :ok
  end

  defp check(:redelivered, %{count: 1}, %{partitions: [partition]}) do
    %{topic: _, partition: 0, slot: _, epoch: 1, offset: 5, count: 1} = partition
    :ok
  end

  defp check(:reset, %{from_offset: 1_000, to_offset: 0}, %{topic: _, partition: 1}), do: :ok
  defp check(:closed, %{count: 1}, %{error: nil}), do: :ok
  defp check(:error, %{count: 1}, %{error: %Error{}}), do: :ok

  defp unacked(partitions) do
    if Enum.all?(
         partitions,
         &match?(%{topic: _, partition: _, slot: _, epoch: _, unacked: 0}, &1)
       ),
       do: :ok
  end

  defp offsets(:ok, offsets) do
    if Enum.all?(offsets, &match?({topic, _, at} when is_binary(topic) and is_integer(at), &1)),
      do: :ok
  end

  test "what is committed is told as the broker has it", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    assert_receive {:telemetry, ^name, :committed, _, %{offsets: [{^topic, 0, 0}]}}, 10_000
    fill(kafka, topic, 1, 3)
    assert_receive {:telemetry, ^name, :committed, _, %{offsets: [{^topic, 0, at}]}}, 10_000
    assert committed(kafka, pipeline.group, topic, 1)[{topic, 0}] >= at
  end

  test "progress says where every partition stands", %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 5)
    pipeline = TestPipeline.start(kafka, [topic], concurrency: 2)
    await_committed(kafka, pipeline.group, each(topic, 3, 5))

    progress =
      await(5_000, fn ->
        progress = OffBroadwayRustKafka.progress(pipeline.name)
        if Enum.all?(progress, &(&1.committed == 5)), do: progress, else: {:not_yet, "acks"}
      end)

    assert progress |> Enum.map(& &1.slot) |> Enum.sort() == [0, 1, 2]
    assert progress |> Enum.map(& &1.partition) |> Enum.sort() == [0, 1, 2]

    for partition <- progress do
      assert %{topic: ^topic, epoch: 1, start: 0, next: 5, acked: 5, in_flight: 0} = partition
      assert %{committable: 5, committed: 5, high_watermark: 5} = partition
      assert partition.lane in 0..1
    end
  end
end
