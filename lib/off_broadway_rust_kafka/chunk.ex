defmodule OffBroadwayRustKafka.Chunk do
  @moduledoc """
  Messages that carry many records: what the producer emits with the option `:chunk_size`.

  A chunk holds up to `:chunk_size` records of one partition, in the order of their offsets. None
  waits to be filled: a chunk holds what is there when the pipeline asks, one record if there is only
  one, and never more than 4 MiB and one record.

      producer: [
        module:
          {OffBroadwayRustKafka.Producer,
           hosts: "localhost:9092", group_id: "rows", topics: ["rows"], chunk_size: 500}
      ],
      processors: [default: [concurrency: 4]]

  The data of the `Broadway.Message` is the list of records, each an `t:OffBroadwayRustKafka.Record.in_chunk/0`:
  `{offset, ts, key, value, headers}`. Its metadata is

    * `:topic`, a string, and `:partition`, an integer
    * `:offset` and `:last_offset` - the offsets of its first record and of its last
    * `:count` - how many records it carries

  and its batch key is `{topic, partition}`. In tests `Broadway.test_message/3` takes such a list.

  Broadway's counts are of chunks: `:max_demand`, `:batch_size` (where a few are what hundreds of
  records would be), `:rate_limiting` and its telemetry. The consumer's own are of records:
  `:max_in_flight`, `OffBroadwayRustKafka.progress/1` and the events of
  `OffBroadwayRustKafka.Telemetry`.

  ## Acknowledgement

  A chunk is acknowledged as one, with all the records that it was made of, whatever became of its
  data: a record that is filtered out is handled. What is not acknowledged when a stage goes down is
  delivered again, in chunks that may be cut elsewhere.

  `split/2` makes two messages out of one, when some of the records fail. In a batch processor both
  go on to Broadway, which acknowledges each part by itself and gives the failed one to
  `c:Broadway.handle_failed/2`:

      def handle_batch(_batcher, chunks, _info, _context) do
        refused = MyApp.Repo.insert_rows(Enum.flat_map(chunks, & &1.data))

        Enum.flat_map(chunks, fn chunk ->
          {inserted, failed} = Chunk.split(chunk, fn record -> record not in refused end)
          inserted ++ Enum.map(failed, &Broadway.Message.failed(&1, "refused"))
        end)
      end

  `c:Broadway.handle_message/3` answers one message. Records that fail there may stay in the chunk,
  marked, for the batch processor to split off by `match?({_, _, _, {:ok, _}, _}, record)`:

      def handle_message(_processor, chunk, _context) do
        Broadway.Message.update_data(chunk, fn records ->
          for {offset, ts, key, value, headers} <- records,
              do: {offset, ts, key, Jason.decode(value), headers}
        end)
      end

  Without batchers they are split off there, seen to, and acknowledged at once:

      def handle_message(_processor, chunk, _context) do
        case Chunk.split(chunk, &MyApp.handle/1) do
          {[handled], []} ->
            handled

          {[], [failed]} ->
            Broadway.Message.failed(failed, "refused")

          {[handled], [failed]} ->
            MyApp.dead_letters(failed)
            Broadway.Message.ack_immediately(failed)
            handled
        end
      end
  """

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, Native}

  @typep range :: {first :: Native.offset(), last :: Native.offset()}

  @doc false
  @spec message(Native.chunk(), Native.consumer()) :: Message.t()
  def message({topic, partition, slot, epoch, first, last, count, records}, consumer) do
    %Message{
      data: records,
      metadata: %{
        topic: topic,
        partition: partition,
        offset: first,
        last_offset: last,
        count: count
      },
      acknowledger: {Acknowledger, consumer, {slot, epoch, [{first, last}]}},
      batch_key: {topic, partition}
    }
  end

  @doc """
  Splits a chunk in two: the records for which `fun` is truthy, and the others.

  Each part is a list of one message, or of none when it would have no records. Both together
  acknowledge what the chunk would have, and neither acknowledges a record of the other. A part can be
  split again. What the pipeline took out of the data is acknowledged with the record before it.

  The data must be a list of tuples that begin with the offset, as records do, each offset once. What
  else is in them is the pipeline's own, and so is their order.
  """
  @spec split(Message.t(), (tuple() -> as_boolean(term()))) :: {[Message.t()], [Message.t()]}
  def split(%Message{data: records} = message, fun)
      when is_list(records) and is_function(fun, 1) do
    case Enum.split_with(records, fun) do
      {_all, []} ->
        {[message], []}

      {[], _all} ->
        {[], [message]}

      {yes, no} ->
        {yes_ack, no_ack} = split_ack(message.acknowledger, yes, no)
        {[part(message, yes, yes_ack)], [part(message, no, no_ack)]}
    end
  end

  @spec part(Message.t(), [tuple(), ...], Message.acknowledger()) :: Message.t()
  defp part(%{metadata: %{last_offset: _, count: _} = metadata} = message, records, acknowledger) do
    {first, last} = records |> Enum.map(&offset!/1) |> Enum.min_max()
    metadata = %{metadata | offset: first, last_offset: last, count: length(records)}
    %{message | data: records, metadata: metadata, acknowledger: acknowledger}
  end

  defp part(message, records, acknowledger),
    do: %{message | data: records, acknowledger: acknowledger}

  # What is acknowledged already, or was made by a test, has no ranges.
  @spec split_ack(Message.acknowledger(), [tuple(), ...], [tuple(), ...]) ::
          {Message.acknowledger(), Message.acknowledger()}
  defp split_ack({module, ref, {slot, epoch, [_ | _] = ranges}}, yes, no) do
    [{_, side} | _] = sides = :lists.keysort(1, sides(yes, true) ++ sides(no, false))
    {yes, no} = ranges |> divide(side, turns(sides, side)) |> Enum.split_with(&elem(&1, 0))
    of = fn part -> {module, ref, {slot, epoch, Enum.map(part, &elem(&1, 1))}} end
    {of.(yes), of.(no)}
  end

  defp split_ack(acknowledger, _yes, _no), do: {acknowledger, acknowledger}

  @spec sides([tuple()], boolean()) :: [{Native.offset(), boolean()}]
  defp sides(records, side), do: for(record <- records, do: {offset!(record), side})

  @spec offset!(tuple()) :: Native.offset()
  defp offset!(record) when is_integer(elem(record, 0)), do: elem(record, 0)

  defp offset!(other) do
    raise ArgumentError,
          "#{inspect(__MODULE__)} expects the data to be tuples that begin with the offset, " <>
            "got: #{inspect(other)}"
  end

  # The offsets at which it turns to the other side.
  @spec turns([{Native.offset(), boolean()}], boolean()) :: [Native.offset()]
  defp turns([{_, side} | sides], side), do: turns(sides, side)
  defp turns([{offset, side} | sides], _other), do: [offset | turns(sides, side)]
  defp turns([], _side), do: []

  @spec divide([range()], boolean(), [Native.offset()]) :: [{boolean(), range()}]
  defp divide([{first, _} | _] = ranges, side, [turn | turns]) when turn <= first,
    do: divide(ranges, not side, turns)

  defp divide([{first, last} | ranges], side, [turn | _] = turns) when turn <= last,
    do: [{side, {first, turn - 1}} | divide([{turn, last} | ranges], side, turns)]

  defp divide([range | ranges], side, turns), do: [{side, range} | divide(ranges, side, turns)]
  defp divide([], _side, _turns), do: []
end
