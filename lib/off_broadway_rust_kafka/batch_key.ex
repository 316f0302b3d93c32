defmodule OffBroadwayRustKafka.BatchKey do
  @moduledoc false
  # The batch key of a partition's messages, with its topic as their metadata has it.
  #
  # Batchers have each message sent from process to process three times, and all of it copied each time but
  # what is a literal. So there it is one: a persistent term, as those of a module's own are.

  @type t :: {topic :: String.t(), partition :: non_neg_integer()}

  # Partitions of a persistent term. None is replaced or erased, as that has the heaps of all processes scanned.
  @block 64

  # How many the VM may have, those of others too: each new one has a table of all of them copied.
  @most 4_096

  @doc "As a literal, unless there are too many."
  @spec literal(String.t(), non_neg_integer()) :: t()
  def literal(topic, partition) do
    block = div(partition, @block)

    case :persistent_term.get({__MODULE__, topic, block}, nil) do
      nil -> keep({topic, partition}, block)
      keys -> elem(keys, rem(partition, @block))
    end
  end

  @spec plain(String.t(), non_neg_integer()) :: t()
  def plain(topic, partition), do: {topic, partition}

  # Two that keep the same block put the same.
  @spec keep(t(), non_neg_integer()) :: t()
  defp keep({topic, _} = key, block) do
    if :persistent_term.info().count < @most do
      first = block * @block
      keys = for partition <- first..(first + @block - 1), do: {topic, partition}
      :persistent_term.put({__MODULE__, topic, block}, List.to_tuple(keys))
    end

    key
  end
end
