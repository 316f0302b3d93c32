defmodule OffBroadwayRustKafka.Checker.Unacked do
  @moduledoc false
  # The offsets that are delivered and not acked, of every assignment: spans in an ordered table, as
  # acks come in any order and a commit asks for the lowest.

  alias OffBroadwayRustKafka.History.Spans

  @type t :: :ets.tid()
  @type id :: non_neg_integer()

  @spec new() :: t()
  def new, do: :ets.new(__MODULE__, [:ordered_set])

  @spec add(t(), id(), Spans.span()) :: true
  def add(_table, _id, {first, last}) when first > last, do: true

  def add(table, id, {first, last}) do
    with {^id, from} = key <- :ets.prev(table, {id, first}),
         [{^key, to}] when to == first - 1 <- :ets.lookup(table, key) do
      :ets.insert(table, {{id, from}, last})
    else
      _none_before -> :ets.insert(table, {{id, first}, last})
    end
  end

  @spec remove(t(), id(), Spans.span()) :: :ok
  def remove(table, id, {first, last} = span) do
    with {^id, from} = key <- :ets.prev(table, {id, last + 1}),
         [{^key, to}] when to >= first <- :ets.lookup(table, key) do
      if from < first, do: :ets.insert(table, {key, first - 1}), else: :ets.delete(table, key)
      if to > last, do: :ets.insert(table, {{id, last + 1}, to})
      if from < first, do: :ok, else: remove(table, id, span)
    else
      _none_there -> :ok
    end
  end

  @spec lowest(t(), id()) :: integer() | nil
  def lowest(table, id) do
    case :ets.next(table, {id, -1}) do
      {^id, first} -> first
      _none -> nil
    end
  end

  @spec spans(t(), id()) :: Spans.t()
  def spans(table, id) do
    for {first, last} <- :ets.select(table, [{{{id, :"$1"}, :"$2"}, [], [{{:"$1", :"$2"}}]}]),
        do: {first, last}
  end
end
