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
              [draining: MapSet.new(), closed: [], members: MapSet.new()] ++
              [had_to: 0, faults: 0, order_breaks: 0, violations: [], suspects: []]

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
    handled: -1,
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
    produced: [],
    delivered: [],
    handled: [],
    acked: []
  }

  @spec new(map()) :: t()
  def new(options), do: %__MODULE__{options: options, unacked: Unacked.new()}

  @spec place(t(), History.place()) :: place()
  def place(state, place), do: Map.get(state.places, place, @place)

  @spec update_place(t(), History.place(), (place() -> place())) :: t()
  def update_place(state, place, update),
    do: %{state | places: Map.put(state.places, place, update.(place(state, place)))}

  @spec track(t(), History.member(), History.place()) :: track() | nil
  def track(state, member, place), do: Map.get(state.tracks, {member, place})

  @spec put_track(t(), track()) :: t()
  def put_track(state, track),
    do: %{state | tracks: Map.put(state.tracks, {track.member, track.place}, track)}

  @doc "The track of this epoch, begun by whatever tells of it first; an older one stays out."
  @spec began(t(), History.member(), History.place(), non_neg_integer(), integer()) :: t()
  def began(state, member, place, epoch, time) do
    case track(state, member, place) do
      %{epoch: known} when known >= epoch -> state
      nil -> begin(state, member, place, epoch)
      before -> state |> ended(before, time) |> begin(member, place, epoch)
    end
  end

  @spec begin(t(), History.member(), History.place(), non_neg_integer()) :: t()
  defp begin(state, member, place, epoch) do
    own = %{id: state.next_id, member: member, place: place, epoch: epoch}
    put_track(%{state | next_id: state.next_id + 1}, Map.merge(@track, own))
  end

  @doc "It is given up, lost, or its member is gone; what it delivered beyond the commit comes again."
  @spec ended(t(), track(), integer()) :: t()
  def ended(state, %{ended_at: nil} = track, time) do
    closed = if track.member in state.draining, do: [track | state.closed], else: state.closed
    track = %{track | ended_at: time, waiting: nil}
    count(%{state | closed: closed}, track, place(state, track.place).committed)
  end

  def ended(state, _track, _time), do: state

  @doc "Counts what a track delivered from `from` on, as its next owner has to begin there."
  @spec count(t(), track(), integer() | nil) :: t()
  def count(state, %{counted?: true} = track, _from), do: put_track(state, track)

  def count(state, track, from) do
    from = from || 0
    above = Enum.take_while(track.spans, fn {_, last} -> last >= from end)
    again = above |> Enum.map(fn {first, last} -> {max(first, from), last} end) |> Spans.count()
    put_track(%{state | had_to: state.had_to + again}, %{track | counted?: true})
  end

  @spec end_all(t(), (History.member() -> boolean()), integer()) :: t()
  def end_all(state, whose, time) do
    for {{member, _}, track} <- state.tracks, whose.(member), reduce: state do
      state -> ended(state, track, time)
    end
  end

  @doc "From now on a partition waits, when it has records and nothing of it is in flight."
  @spec ready(t(), track(), integer()) :: t()
  def ready(state, %{waiting: nil, ended_at: nil, start: start} = track, time)
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
