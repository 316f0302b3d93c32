defmodule Demo.Ledger do
  @moduledoc false
  # What the pipeline did, over all its runs, record by record and at constant memory: per partition
  # the last offset seen and how many, at two places, `:delivered` (the processors) and `:handled`
  # (the batch processors).
  #
  # Each offset must follow its predecessor. If not, that *jump* is written down, so that a record
  # missing, repeated or out of order cannot go unnoticed, whichever processes it came through.

  alias Demo.Latency

  @enforce_keys [:first, :delivered, :handled, :counts, :jumps, :waits]
  defstruct @enforce_keys

  @type place :: :delivered | :handled
  @type jump :: {previous :: integer(), offset :: integer()}
  @type t :: %__MODULE__{
          first: tuple(),
          delivered: :atomics.atomics_ref(),
          handled: :atomics.atomics_ref(),
          counts: :counters.counters_ref(),
          jumps: :ets.tid(),
          waits: %{Latency.since() => Latency.t()}
        }

  @doc "An empty one, of a topic whose partitions begin at these offsets."
  @spec new([first :: non_neg_integer(), ...]) :: t()
  def new(first) do
    size = length(first)

    %__MODULE__{
      first: List.to_tuple(first),
      delivered: marks(first),
      handled: marks(first),
      counts: :counters.new(size, [:write_concurrency]),
      jumps: :ets.new(__MODULE__, [:public, :duplicate_bag]),
      waits: %{arrival: Latency.new(size), delivery: Latency.new(size)}
    }
  end

  @doc "Whether the partition was there when the ledger was made."
  @spec has?(t(), non_neg_integer()) :: boolean()
  def has?(ledger, partition), do: partition < tuple_size(ledger.first)

  @spec delivered(t(), partition :: non_neg_integer(), offset :: non_neg_integer()) :: :ok
  def delivered(ledger, partition, offset), do: step(ledger, :delivered, partition, offset)

  @spec handled(t(), non_neg_integer(), non_neg_integer(), Latency.since(), wait_ns :: integer()) ::
          :ok
  def handled(ledger, partition, offset, since, wait_ns) do
    :counters.add(ledger.counts, partition + 1, 1)
    Latency.add(ledger.waits[since], partition, wait_ns)
    step(ledger, :handled, partition, offset)
  end

  @doc "The last offset seen there, or the one before the first."
  @spec last(t(), place(), non_neg_integer()) :: integer()
  def last(ledger, place, partition), do: :atomics.get(Map.fetch!(ledger, place), partition + 1)

  @doc "How many records were handled: of a partition, and of all."
  @spec count(t(), non_neg_integer()) :: non_neg_integer()
  def count(ledger, partition), do: :counters.get(ledger.counts, partition + 1)

  @spec count(t()) :: non_neg_integer()
  def count(ledger), do: ledger |> partitions() |> Enum.map(&count(ledger, &1)) |> Enum.sum()

  @doc "How far handling came, in offsets: the sum over all partitions."
  @spec position(t()) :: non_neg_integer()
  def position(ledger) do
    for(p <- partitions(ledger), do: last(ledger, :handled, p) + 1 - elem(ledger.first, p))
    |> Enum.sum()
  end

  @doc "Every offset, with the one before it, that did not follow its predecessor."
  @spec jumps(t(), place(), non_neg_integer()) :: [jump()]
  def jumps(ledger, place, partition),
    do:
      for(
        {_, previous, offset} <- :ets.lookup(ledger.jumps, {place, partition}),
        do: {previous, offset}
      )

  @spec partitions(t()) :: Range.t()
  def partitions(ledger), do: 0..(tuple_size(ledger.first) - 1)

  @spec marks([non_neg_integer()]) :: :atomics.atomics_ref()
  defp marks(first) do
    marks = :atomics.new(length(first), signed: true)
    for {first, index} <- Enum.with_index(first, 1), do: :atomics.put(marks, index, first - 1)
    marks
  end

  @spec step(t(), place(), non_neg_integer(), non_neg_integer()) :: :ok
  defp step(ledger, place, partition, offset) do
    previous = :atomics.exchange(Map.fetch!(ledger, place), partition + 1, offset)

    if previous != offset - 1,
      do: :ets.insert(ledger.jumps, {{place, partition}, previous, offset})

    :ok
  end
end
