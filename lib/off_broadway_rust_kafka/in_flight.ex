defmodule OffBroadwayRustKafka.InFlight do
  @moduledoc false
  # The default of `:max_in_flight`: what one partition of this pipeline can make use of.
  #
  # The dispatcher asks for all processors at once, and what one partition takes is lost to the
  # others until its own processor moves on. So a partition gets what its processor asks for and
  # half of what the others do; but never less than its processor and two batches of every batcher:
  # it goes on at half its limit, and with less than a batch there batches leave by their timeout.
  # A `partition_by` of the user's own may spread one partition over all processors, or all batch
  # processors. All of that is in messages: a chunk is one, and carries up to `chunk_size` records.

  alias OffBroadwayRustKafka.Stages

  @spec default(keyword(), chunk_size :: pos_integer() | nil) :: pos_integer()
  def default(broadway, chunk_size), do: messages(broadway) * (chunk_size || 1)

  @spec messages(keyword()) :: pos_integer()
  defp messages(broadway) do
    [{_, processor} | _] = broadway[:processors]
    batches = for {_, batcher} <- Keyword.get(broadway, :batchers, []), do: batches(batcher)
    demand = Keyword.get(processor, :max_demand, 10)
    others = (Stages.processors(processor) - 1) * demand

    if processor[:partition_by],
      do: max(2 * (demand + others) + Enum.sum(batches), 1),
      else: Enum.max([demand + div(others, 2), demand + Enum.sum(batches), 1])
  end

  @spec batches(keyword()) :: pos_integer()
  defp batches(batcher) do
    processors = if batcher[:partition_by], do: Stages.batch_processors(batcher), else: 1
    2 * processors * batch_size(batcher)
  end

  @spec batch_size(keyword()) :: pos_integer()
  defp batch_size(batcher) do
    case Keyword.get(batcher, :batch_size, 100) do
      size when is_integer(size) -> size
      _function -> batcher[:max_demand]
    end
  end
end
