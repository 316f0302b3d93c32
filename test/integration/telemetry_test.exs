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

  # See `OffBroadwayRustKafka.GroupTest`.
  @of_groups [:pipeline_started, :pipeline_stopped, :set_aside]

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
        producer: [
          unacked_timeout: 1_500,
          on_unacked: :redeliver,
          telemetry_interval: 50,
          config: ["statistics.interval.ms": 100]
        ]
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

    # An operator.
    :ok = OffBroadwayRustKafka.pause(name, [{topic, 0}])
    :ok = OffBroadwayRustKafka.resume(name)
    :ok = OffBroadwayRustKafka.seek(name, [{topic, 0, 7}])
    :ok = OffBroadwayRustKafka.update_topics(name, [topic])

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
    assert Enum.sort([:assigned | emitted] |> Enum.uniq()) == Enum.sort(documented -- @of_groups)

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
       when age >= 1_500 do
    %{topic: _, partition: 0, slot: _, epoch: 1, offset: 5, in_flight: 1, age_ms: ^age} =
      partition

    :ok
  end

  defp check(:redelivered, %{count: 1}, %{partitions: [partition]}) do
    %{topic: _, partition: 0, slot: _, epoch: 1, offset: 5, count: 1} = partition
    :ok
  end

  defp check(
         :pulled,
         %{count: count, records: records, bytes: bytes, duration_us: us, interval_ms: ms},
         _
       )
       when count <= records and records <= bytes + count and us >= 0 and ms > 0,
       do: :ok

  defp check(
         :lag,
         %{lag: lag, backlog: backlog, in_flight: in_flight, unacked_ms: ms},
         %{topic: _, partition: partition}
       )
       when lag >= backlog and backlog >= 0 and in_flight >= 0 and ms >= 0 and partition in 0..1,
       do: :ok

  defp check(name, %{count: 1}, %{broker: broker, host: host, port: port})
       when name in [:connected, :disconnected] and (is_integer(broker) or broker == nil) and
              is_binary(host) and is_integer(port),
       do: :ok

  defp check(:statistics, %{tx: tx, rxmsgs: records} = measurements, %{statistics: statistics})
       when is_integer(tx) and is_integer(records) do
    for {name, value} <- measurements, do: ^value = statistics[name]
    :ok
  end

  defp check(:reset, %{from_offset: 1_000, to_offset: 0}, %{topic: _, partition: 1}), do: :ok
  defp check(:paused, %{count: 1}, %{paused: [{_topic, 0}]}), do: :ok
  defp check(:resumed, %{count: 0}, %{paused: []}), do: :ok

  defp check(:sought, %{count: 1, unacked: 0}, %{partitions: [partition]}) do
    %{topic: _, partition: 0, slot: _, epoch: _, from_offset: 7, to_offset: 7} = partition
    unacked([partition])
  end

  defp check(:subscribed, %{count: 1}, %{topics: [{_topic, :earliest}]}), do: :ok
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

  test "the events of pulls add up to what the pipeline got", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    values = for number <- 1..40, do: String.duplicate("x", number)
    produce(kafka, topic, for(value <- values, do: %{partition: 0, value: value}))
    pipeline = TestPipeline.start(kafka, [topic], producer: [telemetry_interval: 20])
    handled(pipeline, 40)
    assert await_pulled(pipeline, {0, 0}, 40) == {40, values |> Enum.join() |> byte_size()}
  end

  # Records and bytes.
  defp await_pulled(_pipeline, {records, bytes}, records), do: {records, bytes}

  defp await_pulled(%{name: name} = pipeline, {records, bytes}, count) do
    assert_receive {:telemetry, ^name, :pulled, pulled, _}, 10_000
    await_pulled(pipeline, {records + pulled.records, bytes + pulled.bytes}, count)
  end

  test "the lag of each partition is told until it is gone", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 4)
    test = self()

    hold = fn message ->
      if {message.metadata.partition, message.metadata.offset} == {1, 0},
        do: TestPipeline.hold(test, :held)

      message
    end

    %{name: name} =
      TestPipeline.start(kafka, [topic],
        handle: hold,
        producer: [telemetry_interval: 20],
        processors: [max_demand: 1]
      )

    assert_receive {:held, handler, :held}, 10_000
    assert_receive {:telemetry, ^name, :lag, %{lag: 4}, %{topic: ^topic, partition: 1}}, 10_000
    assert_receive {:telemetry, ^name, :lag, %{lag: 0}, %{topic: ^topic, partition: 0}}, 10_000
    send(handler, :go)
    done = %{lag: 0, backlog: 0, in_flight: 0, unacked_ms: 0}
    assert_receive {:telemetry, ^name, :lag, ^done, %{topic: ^topic, partition: 1}}, 10_000
  end

  test "nothing periodic is told with an interval of :infinity", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 4)

    %{name: name} =
      pipeline = TestPipeline.start(kafka, [topic], producer: [telemetry_interval: :infinity])

    handled(pipeline, 4)
    stop(pipeline)
    refute_received {:telemetry, ^name, :pulled, _, _}
    refute_received {:telemetry, ^name, :lag, _, _}
  end

  test "a connection that is cut is told, and that it is up again" do
    kafka = own()
    topic = create_topic(kafka, 1)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, 1)
    assert_receive {:telemetry, ^name, :connected, _, %{broker: id}} when id != nil, 10_000
    :ok = TestCluster.broker(kafka.cluster, :all, :down)
    assert_receive {:telemetry, ^name, :disconnected, _, %{broker: ^id}}, 10_000
    :ok = TestCluster.broker(kafka.cluster, :all, :up)
    assert_receive {:telemetry, ^name, :connected, _, %{broker: ^id}}, 20_000
  end

  test "the last statistics are answered, with each partition's, and none are an error", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    silent = TestPipeline.start(kafka, [topic])
    await_assigned(silent, 2)
    assert {:error, %Error{code: :no_statistics}} = OffBroadwayRustKafka.statistics(silent.name)

    %{name: name} =
      TestPipeline.start(kafka, [topic], producer: [config: ["statistics.interval.ms": 50]])

    statistics =
      await(10_000, fn ->
        case OffBroadwayRustKafka.statistics(name) do
          # Between a fetch and the pull they count what waits.
          {:ok, %{rxmsgs: 6, partitions: [%{fetchq_cnt: 0}, _]} = statistics} -> statistics
          other -> {:not_yet, inspect(other)}
        end
      end)

    assert %{cgrp: %{state: "up", assignment_size: 2}, time: time, rx: rx} = statistics
    assert_in_delta time, System.os_time(:second), 60
    assert rx > 0
    assert Enum.any?(statistics.brokers, &match?(%{state: "UP", rtt: %{avg: _}}, &1))

    assert [
             %{topic: ^topic, partition: 0, rxmsgs: 3, fetchq_cnt: 0},
             %{topic: ^topic, partition: 1, rxmsgs: 3}
           ] = statistics.partitions

    assert_receive {:telemetry, ^name, :statistics, %{rxmsgs: 6}, %{statistics: _}}, 10_000
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
