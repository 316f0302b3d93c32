defmodule OffBroadwayRustKafka.Checker.Committing do
  @moduledoc false
  # What must hold when an offset is committed, and of what is committed when a member stops.

  alias OffBroadwayRustKafka.Checker.{State, Unacked}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  # A commit: whose, of what, and when it was sent and told.
  @typep commit :: %{
           member: History.member(),
           place: History.place(),
           offset: integer(),
           sent_at: integer(),
           time: integer()
         }

  @doc "I1, within an assignment; and, between members, that nothing is committed that is another's."
  @spec commit(State.t(), commit()) :: State.t()
  def commit(state, %{member: member, place: place} = commit) do
    track = State.track(state, member, place)
    sought_at = State.place(state, place).sought_at

    # What was sent before a seek is over with it.
    if sought_at != nil and commit.sent_at < sought_at,
      do: state,
      else: state |> unacked(track, commit) |> foreign(track, commit) |> back(track, commit)
  end

  # Of the epoch that a reset has begun, and that nothing else has told of yet.
  @spec unacked(State.t(), State.track() | nil, commit()) :: State.t()
  defp unacked(%{resets: resets} = state, track, %{member: member, place: place} = commit)
       when track != nil and is_map_key(resets, {member, place}) do
    to = resets[{member, place}]

    if commit.offset > to,
      do: jump(state, track, {to, commit.offset - 1}, commit.time),
      else: state
  end

  # A commit may be told before the assignment that its epoch began with: it is of the one before.
  defp unacked(state, %{start: start} = track, %{offset: offset, time: time}) when start != nil do
    lowest = Unacked.lowest(state.unacked, track.id)
    state = State.put_track(state, %{track | committed: max(track.committed || start, offset)})
    text = "#{offset} is committed, and #{lowest} is not acked"

    cond do
      lowest != nil and lowest < offset -> State.flag(state, track, :I1, lowest, time, text)
      offset > track.top + 1 -> jump(state, track, {track.top + 1, offset - 1}, time)
      true -> state
    end
  end

  defp unacked(state, _track, _commit), do: state

  # Whether there are records there is known at the end.
  @spec jump(State.t(), State.track(), Spans.span(), integer()) :: State.t()
  defp jump(state, track, span, time) do
    jump = {Map.take(track, [:member, :epoch]), span, time}
    State.update_place(state, track.place, &%{&1 | jumps: [jump | &1.jumps]})
  end

  # A member that was stopped tells late of what was committed before, and it does not know how late:
  # what the other one began with had been.
  @spec foreign(State.t(), State.track() | nil, commit()) :: State.t()
  defp foreign(%{options: %{fencing: true}} = state, track, commit) when track != nil do
    {owner, since, start} =
      State.place(state, commit.place).owner || {commit.member, commit.time, 0}

    text = "#{commit.offset} is committed after #{owner} was assigned it"

    if owner != commit.member and since < commit.sent_at and commit.offset > start,
      do: State.flag(state, track, :I5, commit.offset, commit.time, text),
      else: state
  end

  defp foreign(state, _track, _commit), do: state

  # What another member told later may have been committed before: only one that was sent later is
  # known to have gone back.
  @spec back(State.t(), State.track() | nil, commit()) :: State.t()
  defp back(state, track, %{offset: offset, time: time} = commit) do
    at = State.place(state, commit.place)
    text = "#{offset} is committed, after #{at.committed}"

    cond do
      at.committed == nil or offset >= at.committed ->
        committed = %{committed: offset, committed_at: time, by: commit.member}
        State.update_place(state, commit.place, &Map.merge(&1, committed))

      track != nil and (at.by == commit.member or at.committed_at < commit.sent_at) ->
        State.flag(state, track, :rewind, offset, time, text)

      true ->
        state
    end
  end

  @doc "I7: what a member that closed cleanly has committed, of what it held until it did."
  @spec stopped(State.t(), History.member(), integer()) :: State.t()
  def stopped(state, member, time) do
    {own, others} = Enum.split_with(state.closed, fn {track, _} -> track.member == member end)
    state = %{state | closed: others}

    if member in state.clean,
      do: Enum.reduce(own, state, &left(&2, &1, clean?(state, History.label(member)), time)),
      else: state
  end

  @spec clean?(State.t(), String.t()) :: boolean()
  defp clean?(%{options: %{clean_stops: :all}}, _label), do: true
  defp clean?(%{options: %{clean_stops: labels}}, label), do: label in labels

  @spec left(State.t(), {State.track(), integer() | nil}, boolean(), integer()) :: State.t()
  defp left(state, {track, late_from}, clean?, time) do
    committed = track.committed || track.start

    case wrong(track, late_from, committed, clean?, Unacked.lowest(state.unacked, track.id)) do
      nil -> state
      {offset, text} -> State.flag(state, track, :I7, offset, time, "it stopped " <> text)
    end
  end

  # Too much is another rule's.
  @spec wrong(State.track(), integer() | nil, integer() | nil, boolean(), integer() | nil) ::
          {integer(), String.t()} | nil
  defp wrong(track, nil, committed, clean?, lowest), do: wrong(track, lowest, committed, clean?)

  # What was acked just before the revoke may be told after it.
  defp wrong(_track, late_from, committed, _clean?, _lowest)
       when is_integer(committed) and committed > late_from,
       do: nil

  defp wrong(track, late_from, committed, _clean?, _lowest),
    do: wrong(track, late_from, committed, false)

  @spec wrong(State.track(), integer() | nil, integer() | nil, boolean()) ::
          {integer(), String.t()} | nil
  defp wrong(%{spans: []}, _lowest, _committed, _clean?), do: nil
  defp wrong(_track, _lowest, nil, _clean?), do: nil

  defp wrong(%{top: top}, nil, committed, _clean?) when committed <= top,
    do: {top, "with #{committed} committed, and all up to #{top} is acked"}

  defp wrong(_track, nil, _committed, _clean?), do: nil
  defp wrong(_track, lowest, _committed, true), do: {lowest, "and #{lowest} is not acked"}
  defp wrong(_track, lowest, committed, false) when committed == lowest, do: nil

  defp wrong(_track, lowest, committed, false),
    do: {lowest, "with #{committed} committed, and #{lowest} is the lowest that is not acked"}
end
