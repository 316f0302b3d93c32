defmodule OffBroadwayRustKafka.Partition do
  @moduledoc false
  # `partition_by` of every processor and batcher: which of them a message goes to.
  #
  # It runs in the dispatcher of a stage, where a raise kills the stage, and again in the batcher,
  # after the user's code has had the message in hand. So it is total, and it looks at what
  # survives: the acknowledger; after `ack_immediately` the topic and partition, in the metadata
  # or the batch key. A message of foreign origin goes to the first processor.

  alias OffBroadwayRustKafka.{Acknowledger, Consumer, Native}

  @spec partition_by(Consumer.table()) :: (term() -> non_neg_integer())
  def partition_by(table), do: &number(&1, table)

  @spec number(term(), Consumer.table()) :: non_neg_integer()
  def number(%{acknowledger: {Acknowledger, _consumer, {slot, _epoch, _offset}}}, _table)
      when is_integer(slot) and slot >= 0,
      do: slot

  def number(%{metadata: %{topic: topic, partition: partition}}, table)
      when is_binary(topic) and is_integer(partition),
      do: number(topic, partition, table)

  def number(%{batch_key: {topic, partition}}, table)
      when is_binary(topic) and is_integer(partition),
      do: number(topic, partition, table)

  def number(_message, _table), do: 0

  @spec number(String.t(), integer(), Consumer.table()) :: non_neg_integer()
  defp number(topic, partition, table) do
    case slot(topic, partition, table) do
      nil -> :erlang.phash2({topic, partition})
      slot -> slot
    end
  end

  @spec slot(String.t(), integer(), Consumer.table()) :: Native.slot() | nil
  defp slot(topic, partition, table) do
    case Consumer.fetch(table) do
      {:ok, consumer} -> Native.slot(consumer, topic, partition)
      :error -> nil
    end
  rescue
    # A partition number that Kafka cannot have, or no consumer any more.
    _error -> nil
  end
end
