defmodule OffBroadwayRustKafka.Consumer do
  @moduledoc false
  # Owner of the group member in Rust: starts it, hears its events, closes it last.
  #
  # It is a child of the pipeline, started before the producers and stopped after the last stage
  # has acked. Producers and `partition_by` find the member in a table of the pipeline's own
  # process, not by a name: a pipeline's name need not be an atom, and the table ends with it.

  use GenServer

  alias OffBroadwayRustKafka.{Error, Log, Native, Telemetry}

  # How long the final commit and the leaving of the group may take at most; how far they may go beyond
  # Broadway's own :shutdown, which counts from when the pipeline began to drain; and how long past
  # that the answer may be under way.
  @close_ms 10_000
  @beyond_ms 1_500
  @grace_ms 400

  @unheard {:timed_out, "close: it goes on in the background", false, false, nil, nil}

  # After what is fatal and may pass we start again, no more often than Broadway's supervisor bears.
  @again_ms 5_000

  @enforce_keys [:consumer, :context, :log, :on_unacked, :table, :shutdown_ms]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          consumer: Native.consumer(),
          context: %{name: term(), group_id: String.t()},
          log: Log.t(),
          on_unacked: :report | :redeliver | :stop,
          table: table(),
          shutdown_ms: pos_integer()
        }

  @type table :: :ets.tid()

  # The configuration holds secrets. A closure shows none in a crash report or a state.
  @type arg :: %{
          table: table(),
          name: term(),
          group_id: String.t(),
          on_unacked: :report | :redeliver | :stop,
          shutdown_ms: pos_integer(),
          config: (() -> Native.config())
        }

  @spec new_table() :: table()
  def new_table, do: :ets.new(__MODULE__, [:public, read_concurrency: true])

  @spec fetch(table()) :: {:ok, Native.consumer()} | :error
  def fetch(table) do
    case :ets.lookup(table, :consumer) do
      [{:consumer, consumer}] -> {:ok, consumer}
      [] -> :error
    end
  end

  @doc "Says that the pipeline has begun to drain. Those that say so later change nothing."
  @spec draining(table()) :: :ok
  def draining(table) do
    :ets.insert_new(table, {:draining, System.monotonic_time(:millisecond)})
    :ok
  end

  @spec child_spec(arg()) :: Supervisor.child_spec()
  def child_spec(arg) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [arg]},
      shutdown: @close_ms + 2 * @grace_ms
    }
  end

  @spec start_link(arg()) :: GenServer.on_start()
  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)

  @impl GenServer
  def init(%{table: table, name: name, config: config} = arg) do
    Process.flag(:trap_exit, true)

    case start(config) do
      {:ok, consumer} ->
        :ets.insert(table, {:consumer, consumer})

        {:ok,
         %__MODULE__{
           consumer: consumer,
           context: Map.take(arg, [:name, :group_id]),
           log: Log.new(name),
           on_unacked: arg.on_unacked,
           table: table,
           shutdown_ms: arg.shutdown_ms
         }}

      {:error, error} ->
        {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_info({:off_broadway_rust_kafka, {:closed, result} = event}, state) do
    state = heard(event, state)

    case result do
      :ok -> {:stop, :closed, state}
      {:error, error} -> {:stop, Error.from_native(error), state}
    end
  end

  def handle_info({:off_broadway_rust_kafka, {:stalled, stalled} = event}, state) do
    state = heard(event, state)

    case state.on_unacked do
      :report -> {:noreply, state}
      :redeliver -> {:noreply, redeliver(stalled, state)}
      :stop -> {:stop, unacked(stalled), state}
    end
  end

  def handle_info({:off_broadway_rust_kafka, {:error, error} = event}, state) do
    case Error.from_native(error) do
      # Somebody else has our instance id: to come back would fence him, and he us in turn.
      %{fatal?: true, code: :fenced_instance_id} -> :ok
      %{fatal?: true} = error -> Process.send_after(self(), {__MODULE__, :stop, error}, @again_ms)
      _going_on -> :ok
    end

    {:noreply, heard(event, state)}
  end

  def handle_info({__MODULE__, :stop, error}, state), do: {:stop, error, state}
  def handle_info({:off_broadway_rust_kafka, event}, state), do: {:noreply, heard(event, state)}
  def handle_info(_other, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, state) do
    now = System.monotonic_time(:millisecond)
    timeout = close_ms(state, now)
    Native.close(state.consumer, timeout)
    await_closed(state, now + timeout + @grace_ms)
  end

  # Whoever stops a pipeline waits as long as Broadway's :shutdown says, not for a network.
  @spec close_ms(t(), now_ms :: integer()) :: pos_integer()
  defp close_ms(state, now) do
    left = state.shutdown_ms - (now - draining_since(state.table, now))
    min(max(left, 0) + @beyond_ms, @close_ms)
  end

  @spec draining_since(table(), default :: integer()) :: integer()
  defp draining_since(table, default) do
    case :ets.lookup(table, :draining) do
      [{:draining, since}] -> since
      [] -> default
    end
  rescue
    # The pipeline's own process was killed, and the table with it.
    ArgumentError -> default
  end

  # A consumer that is closed delivers no more, and says so by itself.
  @spec redeliver([Native.stalled()], t()) :: t()
  defp redeliver(stalled, state) do
    for {_, _, slot, _, _, _, _} <- stalled, do: Native.redeliver(state.consumer, slot)
    state
  end

  @spec unacked([Native.stalled()]) :: Error.t()
  defp unacked([{topic, partition, _, _, offset, _, age_ms} | _]) do
    %Error{
      code: :unacked_timeout,
      message: "offset #{offset} was not acknowledged within #{age_ms} ms",
      topic: topic,
      partition: partition
    }
  end

  # The last commit and the leaving of the group are events like all others.
  @spec await_closed(t(), deadline_ms :: integer()) :: :ok
  defp await_closed(state, deadline_ms) do
    receive do
      {:off_broadway_rust_kafka, {:closed, _} = event} ->
        heard(event, state)
        :ok

      {:off_broadway_rust_kafka, event} ->
        event |> heard(state) |> await_closed(deadline_ms)
    after
      max(deadline_ms - System.monotonic_time(:millisecond), 0) ->
        heard({:closed, {:error, @unheard}}, state)
        :ok
    end
  end

  # A NIF that raises leaves its arguments in the stacktrace, so only the reason is kept.
  @spec start((() -> Native.config())) :: {:ok, Native.consumer()} | {:error, Native.error()}
  defp start(config) do
    Native.start(config.())
  rescue
    error -> {:error, {:invalid_config, Exception.message(error), false, true, nil, nil}}
  end

  @spec heard(Native.event(), t()) :: t()
  defp heard(event, state) do
    Telemetry.emit(event, state.context)
    %{state | log: Log.write(state.log, event)}
  end
end
