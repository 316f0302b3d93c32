defmodule Demo.Latency do
  @moduledoc false
  # Waits as one histogram a partition, in microseconds, with buckets that each end 2 % above
  # their beginning.

  @per_doubling 32
  # Up to 2^40 microseconds: twelve days.
  @buckets 40 * @per_doubling

  @enforce_keys [:counters]
  defstruct @enforce_keys

  @typedoc "What a wait is counted from: see the table's legend."
  @type since :: :arrival | :delivery
  @type t :: %__MODULE__{counters: :counters.counters_ref()}

  @spec new(partitions :: pos_integer()) :: t()
  def new(partitions),
    do: %__MODULE__{counters: :counters.new(partitions * @buckets, [:write_concurrency])}

  @spec add(t(), partition :: non_neg_integer(), wait_ns :: integer()) :: :ok
  def add(latency, partition, wait_ns) do
    bucket = trunc(:math.log2(max(wait_ns, 0) / 1000 + 1) * @per_doubling)
    index = partition * @buckets + min(bucket, @buckets - 1) + 1
    :counters.add(latency.counters, index, 1)
  end

  @doc "The wait in milliseconds that this share of the partitions' records does not exceed."
  @spec percentile(t(), Enumerable.t(), share :: float()) :: float() | nil
  def percentile(latency, partitions, share) do
    buckets = for bucket <- 0..(@buckets - 1), do: {bucket, count(latency, partitions, bucket)}
    total = buckets |> Enum.map(&elem(&1, 1)) |> Enum.sum()
    if total > 0, do: find(buckets, ceil(total * share))
  end

  @spec find([{bucket :: non_neg_integer(), count :: non_neg_integer()}], integer()) :: float()
  defp find([{bucket, count} | _], rank) when rank <= count,
    do: (:math.pow(2, (bucket + 0.5) / @per_doubling) - 1) / 1000

  defp find([{_, count} | buckets], rank), do: find(buckets, rank - count)

  @spec count(t(), Enumerable.t(), non_neg_integer()) :: non_neg_integer()
  defp count(latency, partitions, bucket) do
    partitions
    |> Enum.map(&:counters.get(latency.counters, &1 * @buckets + bucket + 1))
    |> Enum.sum()
  end
end
