defmodule OffBroadwayRustKafka.Checker.Clock do
  @moduledoc false
  # How long a member could have delivered: its time, without that in which one of its lanes had no
  # demand, and without that of a fault that lasts. What waits is measured by it.

  alias OffBroadwayRustKafka.History

  defstruct members: %{}, faults: MapSet.new(), fault_at: 0, faulty: 0

  @typep lanes :: %{
           demand: %{non_neg_integer() => integer()},
           idle_at: integer() | nil,
           idle: integer()
         }
  @type t :: %__MODULE__{
          members: %{History.member() => lanes()},
          faults: MapSet.t(),
          fault_at: integer(),
          faulty: integer()
        }

  @doc "What a lane may still emit; `nil` before it has started."
  @spec demand(t(), History.member(), non_neg_integer()) :: integer() | nil
  def demand(clock, member, lane) do
    case clock.members do
      %{^member => %{demand: %{^lane => demand}}} -> demand
      _unknown -> nil
    end
  end

  @spec put_demand(t(), History.member(), non_neg_integer(), integer(), integer()) :: t()
  def put_demand(clock, member, lane, demand, time) do
    lanes = Map.get(clock.members, member, %{demand: %{}, idle_at: time, idle: 0})
    lanes = put_in(lanes.demand[lane], demand)
    idle? = Enum.any?(lanes.demand, fn {_, demand} -> demand <= 0 end)

    lanes =
      case lanes.idle_at do
        nil when idle? ->
          %{lanes | idle_at: time}

        since when since != nil and not idle? ->
          %{lanes | idle_at: nil, idle: lanes.idle + time - since}

        _as_before ->
          lanes
      end

    %{clock | members: Map.put(clock.members, member, lanes)}
  end

  @spec stop(t(), term(), integer()) :: t()
  def stop(clock, fault, time) do
    fault_at = if MapSet.size(clock.faults) == 0, do: time, else: clock.fault_at
    %{clock | faults: MapSet.put(clock.faults, fault), fault_at: fault_at}
  end

  @spec go_on(t(), term(), integer()) :: t()
  def go_on(clock, fault, time) do
    faults = MapSet.delete(clock.faults, fault)
    over? = MapSet.size(clock.faults) > 0 and MapSet.size(faults) == 0
    faulty = if over?, do: clock.faulty + time - clock.fault_at, else: clock.faulty
    %{clock | faults: faults, faulty: faulty}
  end

  @doc "The member's time of delivery, in nanoseconds."
  @spec now(t(), History.member(), integer()) :: integer()
  def now(clock, member, time) do
    {idle_at, idle} =
      case clock.members do
        %{^member => lanes} -> {lanes.idle_at || time, lanes.idle}
        _unknown -> {time, 0}
      end

    fault_at = if MapSet.size(clock.faults) > 0, do: clock.fault_at, else: time
    time - idle - (time - idle_at) - clock.faulty - (time - fault_at)
  end
end
