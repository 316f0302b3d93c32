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
        {{:reset, "t", 0, 9, 4}, :reset, %{from_offset: 9, to_offset: 4},
         %{topic: "t", partition: 0}},
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

  test "log lines are no telemetry events", %{context: context} do
    assert Telemetry.emit({:log, 6, "FAIL", "x"}, context) == :ok
    refute_received {[:off_broadway_rust_kafka, _], _, _}
  end

  test "every event is documented" do
    {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Telemetry)
    for name <- Telemetry.events(), do: assert(docs =~ "`#{inspect(name)}`")
  end
end
