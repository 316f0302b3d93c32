defmodule OffBroadwayRustKafka.History.Records do
  @moduledoc false
  # Writes down what becomes of records, which know their place and their epoch.

  alias OffBroadwayRustKafka.{History, Native, Record}
  alias OffBroadwayRustKafka.History.{Acknowledger, Sink, Spans}

  @doc "Records of this consumer are written down so, whoever has them."
  @spec belong(Native.consumer(), Acknowledger.tag()) :: :ok
  def belong(consumer, tag), do: :persistent_term.put({__MODULE__, consumer}, tag)

  @spec delivered([Record.t()], Acknowledger.tag(), lane :: term()) :: :ok
  def delivered(records, {sink, member, _}, lane) do
    for {{place, epoch}, offsets} <- by_place(records),
        do: Sink.write(sink, member, :delivered, place, epoch, {lane, Spans.of_run(offsets)})

    :ok
  end

  @doc "They were handled, and are about to be acknowledged: by whoever has them."
  @spec done([Record.t()]) :: :ok
  def done(records) do
    for {consumer, own} <- Enum.group_by(records, &elem(&1.source, 0)),
        do: done(own, :persistent_term.get({__MODULE__, consumer}))

    :ok
  end

  @spec done([Record.t()], Acknowledger.tag()) :: :ok
  def done(records, {sink, member, _}) do
    for {{place, epoch}, offsets} <- by_place(records),
        kind <- [:handled, :acked],
        do: Sink.write(sink, member, kind, place, epoch, Spans.new(offsets))

    :ok
  end

  @spec by_place([Record.t()]) :: %{{History.place(), non_neg_integer()} => [non_neg_integer()]}
  defp by_place(records) do
    Enum.group_by(
      records,
      fn %{topic: topic, partition: partition, source: {_, _, _slot, epoch}} ->
        {{topic, partition}, epoch}
      end,
      & &1.offset
    )
  end
end
