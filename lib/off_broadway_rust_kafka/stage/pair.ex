defmodule OffBroadwayRustKafka.Stage.Pair do
  @moduledoc false
  # The stage and the subscriber of one partition. It starts both when it has answered its own
  # supervisor: a subscriber that takes long to start, or fails to, holds up no other partition. What goes
  # down is started again; a subscriber that goes on failing is left alone for a while, and told of.

  use GenServer, restart: :temporary

  alias OffBroadwayRustKafka.{Commits, Consumer, Crashes, Error, Telemetry}
  alias OffBroadwayRustKafka.Stage

  require Logger

  # So often within so long it is started again at once, and otherwise after a pause.
  @at_once 3
  @within_ms 5_000
  @again_ms 5_000

  # A stage that has ended is about to be known to have.
  @claimed_ms 20

  # How long a process may take to end that has nothing to finish.
  @end_ms 1_000

  @typedoc "What all pairs of a group have in common."
  @type group :: %{
          table: Consumer.table(),
          context: %{name: term(), group_id: String.t()},
          subscriber: module(),
          extra_args: term(),
          strategy: Commits.strategy(),
          drain_timeout: non_neg_integer()
        }

  @enforce_keys [:group, :topic, :partition]
  defstruct @enforce_keys ++ [:stage, :subscriber, over?: false, failures: []]

  @typep t :: %__MODULE__{
           group: group(),
           topic: String.t(),
           partition: non_neg_integer(),
           stage: pid() | nil,
           subscriber: pid() | nil,
           over?: boolean(),
           failures: Crashes.t()
         }

  @spec child_spec({group(), String.t(), non_neg_integer()}) :: Supervisor.child_spec()
  def child_spec({group, _, _} = arg) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [arg]},
      restart: :temporary,
      shutdown: group.drain_timeout + 3 * @end_ms
    }
  end

  @spec start_link({group(), String.t(), non_neg_integer()}) :: GenServer.on_start()
  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)

  @doc "The partition is another member's: there is nothing to finish."
  @spec over(pid()) :: :ok
  def over(pair), do: GenServer.cast(pair, :over)

  @impl GenServer
  def init({group, topic, partition}) do
    Process.flag(:trap_exit, true)
    state = %__MODULE__{group: group, topic: topic, partition: partition}
    {:ok, state, {:continue, :start}}
  end

  @impl GenServer
  def handle_continue(:start, state), do: {:noreply, start(state)}

  @impl GenServer
  def handle_cast(:over, state), do: {:stop, :normal, %{state | over?: true}}

  @impl GenServer
  def handle_info(:start, state), do: {:noreply, start(state)}

  # A subscriber finishes what it has before that is delivered again, and need not end with its stage by
  # itself (`cancel: :temporary`).
  def handle_info({:EXIT, stage, reason}, %{stage: stage} = state) when stage != nil do
    finish(state.subscriber, state.group.drain_timeout)
    {:noreply, failed(%{state | stage: nil, subscriber: nil}, "its stage ended", reason)}
  end

  def handle_info({:EXIT, subscriber, reason}, %{subscriber: subscriber} = state)
      when subscriber != nil,
      do: {:noreply, failed(%{state | subscriber: nil}, "the subscriber ended", reason)}

  def handle_info(_late_or_foreign, state), do: {:noreply, state}

  # What the subscriber has been handed is handled, and acknowledged, before it ends: it takes the request to
  # stop after what came before.
  @impl GenServer
  def terminate(_reason, %{over?: over?, group: group} = state) do
    timeout = if over?, do: 0, else: group.drain_timeout
    if state.stage && not over?, do: Stage.drain(state.stage)
    finish(state.subscriber, timeout)
    finish(state.stage, @end_ms)
  end

  @spec start(t()) :: t()
  defp start(state), do: state |> start_stage() |> start_subscriber()

  @spec start_stage(t()) :: t()
  defp start_stage(%{stage: nil, group: group} = state) do
    with {:ok, consumer} <- Consumer.fetch(group.table),
         claim = {:partition, state.topic, state.partition},
         {:ok, stage} <- Stage.start_link_claimed(consumer, claim, group.strategy) do
      %{state | stage: stage}
    else
      {:error, %Error{code: :claimed}} -> later(state, @claimed_ms)
      {:error, error} -> failed(state, "its stage cannot start", error)
      # The member is being started anew, and all of this with it.
      :error -> later(state, @again_ms)
    end
  end

  defp start_stage(state), do: state

  @spec start_subscriber(t()) :: t()
  defp start_subscriber(%{stage: stage, subscriber: nil, group: group} = state)
       when stage != nil do
    arg = {stage, state.topic, state.partition, group.extra_args}

    case group.subscriber.start_link(arg) do
      {:ok, pid} when is_pid(pid) -> %{state | subscriber: pid}
      {:error, reason} -> failed(state, "the subscriber failed to start", reason)
      other -> failed(state, "the subscriber failed to start", {:bad_return_value, other})
    end
  catch
    kind, reason ->
      exception = Exception.format(kind, reason, __STACKTRACE__)
      failed(state, "the subscriber failed to start", exception)
  end

  defp start_subscriber(state), do: state

  @spec failed(t(), String.t(), term()) :: t()
  defp failed(state, what, reason) do
    {too_many?, failures} = Crashes.add(state.failures, @at_once, @within_ms)
    pause = if too_many?, do: @again_ms, else: 0
    report(state, what, reason, pause)
    later(%{state | failures: failures}, pause)
  end

  @spec later(t(), non_neg_integer()) :: t()
  defp later(state, ms) do
    Process.send_after(self(), :start, ms)
    state
  end

  @spec report(t(), String.t(), term(), non_neg_integer()) :: :ok
  defp report(%{group: group} = state, what, reason, pause) do
    reason = if is_binary(reason), do: reason, else: Exception.format_exit(reason)
    again = if pause == 0, do: "at once", else: "in #{pause} ms"

    error = %Error{
      code: :subscriber_failed,
      message:
        "#{inspect(group.subscriber)}: #{what}: #{reason}. It is started again #{again}, and gets what is " <>
          "not acknowledged",
      retryable?: true,
      topic: state.topic,
      partition: state.partition
    }

    Logger.error("Kafka consumer of #{inspect(group.context.name)}: " <> Exception.message(error))
    Telemetry.emit({:error, error}, group.context)
  end

  @spec finish(pid() | nil, timeout :: non_neg_integer()) :: :ok
  defp finish(nil, _timeout), do: :ok

  defp finish(pid, timeout) do
    monitor = Process.monitor(pid)
    if timeout > 0, do: stop(pid, timeout), else: Process.exit(pid, :shutdown)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    after
      @end_ms ->
        Process.exit(pid, :kill)
        :ok
    end
  end

  @spec stop(pid(), non_neg_integer()) :: :ok
  defp stop(pid, timeout) do
    GenServer.stop(pid, :shutdown, timeout)
  catch
    # It has ended, or has to be ended.
    :exit, _ -> Process.exit(pid, :shutdown)
  end
end
