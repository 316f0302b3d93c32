defmodule Soak.Mood do
  @moduledoc false
  # How the handlers of a pipeline are: told while it runs, read for each record.

  alias OffBroadwayRustKafka.Kafka

  @type t :: :atomics.atomics_ref()

  @pause 1
  @closed 2
  @fewer 3
  @hang 4

  @look_ms 50

  @spec new() :: t()
  def new, do: :atomics.new(4, [])

  @doc "As they are when nothing is wrong."
  @spec well(t()) :: :ok
  def well(mood), do: Enum.each([@pause, @closed, @fewer, @hang], &:atomics.put(mood, &1, 0))

  @doc "Each record takes so long."
  @spec pause(t(), ms :: non_neg_integer()) :: :ok
  def pause(mood, ms), do: :atomics.put(mood, @pause, ms)

  @doc "No handler returns, until they are well."
  @spec close(t()) :: :ok
  def close(mood), do: :atomics.put(mood, @closed, 1)

  @doc "One of every `n` records is left out of its batch."
  @spec fewer(t(), n :: pos_integer()) :: :ok
  def fewer(mood, n), do: :atomics.put(mood, @fewer, n)

  @doc "One record takes so long."
  @spec hang(t(), ms :: pos_integer()) :: :ok
  def hang(mood, ms), do: :atomics.put(mood, @hang, ms)

  @doc "For a handler, of each record."
  @spec work(t()) :: :ok
  def work(mood) do
    Kafka.pass(:atomics.get(mood, @pause))
    if :atomics.get(mood, @hang) > 0, do: Kafka.pass(:atomics.exchange(mood, @hang, 0))
    await_open(mood)
  end

  @doc "For a handler, of each record of a batch."
  @spec left_out?(t(), offset :: non_neg_integer()) :: boolean()
  def left_out?(mood, offset) do
    n = :atomics.get(mood, @fewer)
    n > 0 and rem(offset, n) == 0
  end

  @spec await_open(t()) :: :ok
  defp await_open(mood) do
    if :atomics.get(mood, @closed) == 1 do
      Kafka.pass(@look_ms)
      await_open(mood)
    else
      :ok
    end
  end
end
