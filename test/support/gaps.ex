defmodule OffBroadwayRustKafka.Gaps do
  @moduledoc false
  # How long partitions that stayed where they were had records to deliver, and delivered none, while
  # others moved. Of a history, and of a `OffBroadwayRustKafka.Feed` that kept every partition fed.

  alias OffBroadwayRustKafka.{Feed, History}

  @typedoc "From when to when, in nanoseconds of the system's clock."
  @type window :: {from :: integer(), to :: integer()}

  @typedoc "The longest wait of one assignment that saw all of a window."
  @type gap :: %{
          member: History.member(),
          place: History.place(),
          window: window(),
          ms: non_neg_integer()
        }

  @typep assignment :: %{
           member: History.member(),
           place: History.place(),
           from: integer(),
           to: integer() | nil,
           delivered: [{time :: integer(), first :: integer(), last :: integer()}]
         }

  @doc "The longest gap of each assignment in each window that it stayed through."
  @spec over([History.event()], Feed.times(), [window()]) :: [gap()]
  def over(events, times, windows) do
    for assignment <- assignments(events),
        waits = waits(assignment, times),
        {from, to} = window <- windows,
        assignment.from < from and (assignment.to == nil or assignment.to > to) do
      longest =
        for({since, until} <- waits, since < to, until > from, do: until - since)
        |> Enum.max(fn -> 0 end)

      %{
        member: assignment.member,
        place: assignment.place,
        window: window,
        ms: div(max(longest, 0), 1_000_000)
      }
    end
  end

  @doc "The gap that so many percent of them do not exceed."
  @spec percentile([gap()], number()) :: non_neg_integer()
  def percentile([], _percent), do: 0

  def percentile(gaps, percent) do
    sorted = gaps |> Enum.map(& &1.ms) |> Enum.sort()
    Enum.at(sorted, max(ceil(length(sorted) * percent / 100) - 1, 0))
  end

  @spec summary([gap()]) :: String.t()
  def summary(gaps) do
    of = for percent <- [50, 90, 99, 100], do: "p#{percent} #{percentile(gaps, percent)}"
    "#{length(gaps)} partitions that stayed waited at most, in ms: #{Enum.join(of, ", ")}"
  end

  @spec assignments([History.event()]) :: [assignment()]
  defp assignments(events) do
    events
    |> Enum.reduce(%{}, &assignment/2)
    |> Map.values()
    |> Enum.filter(& &1.from)
  end

  @spec assignment(History.event(), map()) :: map()
  defp assignment({time, member, kind, place, epoch, value}, all)
       when kind in [:assigned, :revoked, :lost, :delivered] do
    new = %{member: member, place: place, from: nil, to: nil, delivered: []}

    all
    |> Map.put_new({member, place, epoch}, new)
    |> Map.update!({member, place, epoch}, fn it ->
      case {kind, value} do
        {:assigned, _start} -> %{it | from: time}
        {:delivered, {_, [{first, _} | _] = spans}} -> delivered(it, time, first, spans)
        {_, _unacked} -> %{it | to: time}
      end
    end)
  end

  # A member that stops or is gone gives up all it has.
  defp assignment({time, whose, kind, _, _, _}, all) when kind in [:stopped, :draining, :gone] do
    Map.new(all, fn {key, it} ->
      over? = it.to == nil and whose in [it.member, History.label(it.member)]
      {key, if(over?, do: %{it | to: time}, else: it)}
    end)
  end

  defp assignment(_other, all), do: all

  @spec delivered(assignment(), integer(), integer(), History.Spans.t()) :: assignment()
  defp delivered(it, time, first, spans) do
    {_, last} = List.last(spans)
    %{it | delivered: [{time, first, last} | it.delivered]}
  end

  # Since when the next record was there, and the one before it delivered; and until when it waited.
  @spec waits(assignment(), Feed.times()) :: [{integer(), integer()}]
  defp waits(assignment, times) do
    delivered = Enum.reverse(assignment.delivered)

    before = [
      assignment.from | Enum.map(delivered, fn {time, _, _} -> time end)
    ]

    until =
      Enum.map(delivered, fn {time, first, _} -> {time, first} end) ++
        rest(delivered, assignment, times)

    for {since, {time, first}} <- Enum.zip(before, until), first < tuple_size(times) do
      {max(since, elem(times, first)), time}
    end
  end

  # What it was not given while it lasted, or until the last record was there.
  @spec rest(list(), assignment(), Feed.times()) :: [{integer(), integer()}]
  defp rest([], _assignment, _times), do: []

  defp rest(delivered, assignment, times) do
    {_, _, last} = List.last(delivered)
    until = assignment.to || elem(times, tuple_size(times) - 1)
    [{until, last + 1}]
  end
end
