defmodule OffBroadwayRustKafka.TelemetryTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Error, Telemetry}

  # `:telemetry` wants the handler to be a named function.
  def handle(name, measurements, metadata, %{test: test, pipeline: pipeline}) do
    if metadata.name == pipeline, do: send(test, {name, measurements, metadata})
  end

  setup do
    pipeline = make_ref()
    id = {__MODULE__, pipeline}
    config = %{test: self(), pipeline: pipeline}
    :ok = :telemetry.attach_many(id, Telemetry.events(), &__MODULE__.handle/4, config)
    on_exit(fn -> :telemetry.detach(id) end)
    %{context: %{name: pipeline, group_id: "group"}}
  end

  @error {:transport, "gone", true, false, nil, nil}

  for {event, name, measurements, metadata} <- [
        {{:pipeline, :pipeline_started, %{pipeline: :pid, topic: "t", partition: 3}},
         :pipeline_started, %{count: 1}, %{pipeline: :pid, topic: "t", partition: 3}},
        {{:pipeline, :set_aside, %{error: :error, topic: "t", partition: nil}}, :set_aside,
         %{count: 1}, %{error: :error, topic: "t", partition: nil}},
        {{:assigned, [{"t", 0, 4, 2, 17}]}, :assigned, %{count: 1},
         %{partitions: [%{topic: "t", partition: 0, slot: 4, epoch: 2, start_offset: 17}]}},
        {{:revoked, [{"t", 0, 4, 2, 3}, {"t", 1, 5, 2, 1}], 250}, :revoked,
         %{count: 2, unacked: 4, drain_ms: 250},
         %{
           partitions: [
             %{topic: "t", partition: 0, slot: 4, epoch: 2, unacked: 3},
             %{topic: "t", partition: 1, slot: 5, epoch: 2, unacked: 1}
           ]
         }},
        {{:lost, [{"t", 0, 4, 2, 3}]}, :lost, %{count: 1, unacked: 3},
         %{partitions: [%{topic: "t", partition: 0, slot: 4, epoch: 2, unacked: 3}]}},
        {{:committed, [{"t", 0, 18}], 900}, :committed, %{count: 1, latency_us: 900},
         %{offsets: [{"t", 0, 18}]}},
        {{:commit_failed, @error, [{"t", 0, 18}]}, :commit_failed, %{count: 1},
         %{error: Error.from_native(@error), offsets: [{"t", 0, 18}]}},
        {{:stalled, [{"t", 0, 4, 2, 17, 3, 250}, {"t", 1, 5, 2, 8, 1, 900}]}, :stalled,
         %{count: 2, age_ms: 900},
         %{
           partitions: [
             %{
               topic: "t",
               partition: 0,
               slot: 4,
               epoch: 2,
               offset: 17,
               in_flight: 3,
               age_ms: 250
             },
             %{topic: "t", partition: 1, slot: 5, epoch: 2, offset: 8, in_flight: 1, age_ms: 900}
           ]
         }},
        {{:redelivered, [{"t", 0, 4, 2, 17, 3}, {"t", 1, 5, 2, 8, 1}]}, :redelivered, %{count: 4},
         %{
           partitions: [
             %{topic: "t", partition: 0, slot: 4, epoch: 2, offset: 17, count: 3},
             %{topic: "t", partition: 1, slot: 5, epoch: 2, offset: 8, count: 1}
           ]
         }},
        {{:pulled, {3, 120, 4_000, 900}, 50}, :pulled,
         %{count: 3, records: 120, bytes: 4_000, duration_us: 900, interval_ms: 50}, %{}},
        {{:lag,
          %{
            topic: "t",
            partition: 0,
            start: 1,
            next: 8,
            committed: 5,
            high_watermark: 20,
            in_flight: 3,
            unacked_ms: nil
          }}, :lag, %{lag: 15, backlog: 12, in_flight: 3, unacked_ms: 0},
         %{topic: "t", partition: 0}},
        {{:connected, 1, "kafka", 9092}, :connected, %{count: 1},
         %{broker: 1, host: "kafka", port: 9092}},
        {{:disconnected, nil, "GroupCoordinator", 0}, :disconnected, %{count: 1},
         %{broker: nil, host: "GroupCoordinator", port: 0}},
        {{:reset, "t", 0, 9, 4}, :reset, %{from_offset: 9, to_offset: 4},
         %{topic: "t", partition: 0}},
        {{:paused, {true, ["t", {"u", 1}]}}, :paused, %{count: 3},
         %{paused: [:all, "t", {"u", 1}]}},
        {{:resumed, {false, []}}, :resumed, %{count: 0}, %{paused: []}},
        {{:sought, [{"t", 0, 1, 2, 9, 4, 3}]}, :sought, %{count: 1, unacked: 3},
         %{
           partitions: [
             %{
               topic: "t",
               partition: 0,
               slot: 1,
               epoch: 2,
               from_offset: 9,
               to_offset: 4,
               unacked: 3
             }
           ]
         }},
        {{:subscribed, [{"t", :latest}]}, :subscribed, %{count: 1}, %{topics: [{"t", :latest}]}},
        {{:closed, {:error, @error}}, :closed, %{count: 1}, %{error: Error.from_native(@error)}},
        {{:error, @error}, :error, %{count: 1}, %{error: Error.from_native(@error)}}
      ] do
    test "#{name} is emitted with its measurements and metadata", %{context: context} do
      assert Telemetry.emit(unquote(Macro.escape(event)), context) == :ok

      assert_received {[:off_broadway_rust_kafka, unquote(name)], measurements, metadata}
      assert measurements == unquote(Macro.escape(measurements))
      assert metadata == Map.merge(context, unquote(Macro.escape(metadata)))
    end
  end

  test "a clean end is an event without an error", %{context: context} do
    assert Telemetry.emit({:closed, :ok}, context) == :ok
    assert_received {[:off_broadway_rust_kafka, :closed], %{count: 1}, %{error: nil}}
  end

  test "the lag of a partition that was never fetched from is not told", %{context: context} do
    assert Telemetry.emit({:lag, %{high_watermark: nil}}, context) == :ok
    refute_received {[:off_broadway_rust_kafka, _], _, _}
  end

  test "log lines are no telemetry events", %{context: context} do
    assert Telemetry.emit({:log, 6, "FAIL", "x"}, context) == :ok
    refute_received {[:off_broadway_rust_kafka, _], _, _}
  end

  test "every event is documented" do
    {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Telemetry)
    for name <- Telemetry.events(), do: assert(docs =~ "`#{inspect(name)}`")
  end
end
