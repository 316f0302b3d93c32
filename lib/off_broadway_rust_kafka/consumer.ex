defmodule OffBroadwayRustKafka.Consumer do
  @moduledoc false
  # Owner of the group member in Rust: starts it, hears its events, closes it last.
  #
  # It is a child of the pipeline, started before the producers and stopped after the last stage
  # has acked. Producers and `partition_by` find the member in a table of the pipeline's own
  # process, not by a name: a pipeline's name need not be an atom, and the table ends with it.

  use GenServer

  alias OffBroadwayRustKafka.{Credentials, Ending, Error, Log, Native, OnFatal}
  alias OffBroadwayRustKafka.{Periodic, Telemetry, Wishes}

  # How long the final commit and the leaving of the group may take at most; how far they may go beyond
  # Broadway's own :shutdown, which counts from when the pipeline began to drain; and how long past
  # that the answer may be under way.
  @close_ms 10_000
  @beyond_ms 1_500
  @grace_ms 400

  @unheard {:timed_out, "close: it goes on in the background", false, false, nil, nil}

  # After the member has ended we start again, no more often than Broadway's supervisor bears.
  @again_ms 5_000

  # Until a member that has too much to do is asked again.
  @busy_ms 50

  # What partitions' coming and going is told by.
  @lifecycle [:assigned, :kept, :revoking, :revoked, :lost]

  @enforce_keys [
    :consumer,
    :context,
    :credentials,
    :log,
    :on_fatal,
    :on_unacked,
    :periodic,
    :table,
    :shutdown_ms
  ]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          consumer: Native.consumer(),
          context: %{name: term(), group_id: String.t()},
          credentials: Credentials.t(),
          log: Log.t(),
          on_fatal: OnFatal.t(),
          on_unacked: :report | :redeliver | :stop,
          periodic: Periodic.t(),
          table: table(),
          shutdown_ms: pos_integer()
        }

  @type table :: :ets.tid()

  # The configuration holds secrets. A closure shows none in a crash report or a state.
  @type arg :: %{
          table: table(),
          name: term(),
          group_id: String.t(),
          offset_reset_policy: Native.policy(),
          credentials: Credentials.t(),
          on_fatal: OnFatal.choice(),
          on_unacked: :report | :redeliver | :stop,
          shutdown_ms: pos_integer(),
          telemetry_interval: pos_integer() | nil,
          config: (() -> Native.config())
        }

  @doc "To be called by the pipeline's own process, by which the table is found again."
  @spec new_table() :: table()
  def new_table do
    table = :ets.new(__MODULE__, [:public, read_concurrency: true])
    Process.put(__MODULE__, table)
    table
  end

  @doc "The table of the pipeline that this process is, however busy it is: it need not take a message."
  @spec table(pid()) :: {:ok, table()} | {:error, :no_process | :no_table}
  def table(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {__MODULE__, table} <- List.keyfind(dictionary, __MODULE__, 0) do
      {:ok, table}
    else
      nil -> if Process.alive?(pid), do: {:error, :no_table}, else: {:error, :no_process}
    end
  end

  @spec fetch(table()) :: {:ok, Native.consumer()} | :error
  def fetch(table), do: lookup(table, :consumer)

  @doc "Waits until an owner has heard what its member told before, if it is there so long."
  @spec settle(owner :: pid()) :: :ok
  def settle(owner) do
    GenServer.call(owner, :settle)
  catch
    # It starts again with what it heard.
    :exit, _reason -> :ok
  end

  @doc "The member, with the process that owns it."
  @spec owned(table()) :: {:ok, {Native.consumer(), pid()}} | :error
  def owned(table) do
    with {:ok, owner} <- lookup(table, :owner),
         true <- Process.alive?(owner),
         {:ok, consumer} <- lookup(table, :consumer) do
      {:ok, {consumer, owner}}
    else
      _gone -> :error
    end
  end

  @doc "The lanes of a pipeline that shares a member, or nil."
  @spec lanes(table()) :: Range.t() | nil
  def lanes(table) do
    case :ets.lookup(table, :lanes) do
      [{:lanes, lanes}] -> lanes
      [] -> nil
    end
  end

  @doc "What a pipeline that shares a member reads of it."
  @spec claim(table()) :: {:ok, Native.claim()} | :error
  def claim(table) do
    case :ets.lookup(table, :claim) do
      [{:claim, claim}] -> {:ok, claim}
      [] -> :error
    end
  end

  @doc "Has the calling process be sent `{OffBroadwayRustKafka.Consumer, event}` as partitions come and go."
  @spec listen(table()) :: true
  def listen(table), do: :ets.insert(table, {:listener, self()})

  @spec group_id(table()) :: {:ok, String.t()} | :error
  def group_id(table), do: lookup(table, :group_id)

  @doc "The statistics that the member gave last."
  @spec statistics(table()) :: {:ok, OffBroadwayRustKafka.statistics()} | :error
  def statistics(table), do: lookup(table, :statistics)

  @doc "Where a topic starts that has no policy of its own."
  @spec offset_reset_policy(table()) :: {:ok, Native.policy()} | :error
  def offset_reset_policy(table), do: lookup(table, :offset_reset_policy)

  # A pipeline that shares a member has the rest in the member's table.
  @spec lookup(table(), :consumer | :owner | :group_id | :offset_reset_policy | :statistics) ::
          {:ok, term()} | :error
  defp lookup(table, key) do
    case :ets.lookup(table, key) do
      [{^key, value}] -> {:ok, value}
      [] -> lookup_shared(table, key)
    end
  end

  @spec lookup_shared(table(), atom()) :: {:ok, term()} | :error
  defp lookup_shared(table, key) do
    case :ets.lookup(table, :member) do
      [{:member, members}] -> lookup(members, key)
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
    credentials = Credentials.see(arg.credentials)

    case start(config, table) do
      {:ok, consumer} ->
        # What the one before it said is not its own.
        :ets.delete(table, :statistics)
        own = arg |> Map.take([:group_id, :offset_reset_policy]) |> Map.to_list()
        :ets.insert(table, [consumer: consumer, owner: self()] ++ own)

        {:ok,
         %__MODULE__{
           consumer: consumer,
           context: Map.take(arg, [:name, :group_id]),
           credentials: credentials,
           log: Log.new(name),
           on_fatal: OnFatal.new(arg.on_fatal),
           on_unacked: arg.on_unacked,
           periodic: Periodic.new(arg.telemetry_interval, {__MODULE__, :tell}),
           table: table,
           shutdown_ms: arg.shutdown_ms
         }}

      {:error, error} ->
        {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:settle, _from, state), do: {:reply, :ok, state}

  @impl GenServer
  def handle_info({:off_broadway_rust_kafka, {:closed, result} = event}, state) do
    state = heard(event, state)

    case result do
      :ok -> {:stop, %Error{code: :closed, message: "the consumer is closed"}, state}
      {:error, error} -> {:stop, Error.from_native(error), state}
    end
  end

  def handle_info({:off_broadway_rust_kafka, {:stalled, stalled} = event}, state) do
    state = heard(event, state)

    case state.on_unacked do
      :report -> {:noreply, state}
      :redeliver -> {:noreply, redeliver(Enum.map(stalled, &elem(&1, 2)), state)}
      :stop -> {:stop, unacked(stalled), state}
    end
  end

  def handle_info({:off_broadway_rust_kafka, {:error, error} = event}, state),
    do: {:noreply, event |> heard(state) |> judge(error)}

  def handle_info({:off_broadway_rust_kafka, :token_wanted}, state) do
    Credentials.give_token(state.credentials, state.consumer)
    {:noreply, state}
  end

  def handle_info({:off_broadway_rust_kafka, {:statistics, json}}, state) do
    case Native.statistics(json) do
      {:ok, statistics} ->
        keep(statistics, state.table)
        {:noreply, heard({:statistics, statistics}, state)}

      {:error, message} ->
        {:noreply,
         heard({:error, {:bad_msg, "statistics: " <> message, true, false, nil, nil}}, state)}
    end
  end

  def handle_info({__MODULE__, :tell}, state) do
    periodic = Periodic.tell(state.periodic, state.consumer, state.context, {__MODULE__, :tell})
    {:noreply, %{state | periodic: periodic}}
  end

  def handle_info({:off_broadway_rust_kafka, {:commit_failed, error, _} = event}, state),
    do: {:noreply, event |> heard(state) |> judge(error)}

  def handle_info({__MODULE__, :redeliver, slots}, state), do: {:noreply, redeliver(slots, state)}
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

  @spec judge(t(), Native.error()) :: t()
  defp judge(state, {_, _, _, ended?, _, _} = native) do
    error = Error.from_native(native)
    {verdict, on_fatal} = OnFatal.judge(state.on_fatal, error, ended?)
    stop = {__MODULE__, :stop, error}
    Credentials.renew(state.credentials, error, state.consumer, stop)

    case verdict do
      :go_on -> :ok
      :start_again -> Process.send_after(self(), stop, @again_ms)
      {:stop, error} -> stop_pipeline(state, error)
    end

    %{state | on_fatal: on_fatal}
  end

  @spec stop_pipeline(t(), Error.t()) :: :ok
  defp stop_pipeline(state, error) do
    Log.stopping(state.log, error)
    Ending.pipeline(state.table, error)
  end

  # Whoever stops a pipeline waits as long as Broadway's :shutdown says, not for a network.
  @spec close_ms(t(), now_ms :: integer()) :: pos_integer()
  defp close_ms(state, now) do
    left = state.shutdown_ms - (now - draining_since(state.table, now))
    min(max(left, 0) + @beyond_ms, @close_ms)
  end

  @spec keep(OffBroadwayRustKafka.statistics(), table()) :: true
  defp keep(statistics, table) do
    :ets.insert(table, {:statistics, statistics})
  rescue
    # As in draining_since/2.
    ArgumentError -> true
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

  # A member that is busy is asked again. One that is closed delivers no more, and says so by itself.
  @spec redeliver([Native.slot()], t()) :: t()
  defp redeliver(slots, state) do
    with {:error, {:timed_out, _, _, _, _, _}} <- Native.redeliver(state.consumer, slots),
         do: Process.send_after(self(), {__MODULE__, :redeliver, slots}, @busy_ms)

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

      # Nobody looks at them any more.
      {:off_broadway_rust_kafka, {:statistics, _json}} ->
        await_closed(state, deadline_ms)

      {:off_broadway_rust_kafka, event} ->
        event |> heard(state) |> await_closed(deadline_ms)
    after
      max(deadline_ms - System.monotonic_time(:millisecond), 0) ->
        heard({:closed, {:error, @unheard}}, state)
        :ok
    end
  end

  # A NIF that raises leaves its arguments in the stacktrace, so only the reason is kept.
  @spec start((() -> Native.config()), table()) ::
          {:ok, Native.consumer()} | {:error, Native.error()}
  defp start(config, table) do
    config.() |> Wishes.config(table) |> Native.start()
  rescue
    error -> {:error, {:invalid_config, Exception.message(error), false, true, nil, nil}}
  end

  @spec heard(Native.event() | {:statistics, OffBroadwayRustKafka.statistics()}, t()) :: t()
  defp heard(event, state) do
    Wishes.hear(event, state.table)
    Telemetry.emit(event, state.context)
    tell_listener(event, state.table)
    %{state | log: Log.write(state.log, event)}
  end

  @spec tell_listener(tuple(), table()) :: term()
  defp tell_listener(event, table) when elem(event, 0) in @lifecycle do
    with [{:listener, pid}] <- :ets.lookup(table, :listener), do: send(pid, {__MODULE__, event})
  rescue
    # As in draining_since/2.
    ArgumentError -> :ok
  end

  defp tell_listener(_event, _table), do: :ok
end
