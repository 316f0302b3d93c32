defmodule OffBroadwayRustKafka.Checker.Violation do
  @moduledoc false
  # What broke, where, and the shortest slice of the history that shows it.

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

  # Of what happened to one offset, no more than this is shown.
  @most_lines 12

  @doc "With its slice."
  @spec sliced(t(), [History.event()]) :: t()
  def sliced(violation, events) do
    core = Enum.filter(events, &core?(&1, violation))
    frame = Enum.filter(events, &frame?(&1, violation, core))

    %{
      violation
      | slice: (core ++ frame) |> Enum.uniq() |> Enum.sort_by(&elem(&1, 0)) |> shorten()
    }
  end

  @spec core?(History.event(), t()) :: boolean()
  defp core?({time, _, _, _, _, _}, %{at: at}) when at != nil and time > at, do: false

  defp core?({time, member, kind, _, _, value}, %{lane: lane, member: member, at: at})
       when lane != nil and kind in [:lane, :demanded, :delivered],
       do: lane(value) == lane and (kind == :lane or at - time < 1_000_000_000)

  defp core?(_event, %{lane: lane}) when lane != nil, do: false

  defp core?({_, _, kind, place, _, value}, %{place: place, offset: offset})
       when kind in [:delivered, :handled, :acked] and offset != nil,
       do: value |> spans() |> Spans.member?(offset)

  defp core?({time, _, kind, place, _, _}, %{place: place, at: time})
       when kind not in [:delivered, :handled, :acked],
       do: true

  defp core?({time, _, kind, nil, _, _}, %{place: nil, at: time}) when kind in [:queued, :called],
    do: true

  defp core?(_event, _violation), do: false

  # The assignments that it happened in, and what went wrong meanwhile.
  @spec frame?(History.event(), t(), [History.event()]) :: boolean()
  defp frame?({time, _, _, _, _, _}, %{at: at}, _core) when at != nil and time > at, do: false

  defp frame?({_, member, kind, place, epoch, _}, %{place: place} = violation, core)
       when kind in [:assigned, :revoked, :lost] and place != nil do
    {member, epoch} == {violation.member, violation.epoch} or
      Enum.any?(core, &match?({_, ^member, _, _, ^epoch, _}, &1))
  end

  defp frame?({time, _, kind, _, _, _}, _violation, [{first, _, _, _, _, _} | _])
       when kind in [:fault, :gone],
       do: time >= first

  defp frame?(_event, _violation, _core), do: false

  @spec shorten([History.event()]) :: [History.event()]
  defp shorten(events) when length(events) <= @most_lines, do: events

  defp shorten(events),
    do: Enum.take(events, div(@most_lines, 3)) ++ Enum.take(events, -div(2 * @most_lines, 3))

  @doc "For a reader, one line an event."
  @spec format(t()) :: String.t()
  def format(%{slice: slice} = violation) do
    start = if slice == [], do: 0, else: slice |> hd() |> elem(0)
    lines = Enum.map(slice, &["\n    " | line(&1, start)])
    IO.iodata_to_binary(["#{violation.invariant}: #{violation.text}" | lines])
  end

  @spec line(History.event(), integer()) :: iodata()
  defp line({time, member, kind, place, epoch, value}, start) do
    ms = :erlang.float_to_binary((time - start) / 1_000_000, decimals: 3)
    epoch = if epoch, do: "epoch #{epoch}"

    ["+#{ms} ms", member, Atom.to_string(kind), place_text(place), epoch, value_text(kind, value)]
    |> Enum.reject(&(&1 in [nil, ""]))
    |> Enum.intersperse("  ")
  end

  @spec place_text(History.place() | nil) :: String.t() | nil
  def place_text(nil), do: nil
  def place_text({topic, partition}), do: "#{topic}/#{partition}"

  @spec value_text(atom(), term()) :: String.t() | nil
  defp value_text(_kind, nil), do: nil
  defp value_text(:delivered, {lane, spans}), do: "#{Spans.text(spans)} on lane #{lane}"
  defp value_text(kind, spans) when kind in [:handled, :acked], do: Spans.text(spans)
  defp value_text(:assigned, start), do: "from #{start}"
  defp value_text(kind, count) when kind in [:revoked, :lost], do: "#{count} unacked"
  defp value_text(:committed, {offset, _}), do: "#{offset}"
  defp value_text(:demanded, {lane, count}), do: "#{count} on lane #{lane}"
  defp value_text(:produced, {first, next, []}), do: "#{first}..#{next - 1}"

  defp value_text(:produced, {first, next, gaps}),
    do: "#{first}..#{next - 1} without #{Spans.text(gaps)}"

  defp value_text(_kind, value) when is_binary(value), do: value
  defp value_text(_kind, value), do: inspect(value)

  @spec spans(term()) :: Spans.t()
  defp spans({_lane, spans}), do: spans
  defp spans(spans), do: spans

  @spec lane(term()) :: non_neg_integer()
  defp lane({lane, _}), do: lane
  defp lane(lane), do: lane
end
