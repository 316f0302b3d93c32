defmodule OffBroadwayRustKafka.Checker.Coverage do
  @moduledoc false
  # What must hold of all that was delivered, handled and acked in a whole history: nothing that the
  # group went past is missing, and no more came again than had to.

  alias OffBroadwayRustKafka.Checker.{State, Violation}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  @type counts :: %{atom() => non_neg_integer()}

  @none %{produced: 0, delivered: 0, redelivered: 0, had_to: 0, handled: 0, handled_twice: 0}

  @spec check(State.t()) :: {counts(), [Violation.t()]}
  def check(state) do
    checked = Enum.map(state.places, &place(&1, state))
    add = fn {counts, _}, sum -> Map.merge(counts, sum, fn _, a, b -> a + b end) end
    counts = Enum.reduce(checked, @none, add)
    {counts, Enum.flat_map(checked, &elem(&1, 1)) ++ too_many(counts, state)}
  end

  @spec place({History.place(), State.place()}, State.t()) :: {counts(), [Violation.t()]}
  defp place({place, at}, %{options: options} = state) do
    [delivered, handled, acked] =
      for kind <- [:delivered, :handled, :acked], do: State.seen(state, kind, place)

    [distinct, once, acked, produced] =
      for spans <- [delivered, handled, acked, Enum.concat(at.produced)], do: Spans.union(spans)

    if delivered != [] and produced == [] do
      raise ArgumentError,
            "the history does not say what #{Violation.place_text(place)} has: record it with " <>
              "OffBroadwayRustKafka.History.ask_produced"
    end

    counts = %{
      produced: Spans.count(produced),
      delivered: Spans.count(delivered),
      redelivered: Spans.count(delivered) - Spans.count(distinct),
      had_to: at.had_to,
      handled: Spans.count(handled),
      handled_twice: Spans.count(handled) - Spans.count(once)
    }

    wanted = Spans.difference(produced, Spans.union(at.skipped))
    final = at.broker || at.committed
    at = Map.merge(at, %{exists: produced, wanted: wanted, final: final})

    violations =
      passed(at, from(place, at, options), distinct, once, acked) ++
        jumped(at) ++
        beyond(at) ++
        not_there(at, distinct) ++
        unfinished(at, options) ++
        again(counts, delivered, options)

    {counts, Enum.map(violations, &%{&1 | place: place})}
  end

  @spec from(History.place(), State.place(), map()) :: integer()
  defp from(place, at, options) do
    case options.from do
      :earliest -> at.exists |> List.first({0, 0}) |> elem(0)
      %{^place => from} -> from
      _assigned -> at.start || 0
    end
  end

  # One reason for a record is enough.
  @spec passed(State.place(), integer(), Spans.t(), Spans.t(), Spans.t()) :: [Violation.t()]
  defp passed(at, from, delivered, handled, acked) do
    passed = Spans.between(at.wanted, from, at.final || 0)

    [
      {:I2, delivered, "was never delivered"},
      {:lost, handled, "was never handled"},
      {:I1, acked, "was never acked"}
    ]
    |> Enum.find_value([], fn {invariant, there, text} ->
      passed
      |> Spans.difference(there)
      |> found(invariant, "#{at.final} is committed, and # " <> text)
    end)
  end

  # Committed before it was delivered.
  @spec jumped(State.place()) :: [Violation.t()]
  defp jumped(at) do
    at.jumps
    |> Enum.reverse()
    |> Enum.find_value([], fn {track, {first, last}, time} ->
      over = Spans.between(at.wanted, first, last + 1)
      violations = found(over, :I2, "#{last + 1} is committed, and # was not delivered yet")
      violations && Enum.map(violations, &struct!(%{&1 | at: time}, track))
    end)
  end

  @spec beyond(State.place()) :: [Violation.t()]
  defp beyond(%{final: final, end: next}) when final > next and next != nil and final != nil do
    text = "#{final} is committed, and #{next} is the next offset to be produced"
    [%Violation{invariant: :I2, offset: final, text: text}]
  end

  defp beyond(_at), do: []

  # Within what is known of a partition.
  @spec not_there(State.place(), Spans.t()) :: [Violation.t()]
  defp not_there(%{exists: []}, _delivered), do: []

  defp not_there(%{exists: [{first, _} | _] = exists} = at, delivered) do
    gaps = Spans.difference([{first, at.end - 1}], exists)
    there = Spans.difference(delivered, Spans.difference(delivered, gaps))
    found(there, :ghost, "# is no record, and was delivered") || []
  end

  @spec unfinished(State.place(), map()) :: [Violation.t()]
  defp unfinished(%{next: next} = at, %{at_end: :all_committed}) when next != nil do
    text = "#{at.final || "nothing"} is committed at the end, of records up to #{next - 1}"

    if (at.final || at.start || 0) < next,
      do: [%Violation{invariant: :I11, offset: at.final || at.start || 0, text: text}],
      else: []
  end

  defp unfinished(_at, _options), do: []

  @spec again(counts(), Spans.t(), map()) :: [Violation.t()]
  defp again(%{redelivered: again, had_to: had_to}, delivered, %{redelivered: :had_to})
       when again > had_to do
    text = "#{again} were delivered again, where #{had_to} had to be"
    [%Violation{invariant: :again, offset: twice(delivered), text: text}]
  end

  defp again(_counts, _delivered, _options), do: []

  # Of all partitions together, with the first that there is to show.
  @spec too_many(counts(), State.t()) :: [Violation.t()]
  defp too_many(%{redelivered: again}, %{options: %{redelivered: most}} = state)
       when is_integer(most) and again > most do
    {place, offset} =
      Enum.find_value(Map.keys(state.places), fn place ->
        offset = state |> State.seen(:delivered, place) |> twice()
        offset && {place, offset}
      end)

    text = "#{again} were delivered again, of #{most} that may be"
    [%Violation{invariant: :again, place: place, offset: offset, text: text}]
  end

  defp too_many(_counts, _state), do: []

  # The first that came more than once.
  @spec twice(Spans.t()) :: integer() | nil
  defp twice(spans) do
    sorted = Enum.sort(spans)

    sorted
    |> Enum.zip(Enum.drop(sorted, 1))
    |> Enum.find_value(fn {{_, last}, {first, _}} -> if first <= last, do: first end)
  end

  @spec found(Spans.t(), atom(), String.t()) :: [Violation.t(), ...] | nil
  defp found([], _invariant, _text), do: nil

  defp found([{first, _} | _] = spans, invariant, text) do
    text = String.replace(text, "#", "#{Spans.text(spans)} (#{Spans.count(spans)})")
    [%Violation{invariant: invariant, offset: first, text: text}]
  end
end
