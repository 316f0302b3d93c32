defmodule OffBroadwayRustKafka.Reader do
  @moduledoc false
  # The member behind a stream: hands records to the process that enumerates, and leaves the group when that
  # process is done, or gone.

  use GenServer, restart: :temporary

  alias OffBroadwayRustKafka.{Commits, Error, Native, Options, Pull, Record, Membership}

  @enforce_keys [:membership, :strategy]
  defstruct @enforce_keys ++ [:from, :idle]

  # How many records are taken at once, and wait to be asked for.
  @most 100

  @typep t :: %__MODULE__{
           membership: Membership.t(),
           strategy: Commits.strategy(),
           from: GenServer.from() | nil,
           idle: reference() | nil
         }

  @spec start(Options.t()) :: {:ok, pid()} | {:error, Error.t()}
  def start(options), do: GenServer.start(__MODULE__, {options, self()})

  @doc "Waits for records, unless none come for so long."
  @spec take(pid(), idle_ms :: timeout()) :: [Record.t(), ...] | :idle | {:error, Error.t()}
  def take(reader, idle_ms) do
    GenServer.call(reader, {:take, idle_ms}, :infinity)
  catch
    :exit, {%Error{} = error, _call} -> {:error, error}
    :exit, {{:shutdown, %Error{} = error}, _call} -> {:error, error}
    :exit, {reason, _call} -> {:error, %Error{code: :closed, message: inspect(reason)}}
  end

  @spec stop(pid()) :: :ok
  def stop(reader) do
    GenServer.stop(reader, :normal, Membership.stop_ms() + 1_000)
  catch
    :exit, _ -> :ok
  end

  @impl GenServer
  def init({options, owner}) do
    Process.monitor(owner)

    with {:ok, membership} <- Membership.start_link(options, self()),
         :ok <- Native.attach(membership.consumer, 0) do
      {:ok, %__MODULE__{membership: membership, strategy: options.commit_strategy}}
    else
      {:error, %Error{} = error} -> {:stop, error}
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call({:take, idle_ms}, from, state) do
    idle = if idle_ms != :infinity, do: :erlang.start_timer(idle_ms, self(), :idle)
    {:noreply, answer(%{state | from: from, idle: idle})}
  end

  @impl GenServer
  def handle_info({:off_broadway_rust_kafka, :wake}, state), do: {:noreply, answer(state)}

  def handle_info({:timeout, idle, :idle}, %{idle: idle, from: from} = state) when from != nil do
    GenServer.reply(from, :idle)
    {:noreply, %{state | from: nil}}
  end

  def handle_info({:DOWN, _ref, :process, _owner, _reason}, state), do: {:stop, :normal, state}

  def handle_info({:EXIT, owner, reason}, %{membership: %{owner: owner}} = state),
    do: {:stop, reason, state}

  def handle_info(_late_or_foreign, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, state), do: Membership.stop(state.membership)

  @spec answer(t()) :: t()
  defp answer(%{from: nil} = state), do: state

  defp answer(%{membership: %{consumer: consumer}} = state) do
    case Pull.take(consumer, 0, @most) do
      {:armed, 0, []} ->
        state

      {:more, 0, []} ->
        answer(state)

      {_, _count, runs} ->
        if state.idle, do: :erlang.cancel_timer(state.idle)
        GenServer.reply(state.from, Commits.records(runs, consumer, state.strategy))
        %{state | from: nil}
    end
  end
end
