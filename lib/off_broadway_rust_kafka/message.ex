defmodule OffBroadwayRustKafka.Message do
  @moduledoc false
  # What the NIF hands out, to Broadway messages: runs of records, one message each, or chunks. Once
  # per record: keep it bare.

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, Chunk, Native}

  @spec from_runs([Native.run()] | [Native.chunk()], Native.consumer()) :: [Message.t()]
  def from_runs([], _consumer), do: []

  def from_runs([{topic, partition, slot, epoch, records} | runs], consumer) do
    run = {topic, partition, slot, epoch, consumer, {topic, partition}}
    from_records(records, run, runs)
  end

  def from_runs([chunk | chunks], consumer),
    do: [Chunk.message(chunk, consumer) | from_runs(chunks, consumer)]

  @spec from_records([Native.record()], tuple(), [Native.run()]) :: [Message.t()]
  defp from_records([{offset, ts, key, value, headers} | records], run, runs) do
    {topic, partition, slot, epoch, consumer, batch_key} = run

    [
      %Message{
        data: value,
        metadata: %{
          topic: topic,
          partition: partition,
          offset: offset,
          key: key,
          ts: ts,
          headers: headers
        },
        acknowledger: {Acknowledger, consumer, {slot, epoch, offset}},
        batch_key: batch_key
      }
      | from_records(records, run, runs)
    ]
  end

  defp from_records([], {_, _, _, _, consumer, _}, runs), do: from_runs(runs, consumer)
end
