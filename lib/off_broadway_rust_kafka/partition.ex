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

  @doc """
  The same for a pipeline that has a part of a member: the slots of its partitions may leave out every
  second number, so that they are numbered anew, in the order in which they are met.
  """
  @spec partition_by_rank(Consumer.table()) :: (term() -> non_neg_integer())
  def partition_by_rank(table), do: &rank(number(&1, table), table)

  @spec rank(non_neg_integer(), Consumer.table()) :: non_neg_integer()
  defp rank(number, table) do
    case :ets.lookup(table, {:rank, number}) do
      [{_, rank}] -> rank
      [] -> new_rank(number, table)
    end
  rescue
    # The pipeline ends, and its table has.
    ArgumentError -> number
  end

  # Several stages may meet it at once: the first one's number counts.
  @spec new_rank(non_neg_integer(), Consumer.table()) :: non_neg_integer()
  defp new_rank(number, table) do
    rank = :ets.update_counter(table, :ranks, 1, {:ranks, -1})
    :ets.insert_new(table, {{:rank, number}, rank})
    :ets.lookup_element(table, {:rank, number}, 2)
  end

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
