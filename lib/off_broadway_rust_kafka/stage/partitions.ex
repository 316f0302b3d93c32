defmodule OffBroadwayRustKafka.Stage.Partitions do
  @moduledoc false
  # Starts a pair for each partition that is assigned, and ends it when the partition is revoked or lost.
  # Until then the member itself sees to it that what is in flight is waited for.

  use GenServer

  alias OffBroadwayRustKafka.Assignment
  alias OffBroadwayRustKafka.Stage.Pair

  @enforce_keys [:group, :supervisor]
  defstruct @enforce_keys ++ [pairs: %{}]

  @typep t :: %__MODULE__{
           group: Pair.group(),
           supervisor: pid(),
           pairs: %{Assignment.place() => pid()}
         }

  @spec start_link(Pair.group()) :: GenServer.on_start()
  def start_link(group), do: GenServer.start_link(__MODULE__, group)

  @impl GenServer
  def init(group) do
    state = %__MODULE__{group: group, supervisor: Assignment.listen(group.table)}
    {:ok, state, {:continue, :begin}}
  end

  @impl GenServer
  def handle_continue(:begin, state),
    do: {:noreply, state.group.table |> Assignment.assigned() |> Enum.reduce(state, &begin/2)}

  # A pair that crashed, though it should not: its partition is not to go unread.
  @impl GenServer
  def handle_info({:DOWN, _ref, :process, pair, _reason}, state) do
    case Enum.find(state.pairs, fn {_, pid} -> pid == pair end) do
      {place, _} -> {:noreply, begin(place, %{state | pairs: Map.delete(state.pairs, place)})}
      nil -> {:noreply, state}
    end
  end

  def handle_info(message, state) do
    case Assignment.heard(message) do
      {:assigned, places} -> {:noreply, Enum.reduce(places, state, &begin/2)}
      {:gone, places} -> {:noreply, Enum.reduce(places, state, &finish/2)}
      _revoking_or_nothing -> {:noreply, state}
    end
  end

  @spec begin(Assignment.place(), t()) :: t()
  defp begin(place, state) when is_map_key(state.pairs, place), do: state

  defp begin({topic, partition} = place, state) do
    child = {Pair, {state.group, topic, partition}}
    {:ok, pair} = DynamicSupervisor.start_child(state.supervisor, child)
    Process.monitor(pair)
    put_in(state.pairs[place], pair)
  end

  @spec finish(Assignment.place(), t()) :: t()
  defp finish(place, state) do
    {pair, pairs} = Map.pop(state.pairs, place)
    if pair, do: Pair.over(pair)
    %{state | pairs: pairs}
  end
end
