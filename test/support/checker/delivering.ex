defmodule OffBroadwayRustKafka.Checker.Delivering do
  @moduledoc false
  # What must hold when records are delivered and handled.

  alias OffBroadwayRustKafka.Checker.{Clock, State, Unacked, Violation}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  # By so much a log of what was done at once may be late, on a busy machine.
  @grace_ns 1_000_000_000

  @doc "I4: a lane emits no more than it was asked for."
  @spec emitted(State.t(), History.member(), non_neg_integer(), Spans.t(), integer()) :: State.t()
  def emitted(state, member, lane, spans, time) do
    left = (Clock.demand(state.clock, member, lane) || 0) - Spans.count(spans)

    state =
      if left < 0 and state.options.demand do
        text = "#{Spans.text(spans)} is #{-left} more than lane #{lane} was asked for"
        {_, offset} = List.last(spans)
        fields = [member: member, lane: lane, at: time, offset: offset]
        State.add(state, struct!(%Violation{invariant: :I4, text: text}, fields))
      else
        state
      end

    %{state | clock: Clock.put_demand(state.clock, member, lane, max(left, 0), time)}
  end

  @doc "I3 and I10; and I11, for how long it had to wait."
  @spec deliver(State.t(), State.track(), non_neg_integer(), Spans.t(), integer()) :: State.t()
  def deliver(state, %{ended_at: ended_at} = track, _lane, [{first, _} | _] = spans, time)
      when ended_at != nil do
    state = State.had_to(state, track.place, spans)
    text = "#{first} is delivered after its partition was given up"

    if time - ended_at > @grace_ns,
      do: State.flag(state, track, :I10, first, time, text),
      else: state
  end

  def deliver(state, track, lane, [{first, _} | _] = spans, time) do
    text = "#{first} is delivered on lane #{lane}, and lane #{track.lane} has the partition"
    # Another pipeline that shares the member may have what one that stopped had.
    own? = track.lane in [nil, lane] or {track.member, track.lane} in state.drained
    state = if own?, do: state, else: State.flag(state, track, :I10, first, time, text)
    state = waited(state, track, first, time)
    track = %{State.track(state, track.member, track.place) | lane: lane, waiting: nil}
    state = if track.counted?, do: State.had_to(state, track.place, spans), else: state
    state = Enum.reduce(spans, State.put_track(state, track), &deliver_span(&2, track, &1, time))
    State.ready(state, State.track(state, track.member, track.place), time)
  end

  @doc "I11: with records, demand and nothing in flight, a partition is served."
  @spec waited(State.t(), State.track(), integer() | nil, integer()) :: State.t()
  def waited(%{options: %{stall: :infinity}} = state, _track, _offset, _time), do: state
  def waited(state, %{waiting: nil}, _offset, _time), do: state

  def waited(state, track, offset, time) do
    ms = div(Clock.now(state.clock, track.member, time) - track.waiting, 1_000_000)
    offset = offset || track.top + 1
    text = "#{offset} waited #{ms} ms, while there was demand"

    if ms > state.options.stall,
      do: State.flag(state, track, :I11, offset, time, text),
      else: state
  end

  @spec deliver_span(State.t(), State.track(), Spans.span(), integer()) :: State.t()
  defp deliver_span(state, %{member: member, place: place}, {first, last} = span, time) do
    track = State.track(state, member, place)

    cond do
      first > track.top ->
        Unacked.add(state.unacked, track.id, span)
        spans = [span | track.spans]
        State.put_track(state, %{track | last: last, top: last, spans: spans})

      first > track.last ->
        again(state, track, span, time)

      caused?(state, track, time) ->
        state = State.had_to(state, place, Unacked.spans(state.unacked, track.id))
        state = %{state | handled: Map.delete(state.handled, {member, place})}
        again(state, %{track | attempt_at: time}, span, time)

      true ->
        text = "#{first} is delivered after #{track.last}, in one epoch"
        State.flag(state, track, :I3, first, time, text)
    end
  end

  # What makes a member deliver again went wrong during the assignment, and after the attempt
  # before, unless that was just now: a fault may be met by several.
  @spec caused?(State.t(), State.track(), integer()) :: boolean()
  defp caused?(%{cause_at: nil}, _track, _time), do: false

  defp caused?(%{cause_at: cause_at}, track, time),
    do: cause_at > (track.attempt_at || track.began_at - @grace_ns) or time - cause_at < @grace_ns

  # Another attempt: what was delivered before must still be unacked. Whether it was acked long
  # enough before to be known is looked up later, as it is rare; if not, it had to come.
  @spec again(State.t(), State.track(), Spans.span(), integer()) :: State.t()
  defp again(state, track, {first, last}, time) do
    before = [{first, min(last, track.top)}]
    acked = Spans.difference(before, Unacked.spans(state.unacked, track.id))
    suspects = for {offset, _} <- acked, do: {track, offset, time}
    fresh = {max(first, track.top + 1), last}
    Unacked.add(state.unacked, track.id, fresh)
    spans = if last > track.top, do: [fresh | track.spans], else: track.spans
    track = %{track | last: last, top: max(track.top, last), spans: spans}
    state = State.had_to(state, track.place, acked)
    State.put_track(%{state | suspects: suspects ++ state.suspects}, track)
  end

  @doc "Counts, and by choice refuses, what is handled before what came before it."
  @spec handle(
          State.t(),
          History.member(),
          History.place(),
          non_neg_integer(),
          Spans.t(),
          integer()
        ) ::
          State.t()
  def handle(state, member, place, epoch, [{first, _} | _] = spans, time) do
    {_, last} = List.last(spans)
    key = {member, place}
    before = Map.get(state.handled, key)
    state = %{state | handled: Map.put(state.handled, key, {epoch, last})}

    case before do
      {^epoch, highest} when first <= highest ->
        out_of_order(state, key, epoch, {first, highest}, time)

      _in_order ->
        state
    end
  end

  @spec out_of_order(
          State.t(),
          {History.member(), History.place()},
          non_neg_integer(),
          Spans.span(),
          integer()
        ) ::
          State.t()
  defp out_of_order(state, {member, place}, epoch, {first, highest}, time) do
    state = %{state | order_breaks: state.order_breaks + 1}
    track = State.track(state, member, place)
    text = "#{first} is handled after #{highest}"

    if state.options.order and match?(%{epoch: ^epoch}, track),
      do: State.flag(state, track, :order, first, time, text),
      else: state
  end
end
