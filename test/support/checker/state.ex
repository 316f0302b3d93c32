defmodule OffBroadwayRustKafka.Checker.State do
  @moduledoc false
  # What is known at one moment of a history: who holds what, and what is committed. A *track* is one
  # assignment of a partition to a member.

  alias OffBroadwayRustKafka.Checker.{Clock, Unacked, Violation}
  alias OffBroadwayRustKafka.History
  alias OffBroadwayRustKafka.History.Spans

  @enforce_keys [:options, :unacked]
  defstruct @enforce_keys ++
              [tracks: %{}, places: %{}, clock: %Clock{}, next_id: 0, cause_at: nil] ++
              [
                draining: MapSet.new(),
                drained: MapSet.new(),
                clean: MapSet.new(),
                closed: [],
                members: MapSet.new(),
                groups: MapSet.new()
              ] ++
              [
                seen: %{},
                handled: %{},
                resets: %{},
                paused: %{},
                while_paused: [],
                faults: 0,
                order_breaks: 0,
                violations: [],
                suspects: []
              ]

  @type t :: %__MODULE__{}
  @type place :: map()
  @type track :: map()

  @track %{
    start: nil,
    committed: nil,
    last: -1,
    top: -1,
    spans: [],
    lane: nil,
    waiting: nil,
    began_at: nil,
    attempt_at: nil,
    counted?: false,
    ended_at: nil,
    flagged: []
  }

  @place %{
    committed: nil,
    committed_at: nil,
    by: nil,
    broker: nil,
    owner: nil,
    start: nil,
    next: nil,
    end: nil,
    had_to: 0,
    sought_at: nil,
    skipped: [],
    jumps: [],
    produced: []
  }

  @spec new(map()) :: t()
  def new(options), do: %__MODULE__{options: options, unacked: Unacked.new()}

  @spec place(t(), History.place()) :: place()
  def place(state, place), do: Map.get(state.places, place, @place)

  @spec update_place(t(), History.place(), (place() -> place())) :: t()
  def update_place(state, place, update),
    do: %{state | places: Map.put(state.places, place, update.(place(state, place)))}

  @doc "Keeps which records of a partition were delivered, handled or acked, as often as they were."
  @spec saw(t(), :delivered | :handled | :acked, History.place(), Spans.t()) :: t()
  def saw(state, kind, place, spans) do
    key = {kind, place}

    case state.seen do
      %{^key => seen} -> %{state | seen: %{state.seen | key => Spans.append(seen, spans)}}
      seen -> %{state | seen: Map.put(seen, key, Spans.append([], spans))}
    end
  end

  @spec seen(t(), :delivered | :handled | :acked, History.place()) :: Spans.t()
  def seen(state, kind, place), do: Map.get(state.seen, {kind, place}, [])

  @spec track(t(), History.member(), History.place()) :: track() | nil
  def track(state, member, place), do: Map.get(state.tracks, {member, place})

  @spec put_track(t(), track()) :: t()
  def put_track(state, track),
    do: %{state | tracks: Map.put(state.tracks, {track.member, track.place}, track)}

  @doc "The track of this epoch, begun by whatever tells of it first; an older one stays out."
  @spec began(t(), History.member(), History.place(), non_neg_integer(), integer()) :: t()
  def began(state, member, place, epoch, time) do
    case track(state, member, place) do
      %{epoch: known} when known >= epoch ->
        state

      before ->
        state = if before, do: ended(state, before, time), else: state
        own = %{id: state.next_id, member: member, place: place, epoch: epoch, began_at: time}
        track = Map.merge(@track, own)
        {reset_to, resets} = Map.pop(state.resets, {member, place})
        track = if reset_to, do: starts(track, reset_to), else: track
        put_track(%{state | next_id: state.next_id + 1, resets: resets}, track)
    end
  end

  @doc "The first offset of an assignment is known."
  @spec starts(track(), integer()) :: track()
  def starts(track, start),
    do: %{track | start: start, last: max(track.last, start - 1), top: max(track.top, start - 1)}

  @doc "It is given up, lost, or its member is gone; what it delivered beyond the commit comes again."
  @spec ended(t(), track(), integer()) :: t()
  def ended(state, %{ended_at: nil} = track, time) do
    track = %{track | ended_at: time}
    count(state, track, place(state, track.place).committed)
  end

  def ended(state, _track, _time), do: state

  @doc "A member that stops gives it up: what it has committed of it is looked at when it has."
  @spec closed(t(), track(), unacked :: non_neg_integer()) :: t()
  def closed(state, %{ended_at: nil, member: member} = track, unacked) do
    # What is acked after a revoke that could not wait for it is of no use.
    late_from = if unacked > 0, do: Unacked.lowest(state.unacked, track.id)

    if member in state.draining,
      do: %{state | closed: [{track, late_from} | state.closed]},
      else: state
  end

  def closed(state, _track, _unacked), do: state

  @doc "Counts what a track delivered from `from` on, as its next owner has to begin there."
  @spec count(t(), track(), integer() | nil) :: t()
  def count(state, %{counted?: true} = track, _from),
    do: put_track(state, %{track | waiting: nil})

  def count(state, track, from) do
    from = from || 0
    above = Enum.take_while(track.spans, fn {_, last} -> last >= from end)
    again = for {first, last} <- above, do: {max(first, from), last}
    state |> had_to(track.place, again) |> put_track(%{track | counted?: true, waiting: nil})
  end

  @doc "These have to be delivered again."
  @spec had_to(t(), History.place(), Spans.t()) :: t()
  def had_to(state, place, spans),
    do: update_place(state, place, &%{&1 | had_to: &1.had_to + Spans.count(spans)})

  @spec end_all(t(), (History.member() -> boolean()), integer()) :: t()
  def end_all(state, whose, time) do
    for {{member, _}, track} <- state.tracks, whose.(member), reduce: state do
      state -> ended(state, track, time)
    end
  end

  @spec close_all(t(), History.member()) :: t()
  def close_all(state, member) do
    for {{^member, _}, track} <- state.tracks, reduce: state do
      state -> closed(state, track, 0)
    end
  end

  @doc "From now on a partition waits, when it has records and nothing of it is in flight."
  @spec ready(t(), track(), integer()) :: t()
  def ready(state, %{waiting: nil, counted?: false, start: start} = track, time)
      when start != nil do
    next = place(state, track.place).next

    if next != nil and next > track.top + 1 and Unacked.lowest(state.unacked, track.id) == nil,
      do: put_track(state, %{track | waiting: Clock.now(state.clock, track.member, time)}),
      else: put_track(state, track)
  end

  def ready(state, track, _time), do: put_track(state, track)

  @doc "After this an assignment may deliver again what is not acked."
  @spec cause(t(), integer()) :: t()
  def cause(state, time), do: %{state | cause_at: time}

  @doc "One violation of a kind in each track is enough to know."
  @spec flag(t(), track(), atom(), integer() | nil, integer(), String.t()) :: t()
  def flag(state, track, invariant, offset, time, text) do
    track = Map.get(state.tracks, {track.member, track.place}, track)

    if invariant in track.flagged do
      state
    else
      own = Map.take(track, [:place, :member, :epoch])
      violation = %Violation{invariant: invariant, text: text, offset: offset, at: time}

      state
      |> put_track(%{track | flagged: [invariant | track.flagged]})
      |> add(struct!(violation, own))
    end
  end

  @spec add(t(), Violation.t()) :: t()
  def add(state, violation), do: %{state | violations: [violation | state.violations]}
end
