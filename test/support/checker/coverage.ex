defmodule OffBroadwayRustKafka.Checker.Coverage do
  @moduledoc false
  # What must hold of all that was delivered, handled and acked in a whole history: nothing that the
  # group went past is missing.

  alias OffBroadwayRustKafka.Checker.{State, Violation}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  @type counts :: %{atom() => non_neg_integer()}

  @spec check(State.t()) :: {counts(), [Violation.t()]}
  def check(state) do
    {counts, violations} = state.places |> Enum.map(&place(&1, state.options)) |> Enum.unzip()

    {Enum.reduce(counts, %{}, &Map.merge(&1, &2, fn _, a, b -> a + b end)),
     Enum.concat(violations)}
  end

  @spec place({History.place(), State.place()}, map()) :: {counts(), [Violation.t()]}
  defp place({place, at}, options) do
    [delivered, handled] = for spans <- [at.delivered, at.handled], do: Enum.concat(spans)

    [distinct, once, acked] =
      for spans <- [delivered, handled, Enum.concat(at.acked)], do: Spans.union(spans)

    produced = at.produced |> Enum.concat() |> Spans.union()

    counts = %{
      produced: Spans.count(produced),
      delivered: Spans.count(delivered),
      redelivered: Spans.count(delivered) - Spans.count(distinct),
      handled: Spans.count(handled),
      handled_twice: Spans.count(handled) - Spans.count(once)
    }

    if delivered != [] and produced == [] do
      raise ArgumentError,
            "the history does not say what #{Violation.place_text(place)} has: record it with " <>
              "OffBroadwayRustKafka.History.ask_produced"
    end

    committed = at.broker || at.committed
    passed = Spans.between(produced, from(place, at, produced, options), committed || 0)

    violations =
      [
        missing(:I2, passed, distinct, "was never delivered"),
        missing(:lost, passed, once, "was never handled"),
        missing(:I1, passed, acked, "was never acked")
      ]
      |> Enum.find([], &(&1 != []))
      |> Enum.map(&%{&1 | text: "#{committed} is committed, and " <> &1.text})

    not_there = delivered |> Spans.union() |> Spans.intersection(gaps(at))
    there = missing(:ghost, not_there, [], "is no record, and was delivered")
    violations = violations ++ there ++ unfinished(at, produced, committed, options)
    {counts, Enum.map(violations, &%{&1 | place: place})}
  end

  # Within what is known of a partition, what is no record.
  @spec gaps(State.place()) :: Spans.t()
  defp gaps(at) do
    produced = Enum.concat(at.produced)

    case Spans.union(produced) do
      [] ->
        []

      [{first, _} | _] = union ->
        Spans.difference([{first, union |> List.last() |> elem(1)}], union)
    end
  end

  @spec from(History.place(), State.place(), Spans.t(), map()) :: integer()
  defp from(place, at, produced, options) do
    case options.from do
      :earliest -> produced |> List.first({0, 0}) |> elem(0)
      :assigned -> at.start || 0
      %{^place => from} -> from
      %{} -> at.start || 0
    end
  end

  @spec missing(atom(), Spans.t(), Spans.t(), String.t()) :: [Violation.t()]
  defp missing(invariant, all, there, text) do
    case Spans.difference(all, there) do
      [] ->
        []

      [{first, _} | _] = missing ->
        text = "#{Spans.text(missing)} (#{Spans.count(missing)}) " <> text
        [%Violation{invariant: invariant, offset: first, text: text}]
    end
  end

  @spec unfinished(State.place(), Spans.t(), integer() | nil, map()) :: [Violation.t()]
  defp unfinished(at, [_ | _] = produced, committed, %{at_end: :all_committed}) do
    {_, last} = List.last(produced)
    text = "#{committed || "nothing"} is committed at the end, of records up to #{last}"

    if (committed || at.start || 0) <= last,
      do: [%Violation{invariant: :I11, offset: max(committed || 0, 0), text: text}],
      else: []
  end

  defp unfinished(_at, _produced, _committed, _options), do: []
end
