defmodule OffBroadwayRustKafka.Checker.Slice do
  @moduledoc false
  # Of a whole history, what a reader has to see of one violation: what happened to that offset, and
  # the assignments, commits and faults around it.

  alias OffBroadwayRustKafka.Checker.Violation
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  # An offset that went through over and over is shown in its first and last events.
  @first 4
  @last 6
  # Of demand and delivery on a lane.
  @on_a_lane 5

  @spec of(Violation.t(), [History.event()]) :: [History.event()]
  def of(violation, events) do
    events =
      if violation.at, do: Enum.take_while(events, &(elem(&1, 0) <= violation.at)), else: events

    events |> parts(violation) |> Enum.concat() |> Enum.uniq() |> sorted() |> shortened()
  end

  @spec parts([History.event()], Violation.t()) :: [[History.event()]]
  defp parts(events, %{lane: lane, member: member}) when lane != nil do
    own =
      for {_, ^member, kind, _, _, value} = event <- events, lane?(kind, value, lane), do: event

    {starts, flow} = Enum.split_with(own, &(elem(&1, 2) == :lane))
    [Enum.take(starts, -1), Enum.take(flow, -@on_a_lane)]
  end

  defp parts(events, %{place: nil, at: at}),
    do: [for({^at, _, kind, _, _, _} = event <- events, kind in [:queued, :called], do: event)]

  defp parts(events, %{place: place} = violation) do
    of_place = for {_, _, _, ^place, _, _} = event <- events, do: event
    own = Enum.filter(of_place, &tells?(&1, violation))
    {first, _, _, _, _, _} = List.first(own ++ of_place, {0, nil, nil, nil, nil, nil})

    [
      own,
      last(of_place, [:committed], 2),
      last(of_place, [:broker], 1),
      last(of_place, [:assigned], 2),
      if(own == [], do: last(of_place, [:produced], 1), else: []),
      Enum.filter(of_place, &frames?(&1, own)),
      for({time, _, kind, nil, _, _} = event <- events, time >= first, around?(kind), do: event),
      for(
        {time, who, :stopped, _, _, _} = event <- events,
        time == violation.at,
        who == violation.member,
        do: event
      )
    ]
  end

  # What was delivered just before and after tells most of what was not delivered.
  @spec tells?(History.event(), Violation.t()) :: boolean()
  defp tells?({_, _, kind, _, _, spans}, %{offset: offset}) when kind in [:handled, :acked],
    do: Spans.member?(spans, offset)

  defp tells?({_, _, :delivered, _, _, {_, spans}}, %{offset: offset, invariant: invariant}) do
    Spans.member?(spans, offset) or
      (invariant in [:I2, :I6, :I10, :I11] and
         (Spans.member?(spans, offset - 1) or Spans.member?(spans, offset + 1)))
  end

  defp tells?({time, _, kind, _, _, _}, %{at: at}),
    do: time == at and kind not in [:produced]

  # The assignment of what is told, from its beginning to its end.
  @spec frames?(History.event(), [History.event()]) :: boolean()
  defp frames?({_, member, kind, _, epoch, _}, own) when kind in [:assigned, :revoked, :lost],
    do: Enum.any?(own, &match?({_, ^member, _, _, ^epoch, _}, &1))

  defp frames?(_event, _own), do: false

  @spec around?(History.kind()) :: boolean()
  defp around?(kind), do: kind in [:fault, :fault_begins, :fault_ends, :gone, :down]

  @spec lane?(History.kind(), term(), non_neg_integer()) :: boolean()
  defp lane?(:lane, lane, lane), do: true
  defp lane?(kind, {lane, _}, lane) when kind in [:demanded, :delivered], do: true
  defp lane?(_kind, _value, _lane), do: false

  @spec last([History.event()], [History.kind()], pos_integer()) :: [History.event()]
  defp last(events, kinds, count),
    do: events |> Enum.filter(&(elem(&1, 2) in kinds)) |> Enum.take(-count)

  @spec sorted([History.event()]) :: [History.event()]
  defp sorted(events), do: Enum.sort_by(events, &elem(&1, 0))

  @spec shortened([History.event()]) :: [History.event()]
  defp shortened(events) when length(events) <= @first + @last, do: events
  defp shortened(events), do: Enum.take(events, @first) ++ Enum.take(events, -@last)
end
