defmodule OffBroadwayRustKafka.Message do
  @moduledoc false
  # What the NIF hands out, to Broadway messages: runs of records, one message each, or chunks. Once
  # per record: keep it bare.

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, BatchKey, Chunk, Native}

  @typep batch_key :: (String.t(), non_neg_integer() -> BatchKey.t())

  @spec from_runs([Native.run()] | [Native.chunk()], Native.consumer(), batch_key()) :: [
          Message.t()
        ]
  def from_runs(runs, consumer, batch_key \\ &BatchKey.plain/2)

  def from_runs([], _consumer, _batch_key), do: []

  def from_runs([{topic, partition, slot, epoch, records} | runs], consumer, batch_key) do
    {topic, partition} = key = batch_key.(topic, partition)
    run = {topic, partition, slot, epoch, consumer, key, batch_key}
    from_records(records, run, runs)
  end

  def from_runs([chunk | chunks], consumer, batch_key),
    do: [Chunk.message(chunk, consumer) | from_runs(chunks, consumer, batch_key)]

  @spec from_records([Native.record()], tuple(), [Native.run()]) :: [Message.t()]
  defp from_records([{offset, ts, key, value, headers} | records], run, runs) do
    {topic, partition, slot, epoch, consumer, key_of_run, _} = run

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
        batch_key: key_of_run
      }
      | from_records(records, run, runs)
    ]
  end

  defp from_records([], {_, _, _, _, consumer, _, batch_key}, runs),
    do: from_runs(runs, consumer, batch_key)
end
