defmodule OffBroadwayRustKafka.History.Spans do
  @moduledoc false
  # Offsets as `{first, last}`, as a million of them are too many to keep singly.

  @type span :: {first :: integer(), last :: integer()}
  @type t :: [span()]
  @type offset_or_range :: integer() | Range.t() | span()

  @doc "The union, in order and with no two that touch."
  @spec new([offset_or_range()]) :: t()
  def new(parts), do: parts |> Enum.map(&span/1) |> union()

  @doc "Offsets as they come; those that follow one another make one span."
  @spec of_run([integer()]) :: t()
  def of_run([first | rest]), do: of_run(rest, first, first, [])
  def of_run([]), do: []

  @spec of_run([integer()], integer(), integer(), t()) :: t()
  defp of_run([next | rest], first, last, spans) when next == last + 1,
    do: of_run(rest, first, next, spans)

  defp of_run([next | rest], first, last, spans),
    do: of_run(rest, next, next, [{first, last} | spans])

  defp of_run([], first, last, spans), do: Enum.reverse(spans, [{first, last}])

  @doc "Onto spans with the newest first; what goes on where the newest ends makes it longer."
  @spec append(t(), t()) :: t()
  def append([{from, to} | before], [{first, last} | rest]) when first == to + 1,
    do: append([{from, last} | before], rest)

  def append(before, [span | rest]), do: append([span | before], rest)
  def append(before, []), do: before

  @spec union(t()) :: t()
  def union(spans), do: spans |> Enum.sort() |> join([])

  @spec join(t(), t()) :: t()
  defp join([{first, last} | rest], [{from, to} | joined]) when first <= to + 1,
    do: join(rest, [{from, max(to, last)} | joined])

  defp join([span | rest], joined), do: join(rest, [span | joined])
  defp join([], joined), do: Enum.reverse(joined)

  @doc "What is in the first union and not in the second."
  @spec difference(t(), t()) :: t()
  def difference([], _minus), do: []
  def difference(spans, []), do: spans

  def difference([{first, last} | rest] = spans, [{from, to} | minus] = all) do
    cond do
      to < first -> difference(spans, minus)
      from > last -> [{first, last} | difference(rest, all)]
      from > first -> [{first, from - 1} | difference([{from, last} | rest], all)]
      to < last -> difference([{to + 1, last} | rest], minus)
      true -> difference(rest, all)
    end
  end

  @spec between(t(), integer(), integer()) :: t()
  def between(spans, from, next) do
    for {first, last} <- spans,
        last >= from,
        first < next,
        do: {max(first, from), min(last, next - 1)}
  end

  @spec count(t()) :: non_neg_integer()
  def count(spans), do: spans |> Enum.map(fn {first, last} -> last - first + 1 end) |> Enum.sum()

  @spec member?(t(), integer()) :: boolean()
  def member?(spans, offset),
    do: Enum.any?(spans, fn {first, last} -> offset >= first and offset <= last end)

  @doc "For a reader: `0..4, 9`."
  @spec text(t()) :: String.t()
  def text(spans) do
    shown =
      spans
      |> Enum.take(5)
      |> Enum.map_join(", ", fn
        {first, first} -> "#{first}"
        {first, last} -> "#{first}..#{last}"
      end)

    if length(spans) > 5, do: shown <> ", …", else: shown
  end

  @spec span(offset_or_range()) :: span()
  defp span(first..last//_), do: {first, last}
  defp span({first, last}), do: {first, last}
  defp span(offset), do: {offset, offset}
end
