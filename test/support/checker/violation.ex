defmodule OffBroadwayRustKafka.Checker.Violation do
  @moduledoc false
  # What broke, where, and the slice of the history that shows it, for a reader.

  alias OffBroadwayRustKafka.Checker.Slice
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  @enforce_keys [:invariant, :text]
  defstruct [:invariant, :text, :place, :member, :epoch, :offset, :at, :lane, slice: []]

  @type t :: %__MODULE__{
          invariant: atom(),
          text: String.t(),
          place: History.place() | nil,
          member: History.member() | nil,
          epoch: non_neg_integer() | nil,
          offset: integer() | nil,
          at: integer() | nil,
          lane: non_neg_integer() | nil,
          slice: [History.event()]
        }

  @doc "With the reason that its history shows, and that history."
  @spec explained(t(), [History.event()]) :: t()
  def explained(violation, events) do
    violation = violation |> located(events) |> caused(events)
    %{violation | slice: Slice.of(violation, events)}
  end

  # What is missing at the end is missing since the group went past it.
  @spec located(t(), [History.event()]) :: t()
  defp located(%{at: nil, place: place, offset: offset, invariant: invariant} = violation, events)
       when invariant in [:I1, :I2, :lost] do
    at =
      Enum.find_value(events, fn
        {time, _, :committed, ^place, _, {next, _}} when next > offset -> time
        {time, _, :broker, ^place, _, next} when next != nil and next > offset -> time
        _other -> nil
      end)

    %{violation | at: at}
  end

  defp located(violation, _events), do: violation

  # An ack that should have changed nothing: of another epoch (I5), or twice, or of what was not
  # delivered (I6).
  @spec caused(t(), [History.event()]) :: t()
  defp caused(%{invariant: :I1, epoch: epoch, member: member} = violation, events)
       when epoch != nil do
    acks = acks(violation, events)
    own = for {_, ^member, _, _, ^epoch, spans} <- acks, span <- spans, do: span

    cond do
      Enum.any?(acks, &Spans.member?(elem(&1, 5), violation.offset)) ->
        %{violation | invariant: :I5, text: violation.text <> " in this epoch"}

      Spans.count(own) > own |> Spans.union() |> Spans.count() ->
        %{violation | invariant: :I6}

      true ->
        violation
    end
  end

  defp caused(%{invariant: :I2} = violation, events) do
    acked? = Enum.any?(acks(violation, events), &Spans.member?(elem(&1, 5), violation.offset))
    if acked?, do: %{violation | invariant: :I6}, else: violation
  end

  defp caused(violation, _events), do: violation

  @spec acks(t(), [History.event()]) :: [History.event()]
  defp acks(%{place: place, at: at}, events),
    do: for({time, _, :acked, ^place, _, _} = ack <- events, at == nil or time <= at, do: ack)

  @doc "What broke, and below it a line for each event."
  @spec format(t()) :: String.t()
  def format(%{slice: slice} = violation) do
    start = if slice == [], do: 0, else: slice |> hd() |> elem(0)
    place = if violation.place, do: [" of ", place_text(violation.place)], else: []
    lines = Enum.map(slice, &["\n    " | line(&1, start)])
    IO.iodata_to_binary(["#{violation.invariant}", place, ": ", violation.text | lines])
  end

  @spec line(History.event(), integer()) :: iodata()
  defp line({time, member, kind, place, epoch, value}, start) do
    ms = :erlang.float_to_binary((time - start) / 1_000_000, decimals: 3)
    place = if place, do: place_text(place)
    epoch = if epoch, do: "epoch #{epoch}"

    ["+#{ms} ms", member, Atom.to_string(kind), place, epoch, value_text(kind, value)]
    |> Enum.reject(&(&1 == nil))
    |> Enum.intersperse("  ")
  end

  @spec place_text(History.place()) :: String.t()
  def place_text({topic, partition}), do: "#{topic}/#{partition}"

  @spec value_text(atom(), term()) :: String.t() | nil
  defp value_text(_kind, nil), do: nil
  defp value_text(:delivered, {lane, spans}), do: "#{Spans.text(spans)} on lane #{lane}"
  defp value_text(kind, spans) when kind in [:handled, :acked], do: Spans.text(spans)
  defp value_text(:assigned, start), do: "from #{start}"
  defp value_text(kind, count) when kind in [:revoked, :lost], do: "#{count} unacked"
  defp value_text(:committed, {offset, _latency_us}), do: "#{offset}"
  defp value_text(:demanded, {lane, count}), do: "#{count} on lane #{lane}"
  defp value_text(:produced, {first, next, []}), do: "#{first}..#{next - 1}"

  defp value_text(:produced, {first, next, gaps}),
    do: "#{first}..#{next - 1} without #{Spans.text(gaps)}"

  defp value_text(_kind, value) when is_binary(value), do: value
  defp value_text(_kind, value), do: inspect(value)
end
