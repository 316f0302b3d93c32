defmodule OffBroadwayRustKafka.Proxy do
  @moduledoc false
  # A TCP proxy on loopback that does harm to what passes through it. Written here because
  # toxiproxy would bring a second toolchain to every machine that runs the tests.
  #
  # Faults add up, and last until `restore/1`.

  use GenServer

  alias OffBroadwayRustKafka.Proxy.Pump

  @type t :: GenServer.server()

  @listen [:binary, :inet, ip: {127, 0, 0, 1}, active: false, nodelay: true, reuseaddr: true] ++
            [backlog: 128, buffer: 16_384]

  defmodule Faults do
    @moduledoc false
    # What is wrong now. Pumps look at it for every chunk.

    defstruct latency: 0, answers: 0, reset: 0.0, bandwidth: nil, half_open: false, forgotten: 0

    @type t :: %__MODULE__{
            latency: ms :: non_neg_integer(),
            answers: later_by_ms :: non_neg_integer(),
            reset: probability :: float(),
            bandwidth: (bytes_per_second :: pos_integer()) | nil,
            half_open: boolean(),
            forgotten: connections :: non_neg_integer()
          }
  end

  defmodule State do
    @moduledoc false
    # Without a listener it is cut.

    alias OffBroadwayRustKafka.Proxy.Faults

    @enforce_keys [:listener, :port, :to, :seed, :table]
    defstruct [:listener, :port, :to, :seed, :table, faults: %Faults{}, accepted: 0, open: []]

    @type t :: %__MODULE__{
            listener: :gen_tcp.socket() | nil,
            port: :inet.port_number(),
            to: :inet.port_number(),
            seed: integer(),
            table: :ets.table(),
            faults: Faults.t(),
            accepted: non_neg_integer(),
            open: [pid()]
          }
  end

  @doc """
  Starts a proxy to the port `:to`.

  `:at` is its own port (a free one), `:seed` what chance begins with (0).
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options) do
    options = Keyword.validate!(options, [:to, at: 0, seed: 0])
    GenServer.start_link(__MODULE__, options)
  end

  @spec port(t()) :: :inet.port_number()
  def port(proxy), do: GenServer.call(proxy, :port)

  @doc "How many connections it has taken so far."
  @spec accepted(t()) :: non_neg_integer()
  def accepted(proxy), do: GenServer.call(proxy, :accepted)

  @doc "Closes all connections and refuses new ones."
  @spec cut(t()) :: :ok
  def cut(proxy), do: GenServer.call(proxy, :cut)

  @doc "Takes what is sent, and new connections, passes nothing on and closes nothing."
  @spec half_open(t()) :: :ok
  def half_open(proxy), do: fault(proxy, half_open: true)

  @doc """
  Passes nothing more on for the connections there are, and closes none: as a firewall does that lost
  its table. New ones work.
  """
  @spec forget(t()) :: :ok
  def forget(proxy), do: GenServer.call(proxy, :forget)

  @doc "Passes everything on so much later, in each direction."
  @spec latency(t(), ms :: non_neg_integer()) :: :ok
  def latency(proxy, ms), do: fault(proxy, latency: ms)

  @doc "Passes on what comes back so much later, and nothing else."
  @spec late_answers(t(), ms :: non_neg_integer()) :: :ok
  def late_answers(proxy, ms), do: fault(proxy, answers: ms)

  @doc "Resets a connection instead of passing a chunk on, with this probability."
  @spec reset(t(), probability :: float()) :: :ok
  def reset(proxy, probability), do: fault(proxy, reset: probability)

  @doc "Passes on no more than so many bytes a second, on each connection in each direction."
  @spec bandwidth(t(), bytes_per_second :: pos_integer()) :: :ok
  def bandwidth(proxy, bytes), do: fault(proxy, bandwidth: bytes)

  @doc "Ends all faults. Connections that were half open know nothing of each other, and are closed."
  @spec restore(t()) :: :ok
  def restore(proxy), do: GenServer.call(proxy, :restore)

  @impl GenServer
  def init(options) do
    # So that connections end without harm to the proxy.
    Process.flag(:trap_exit, true)
    table = :ets.new(__MODULE__, read_concurrency: true)

    state = %State{
      listener: nil,
      port: options[:at],
      to: options[:to],
      seed: options[:seed],
      table: table
    }

    {:ok, state |> listen() |> put(%Faults{})}
  end

  @impl GenServer
  def handle_call(:port, _from, %State{} = state), do: {:reply, state.port, state}
  def handle_call(:accepted, _from, %State{} = state), do: {:reply, state.accepted, state}
  def handle_call(:cut, _from, %State{} = state), do: {:reply, :ok, state |> deafen() |> close()}

  def handle_call(:restore, _from, %State{} = state) do
    state = if half_open?(state.faults), do: close(state), else: state
    {:reply, :ok, state |> put(%Faults{}) |> listen()}
  end

  def handle_call(:forget, _from, %State{} = state),
    do: {:reply, :ok, put(state, %Faults{state.faults | forgotten: state.accepted})}

  def handle_call({:fault, fault}, _from, %State{} = state),
    do: {:reply, :ok, put(state, struct!(state.faults, fault))}

  @impl GenServer
  def handle_info({:accepted, socket}, %State{listener: nil} = state) do
    :gen_tcp.close(socket)
    {:noreply, state}
  end

  def handle_info({:accepted, socket}, %State{} = state) do
    pump = Pump.start_link(socket, state.to, state.table, {state.seed, state.accepted})
    {:noreply, %State{state | accepted: state.accepted + 1, open: [pump | state.open]}}
  end

  def handle_info({:EXIT, pid, _reason}, %State{} = state),
    do: {:noreply, %State{state | open: List.delete(state.open, pid)}}

  @impl GenServer
  def terminate(_reason, %State{} = state), do: close(state)

  @spec fault(t(), keyword()) :: :ok
  defp fault(proxy, fault), do: GenServer.call(proxy, {:fault, fault})

  @spec half_open?(Faults.t()) :: boolean()
  defp half_open?(faults), do: faults.half_open or faults.forgotten > 0

  @spec put(State.t(), Faults.t()) :: State.t()
  defp put(state, faults) do
    true = :ets.insert(state.table, {:faults, faults})
    %State{state | faults: faults}
  end

  @spec listen(State.t()) :: State.t()
  defp listen(%State{listener: nil} = state) do
    {:ok, listener} = :gen_tcp.listen(state.port, @listen)
    {:ok, port} = :inet.port(listener)
    proxy = self()
    spawn_link(fn -> accept(listener, proxy) end)
    %State{state | listener: listener, port: port}
  end

  defp listen(state), do: state

  @spec deafen(State.t()) :: State.t()
  defp deafen(%State{listener: nil} = state), do: state

  defp deafen(state) do
    :ok = :gen_tcp.close(state.listener)
    %State{state | listener: nil}
  end

  @spec close(State.t()) :: State.t()
  defp close(state) do
    for pump <- state.open do
      Process.exit(pump, :kill)

      receive do
        {:EXIT, ^pump, _reason} -> :ok
      end
    end

    %State{state | open: []}
  end

  @spec accept(:gen_tcp.socket(), pid()) :: :ok
  defp accept(listener, proxy) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        # Where the client is gone already, it is the pump that finds out.
        _ = :gen_tcp.controlling_process(socket, proxy)
        send(proxy, {:accepted, socket})
        accept(listener, proxy)

      {:error, :closed} ->
        :ok
    end
  end
end
