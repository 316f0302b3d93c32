defmodule OffBroadwayRustKafka.Checker.Rules do
  @moduledoc false
  # What must hold whenever a record is delivered or handled, an offset is committed, a member stops.

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
        text = "lane #{lane} emitted #{-left} records more than it was asked for"
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
  def deliver(state, %{ended_at: ended_at} = track, _lane, [{first, _} | _], time)
      when ended_at != nil do
    if time - ended_at > @grace_ns,
      do:
        State.flag(
          state,
          track,
          :I10,
          first,
          time,
          "#{first} is delivered after its partition was given up"
        ),
      else: state
  end

  def deliver(state, track, lane, [{first, _} | _] = spans, time) do
    state =
      if track.lane in [nil, lane],
        do: state,
        else:
          State.flag(
            state,
            track,
            :I10,
            first,
            time,
            "lanes #{track.lane} and #{lane} both serve it"
          )

    state = waited(state, track, first, time)
    track = %{State.track(state, track.member, track.place) | lane: lane, waiting: nil}

    state =
      if track.counted?, do: %{state | had_to: state.had_to + Spans.count(spans)}, else: state

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

      state.cause_at == nil ->
        State.flag(
          state,
          track,
          :I3,
          first,
          time,
          "#{first} is delivered after #{track.last}, in one epoch"
        )

      true ->
        unacked = state.unacked |> Unacked.spans(track.id) |> Spans.count()
        again(%{state | had_to: state.had_to + unacked}, %{track | handled: -1}, span, time)
    end
  end

  # Another attempt: what was delivered before must still be unacked. Whether it was acked long
  # enough before to be known is looked up later, as it is rare.
  @spec again(State.t(), State.track(), Spans.span(), integer()) :: State.t()
  defp again(state, track, {first, last}, time) do
    before = [{first, min(last, track.top)}]
    acked = Spans.difference(before, Unacked.spans(state.unacked, track.id))
    suspects = for {offset, _} <- acked, do: {track, offset, time}
    Unacked.add(state.unacked, track.id, {max(first, track.top + 1), last})
    spans = if last > track.top, do: [{track.top + 1, last} | track.spans], else: track.spans
    track = %{track | last: last, top: max(track.top, last), spans: spans}
    State.put_track(%{state | suspects: suspects ++ state.suspects}, track)
  end

  @doc "Counts, and by choice refuses, what is handled before what came before it."
  @spec handle(State.t(), State.track(), Spans.t(), integer()) :: State.t()
  def handle(state, track, [{first, _} | _] = spans, time) do
    {_, last} = List.last(spans)

    state =
      if first <= track.handled do
        state = %{state | order_breaks: state.order_breaks + 1}
        text = "#{first} is handled after #{track.handled}"

        if state.options.order,
          do: State.flag(state, track, :order, first, time, text),
          else: state
      else
        state
      end

    State.put_track(state, %{State.track(state, track.member, track.place) | handled: last})
  end

  @doc "I1, within an assignment; and, between members, that nothing is committed that is another's."
  @spec commit(State.t(), History.member(), History.place(), integer(), integer(), integer()) ::
          State.t()
  def commit(state, member, place, offset, sent_at, time) do
    track = State.track(state, member, place)

    state
    |> commit_unacked(track, offset, time)
    |> commit_foreign(track, member, place, offset, sent_at, time)
    |> commit_back(track, member, place, offset, sent_at, time)
  end

  # A commit may be told before the assignment that its epoch began with: it is of the one before.
  @spec commit_unacked(State.t(), State.track() | nil, integer(), integer()) :: State.t()
  defp commit_unacked(state, %{start: start} = track, offset, time) when start != nil do
    lowest = Unacked.lowest(state.unacked, track.id)
    state = State.put_track(state, %{track | committed: max(track.committed || start, offset)})

    if lowest != nil and lowest < offset,
      do:
        State.flag(
          state,
          track,
          :I1,
          lowest,
          time,
          "#{offset} is committed, and #{lowest} is not acked"
        ),
      else: state
  end

  defp commit_unacked(state, _track, _offset, _time), do: state

  @spec commit_foreign(
          State.t(),
          State.track() | nil,
          String.t(),
          History.place(),
          integer(),
          integer(),
          integer()
        ) :: State.t()
  defp commit_foreign(state, track, member, place, offset, sent_at, time) do
    case State.place(state, place).owner do
      {owner, since}
      when owner != member and since < sent_at and track != nil and state.options.fencing ->
        State.flag(
          state,
          track,
          :I5,
          offset,
          time,
          "#{offset} is committed after #{owner} was assigned it"
        )

      _own ->
        state
    end
  end

  @spec commit_back(
          State.t(),
          State.track() | nil,
          String.t(),
          History.place(),
          integer(),
          integer(),
          integer()
        ) :: State.t()
  defp commit_back(state, track, member, place, offset, sent_at, time) do
    at = State.place(state, place)

    cond do
      at.committed == nil or offset >= at.committed ->
        at = %{at | committed: offset, committed_at: time, by: member}
        State.update_place(state, place, fn _ -> at end)

      track != nil and (at.by == member or at.committed_at < sent_at) ->
        State.flag(
          state,
          track,
          :rewind,
          offset,
          time,
          "#{offset} is committed, after #{at.committed}"
        )

      true ->
        state
    end
  end

  @doc "I7: what a member that stopped has committed, of what it held until it did."
  @spec stopped(State.t(), History.member(), integer()) :: State.t()
  def stopped(state, member, time) do
    label = History.label(member)
    {own, others} = Enum.split_with(state.closed, &(&1.member == member))
    state = %{state | closed: others}

    if label in state.options.cut_off,
      do: state,
      else: Enum.reduce(own, state, &left(&2, &1, clean?(state, label), time))
  end

  @spec clean?(State.t(), String.t()) :: boolean()
  defp clean?(%{options: %{clean_stops: :all}}, _label), do: true
  defp clean?(%{options: %{clean_stops: labels}}, label), do: label in labels

  @spec left(State.t(), State.track(), boolean(), integer()) :: State.t()
  defp left(state, track, clean?, time) do
    lowest = Unacked.lowest(state.unacked, track.id)
    committed = track.committed || track.start
    next = track.top + 1
    produced = State.place(state, track.place).produced |> Enum.concat()

    cond do
      track.spans == [] ->
        state

      lowest != nil and clean? ->
        State.flag(state, track, :I7, lowest, time, "it stopped, and #{lowest} is not acked")

      lowest != nil and committed != lowest ->
        State.flag(
          state,
          track,
          :I7,
          lowest,
          time,
          "it stopped with #{committed} committed, and #{lowest} is the lowest unacked"
        )

      lowest == nil and committed < next ->
        State.flag(
          state,
          track,
          :I7,
          track.top,
          time,
          "it stopped with #{committed} committed, and all up to #{track.top} was acked"
        )

      lowest == nil and Spans.between(produced, next, committed) != [] ->
        State.flag(
          state,
          track,
          :I7,
          next,
          time,
          "it stopped with #{committed} committed, and delivered none after #{track.top}"
        )

      true ->
        state
    end
  end
end
