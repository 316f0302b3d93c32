defmodule OffBroadwayRustKafka.Checker.Steering do
  @moduledoc false
  # What an operator does to a member while it runs: what must hold of it, and what is excused by it.

  alias OffBroadwayRustKafka.Checker.{Clock, State}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  # By so much a log of what was done at once may be late, on a busy machine.
  @grace_ns 1_000_000_000

  @doc "While anything of a member is paused, nobody waits in vain."
  @spec paused(State.t(), History.member(), [term()], integer()) :: State.t()
  def paused(state, member, paused, time) do
    clock = if paused == [], do: &Clock.go_on/3, else: &Clock.stop/3
    before = state.paused |> Map.get(member, %{}) |> Map.take(paused)
    since = paused |> Map.new(&{&1, time}) |> Map.merge(before)

    # It was resumed a little before that is told.
    told_late = &match?({%{member: ^member}, _, at} when time - at < @grace_ns, &1)

    %{
      state
      | clock: clock.(state.clock, {member, :paused}, time),
        paused: Map.put(state.paused, member, since),
        while_paused: Enum.reject(state.while_paused, told_late)
    }
  end

  @doc "Takes note of what is delivered of what is paused."
  @spec delivered(State.t(), State.track(), Spans.t(), integer()) :: State.t()
  def delivered(%{paused: paused} = state, _track, _spans, _time) when paused == %{}, do: state

  def delivered(state, %{place: {topic, _} = place} = track, [{first, _} | _], time) do
    own = Map.get(state.paused, track.member, %{})
    since = Enum.flat_map([:all, topic, place], &List.wrap(own[&1]))

    if Enum.any?(since, &(time - &1 > @grace_ns)),
      do: %{state | while_paused: [{track, first, time} | state.while_paused]},
      else: state
  end

  @doc "`paused`: nothing is delivered of what is paused."
  @spec while_paused(State.t()) :: State.t()
  def while_paused(state) do
    for {track, offset, time} <- Enum.reverse(state.while_paused), reduce: state do
      state ->
        text = "#{offset} is delivered while its partition is paused"
        State.flag(state, track, :paused, offset, time, text)
    end
  end

  @doc "A partition goes on elsewhere: what it passes over need not come, and what it goes back over comes again."
  @spec sought(State.t(), History.place(), {from :: integer(), to :: integer()}, integer()) ::
          State.t()
  def sought(state, place, {from, to}, time) do
    delivered = state |> State.seen(:delivered, place) |> Spans.union()
    again = for {first, last} <- delivered, last >= to, do: {max(first, to), last}
    skipped = if to > from, do: [{from, to - 1}], else: []

    state
    |> State.had_to(place, again)
    |> State.update_place(place, fn at ->
      own = %{committed: nil, broker: nil, sought_at: time, skipped: skipped ++ at.skipped}
      Map.merge(at, own)
    end)
  end
end
