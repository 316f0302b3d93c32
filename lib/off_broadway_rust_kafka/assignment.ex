defmodule OffBroadwayRustKafka.Assignment do
  @moduledoc false
  # Children for what a member is assigned: their supervisor, and behind it the process that starts and
  # ends them as partitions come and go. Neither outlives the other: a new one would know nothing of the
  # children of the one before, which keep their claims and their names.

  use Supervisor

  alias OffBroadwayRustKafka.{Consumer, Native}
  alias OffBroadwayRustKafka.Group.Tree

  @type place :: {topic :: String.t(), partition :: non_neg_integer()}

  @typedoc "`:revoking` are still ours until they are `:gone`, or `:assigned` as they stay after all."
  @type event :: {:assigned | :revoking | :gone, [place()]}

  @typedoc "The process that calls `listen/1`."
  @type starter :: Supervisor.child_spec() | {module(), term()}

  @spec start_link({Consumer.table(), starter()}) :: Supervisor.on_start()
  def start_link(arg), do: Supervisor.start_link(__MODULE__, arg)

  # They end on their own terms, which their own :shutdown bounds.
  @impl Supervisor
  def init({table, starter}) do
    start = {__MODULE__, :start_supervisor, [table]}
    supervisor = %{id: DynamicSupervisor, start: start, type: :supervisor, shutdown: :infinity}
    # How often both may start anew is for the member's supervisor to say.
    Supervisor.init([supervisor, starter], strategy: :one_for_all, max_restarts: 0)
  end

  @doc false
  @spec start_supervisor(Consumer.table()) :: Supervisor.on_start()
  def start_supervisor(table) do
    # One that was killed has left children behind, which end when it suits them.
    for [tree] <- :ets.match(table, {{:child, :_}, :"$1"}), do: Tree.kill(tree)
    :ets.match_delete(table, {{:child, :_}, :_})

    with {:ok, pid} <- DynamicSupervisor.start_link(strategy: :one_for_one) do
      :ets.insert(table, {:children, pid})
      {:ok, pid}
    end
  end

  @doc "Has the calling process hear of partitions; answers with the supervisor of its children."
  @spec listen(Consumer.table()) :: pid()
  def listen(table) do
    Consumer.listen(table)
    :ets.lookup_element(table, :children, 2)
  end

  @doc "These are the processes of a child that is to leave nothing behind, whatever happens."
  @spec began(Consumer.table(), pid(), tree :: [pid()]) :: true
  def began(table, child, tree), do: :ets.insert(table, {{:child, child}, tree})

  @spec ended(Consumer.table(), pid()) :: true
  def ended(table, child), do: :ets.delete(table, {:child, child})

  @doc "What was assigned before somebody listened, and is not told again."
  @spec assigned(Consumer.table()) :: [place()]
  def assigned(table) do
    with {:ok, consumer} <- Consumer.fetch(table),
         {:ok, progress} <- Native.progress(consumer) do
      for partition <- progress, do: {partition.topic, partition.partition}
    else
      # It is closed, and all of this is started anew.
      _closed -> []
    end
  end

  @doc "What a message to who listens says of partitions."
  @spec heard(term()) :: event() | :nothing
  def heard({Consumer, event}), do: {kind(elem(event, 0)), places(elem(event, 1))}
  def heard(_other), do: :nothing

  @spec kind(:assigned | :kept | :revoking | :revoked | :lost) :: :assigned | :revoking | :gone
  defp kind(event) when event in [:assigned, :kept], do: :assigned
  defp kind(:revoking), do: :revoking
  defp kind(event) when event in [:revoked, :lost], do: :gone

  @spec places([tuple()]) :: [place()]
  defp places(partitions), do: for(it <- partitions, do: {elem(it, 0), elem(it, 1)})
end
