defmodule Bench.Histogram do
  @moduledoc false
  # Nanoseconds counted by all processes at once, each to within one percent.

  import Bitwise

  # Each power of two has this many buckets.
  @bits 6
  @buckets 1 <<< @bits
  @powers 40
  @size @powers * @buckets
  # The longest comes after the buckets.
  @max @size + 1

  @type t :: :atomics.atomics_ref()

  @spec new() :: t()
  def new, do: :atomics.new(@size + 1, signed: false)

  @spec add(t(), ns :: integer()) :: :ok
  def add(histogram, ns) do
    :atomics.add(histogram, index(ns), 1)
    keep_longest(histogram, ns, :atomics.get(histogram, @max))
  end

  @doc "Calls and counts how long that took."
  @spec timed(t(), (() -> result)) :: result when result: term()
  def timed(histogram, fun) do
    before = :erlang.monotonic_time(:nanosecond)
    result = fun.()
    add(histogram, :erlang.monotonic_time(:nanosecond) - before)
    result
  end

  @spec reset(t()) :: :ok
  def reset(histogram) do
    for at <- 1..@max, do: :atomics.put(histogram, at, 0)
    :ok
  end

  @spec count(t()) :: non_neg_integer()
  def count(histogram), do: count_above(histogram, 0)

  @doc "How many were longer than this."
  @spec count_above(t(), ns :: non_neg_integer()) :: non_neg_integer()
  def count_above(histogram, ns) do
    first = if ns == 0, do: 1, else: index(ns) + 1
    Enum.reduce(first..@size//1, 0, &(:atomics.get(histogram, &1) + &2))
  end

  @spec max_ns(t()) :: non_neg_integer()
  def max_ns(histogram), do: :atomics.get(histogram, @max)

  @spec percentile_ns(t(), share :: float()) :: float() | nil
  def percentile_ns(histogram, share) do
    case count(histogram) do
      0 -> nil
      count -> at_rank(histogram, ceil(count * share), 1)
    end
  end

  @spec at_rank(t(), integer(), pos_integer()) :: float()
  defp at_rank(histogram, rank, at) do
    left = rank - :atomics.get(histogram, at)
    if left <= 0 or at == @size, do: middle(at), else: at_rank(histogram, left, at + 1)
  end

  # Of a float, the exponent and the first bits after it say which bucket it is.
  @spec index(integer()) :: pos_integer()
  defp index(ns) when ns < 1, do: 1

  defp index(ns) do
    <<0::1, exponent::11, rest::size(@bits), _::bitstring>> = <<ns * 1.0::float>>
    min((exponent - 1023) * @buckets + rest + 1, @size)
  end

  @spec middle(pos_integer()) :: float()
  defp middle(index) do
    {power, rest} = {div(index - 1, @buckets), rem(index - 1, @buckets)}
    (1 <<< power) * (1 + (rest + 0.5) / @buckets)
  end

  @spec keep_longest(t(), integer(), integer()) :: :ok
  defp keep_longest(_histogram, ns, longest) when ns <= longest, do: :ok

  defp keep_longest(histogram, ns, longest) do
    case :atomics.compare_exchange(histogram, @max, longest, ns) do
      :ok -> :ok
      other -> keep_longest(histogram, ns, other)
    end
  end
end
