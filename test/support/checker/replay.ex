defmodule OffBroadwayRustKafka.Checker.Replay do
  @moduledoc false
  # Goes through a history once, in the order of time.

  alias OffBroadwayRustKafka.Checker.{Clock, Committing, Delivering, State, Steering}
  alias OffBroadwayRustKafka.Checker.{Unacked, Violation}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  @spec run([History.event()], map()) :: State.t()
  def run(events, options) do
    state = events |> Enum.reduce(State.new(options), &step/2) |> Steering.while_paused()
    until = if events == [], do: 0, else: events |> List.last() |> elem(0)

    for {_, track} <- state.tracks, reduce: state do
      state -> Delivering.waited(state, track, nil, until)
    end
  end

  @spec step(History.event(), State.t()) :: State.t()
  defp step({time, member, :assigned, place, epoch, start}, state) do
    state =
      state |> passed_on(member, place, start, time) |> State.began(member, place, epoch, time)

    committed = State.place(state, place).committed

    state =
      State.update_place(
        state,
        place,
        &%{&1 | owner: {member, time, start}, start: &1.start || start}
      )

    case State.track(state, member, place) do
      %{epoch: ^epoch} = track ->
        state
        |> State.ready(State.starts(track, start), time)
        |> starts(track, start, committed, time)

      _newer ->
        state
    end
  end

  defp step({time, member, :revoked, place, epoch, unacked}, state) do
    case State.track(state, member, place) do
      %{epoch: ^epoch} = track ->
        state |> State.closed(track, unacked) |> State.ended(track, time)

      _another ->
        state
    end
  end

  # A member that was stopped may tell of an assignment that was long over.
  defp step({time, member, :lost, place, epoch, _unacked}, state) do
    state =
      State.update_place(state, place, fn
        %{owner: owner} = at when elem(owner, 0) == member -> %{at | owner: nil}
        at -> at
      end)

    case State.track(state, member, place) do
      %{epoch: ^epoch} = track -> State.ended(state, track, time)
      _another -> state
    end
  end

  defp step({time, member, :demanded, _, _, {lane, count}}, state) do
    left = Clock.demand(state.clock, member, lane) || 0
    %{state | clock: Clock.put_demand(state.clock, member, lane, left + count, time)}
  end

  defp step({time, member, :lane, _, _, lane}, state) do
    again? = Clock.demand(state.clock, member, lane) != nil
    state = %{state | drained: MapSet.delete(state.drained, {member, lane})}
    state = %{state | clock: Clock.put_demand(state.clock, member, lane, 0, time)}
    if again?, do: State.cause(state, time), else: state
  end

  defp step({time, member, :delivered, place, epoch, {lane, spans}}, state) do
    state =
      state
      |> State.began(member, place, epoch, time)
      |> State.saw(:delivered, place, spans)
      |> Delivering.emitted(member, lane, spans, time)

    case State.track(state, member, place) do
      %{epoch: ^epoch} = track ->
        state
        |> Delivering.deliver(track, lane, spans, time)
        |> Steering.delivered(track, spans, time)

      _newer ->
        State.had_to(state, place, spans)
    end
  end

  defp step({time, member, :handled, place, epoch, spans}, state),
    do:
      state
      |> State.saw(:handled, place, spans)
      |> Delivering.handle(member, place, epoch, spans, time)

  defp step({time, member, :acked, place, epoch, spans}, state) do
    state = State.saw(state, :acked, place, spans)

    case State.track(state, member, place) do
      %{epoch: ^epoch} = track ->
        Enum.each(spans, &Unacked.remove(state.unacked, track.id, &1))
        State.ready(state, track, time)

      _stale ->
        state
    end
  end

  defp step({time, member, :committed, place, _, {offset, latency_us}}, state) do
    commit = %{member: member, place: place, offset: offset, time: time}
    Committing.commit(state, Map.put(commit, :sent_at, time - latency_us * 1_000))
  end

  # A position that did not exist any more. The epoch that begins there is not told of.
  defp step({_time, member, :reset, place, _, {_from, to}}, state) do
    state = State.update_place(state, place, &%{&1 | committed: nil, broker: nil})

    case State.track(state, member, place) do
      %{start: nil} = track -> State.put_track(state, State.starts(track, to))
      _before -> %{state | resets: Map.put(state.resets, {member, place}, to)}
    end
  end

  defp step({time, member, :sought, place, epoch, {_, to} = sought}, state) do
    state =
      state
      |> Steering.sought(place, sought, time)
      |> State.began(member, place, epoch, time)

    case State.track(state, member, place) do
      %{epoch: ^epoch} = track -> State.ready(state, State.starts(track, to), time)
      _newer -> state
    end
  end

  defp step({time, member, kind, _, _, paused}, state) when kind in [:paused, :resumed],
    do: Steering.paused(state, member, paused, time)

  # Nobody can commit any more what is left of it.
  defp step({time, _, :recreated, place, _, _}, state) do
    for {{_, ^place}, track} <- state.tracks, reduce: state do
      state -> State.ended(state, track, time)
    end
  end

  defp step({time, _, :broker, place, _, answer}, state) do
    offset = answer || 0
    at = State.place(state, place)
    known = if at.committed != nil and at.committed_at < time, do: at.committed, else: 0
    before = max(known, at.broker || 0)
    text = "the brokers have #{answer || "nothing"}, after #{before}"
    fields = [invariant: :rewind, text: text, place: place, offset: offset, at: time]
    state = State.update_place(state, place, &%{&1 | broker: answer})
    if offset < before, do: State.add(state, struct!(Violation, fields)), else: state
  end

  defp step({time, _, :produced, place, _, {first, next, gaps}}, state) do
    produced = Spans.difference([{first, next - 1}], gaps)

    state =
      State.update_place(state, place, fn at ->
        {_, last} = List.last(produced, {0, -1})
        ends = %{next: max(at.next || 0, last + 1), end: max(at.end || 0, next)}
        Map.merge(%{at | produced: [produced | at.produced]}, ends)
      end)

    for {{_, ^place}, track} <- state.tracks, reduce: state do
      state -> State.ready(state, track, time)
    end
  end

  # A consumer that starts takes the place of the one before it.
  defp step({time, member, :started, _, _, group}, state) do
    label = History.label(member)
    members = MapSet.put(state.members, member)
    state = %{state | members: members, groups: MapSet.put(state.groups, group)}
    State.end_all(state, &(&1 != member and History.label(&1) == label), time)
  end

  defp step({_time, member, :closed, _, _, nil}, state),
    do: %{state | clean: MapSet.put(state.clean, member)}

  defp step({_time, member, :draining, _, _, lane}, state) do
    drained = MapSet.put(state.drained, {member, lane})
    %{state | draining: MapSet.put(state.draining, member), drained: drained}
  end

  defp step({time, member, :stopped, _, _, _}, state),
    do:
      state
      |> State.close_all(member)
      |> State.end_all(&(&1 == member), time)
      |> Committing.stopped(member, time)

  defp step({time, label, :gone, _, _, _}, state),
    do: state |> State.end_all(&(History.label(&1) == label), time) |> State.cause(time)

  defp step({time, _, :fault, _, _, _}, state),
    do: State.cause(%{state | faults: state.faults + 1}, time)

  defp step({time, whose, :fault_begins, _, _, what}, state) do
    clock = Clock.stop(state.clock, {whose, what}, time)
    state = %{state | faults: state.faults + 1, clock: clock}
    State.cause(state, time)
  end

  defp step({time, whose, :fault_ends, _, _, what}, state) do
    clock = Clock.go_on(state.clock, {whose, what}, time)
    State.cause(%{state | clock: clock}, time)
  end

  defp step({time, _, kind, _, _, _}, state) when kind in [:down, :stalled],
    do: State.cause(state, time)

  defp step({time, _, :queued, _, _, {bytes, records, {most_bytes, most_records}}}, state) do
    text =
      "queued are #{bytes} bytes and #{records} records, of #{most_bytes} and #{most_records}"

    if bytes > most_bytes or records > most_records,
      do: State.add(state, %Violation{invariant: :I8, at: time, text: text}),
      else: state
  end

  defp step({time, _, :called, _, _, {name, microseconds}}, state) do
    text = "#{name} took #{microseconds} µs"

    if microseconds > state.options.call_us,
      do: State.add(state, %Violation{invariant: :I9, at: time, text: text}),
      else: state
  end

  defp step(_told_for_the_reader, state), do: state

  # Whoever held it until now may not know it yet: the new owner begins at `start`.
  @spec passed_on(State.t(), History.member(), History.place(), integer(), integer()) :: State.t()
  defp passed_on(state, member, place, start, time) do
    for {{other, ^place}, track} <- state.tracks, other != member, reduce: state do
      state ->
        state = Delivering.waited(state, track, nil, time)
        State.count(state, State.track(state, other, place), start)
    end
  end

  @spec starts(State.t(), State.track(), integer(), integer() | nil, integer()) :: State.t()
  defp starts(%{options: %{fencing: true}} = state, track, start, committed, time)
       when committed != nil and start < committed do
    text = "it starts at #{start}, and #{committed} is committed"
    State.flag(state, track, :rewind, start, time, text)
  end

  defp starts(state, _track, _start, _committed, _time), do: state
end
