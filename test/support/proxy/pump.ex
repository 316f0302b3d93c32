defmodule OffBroadwayRustKafka.Proxy.Pump do
  @moduledoc false
  # One direction of a connection through a proxy: chunks that come in at one socket wait in a queue
  # until it is time to send them from the other. Each direction is a process, so that a peer that
  # does not read holds up only what is meant for it; when one ends, so does the other.

  alias OffBroadwayRustKafka.Proxy.Faults

  @enforce_keys [:from, :to, :table, :number, :back?, :rand, :free_at]
  defstruct [
    :from,
    :to,
    :table,
    :number,
    :back?,
    :rand,
    :free_at,
    queue: :queue.new(),
    reading?: false
  ]

  @typep t :: %__MODULE__{
           from: :gen_tcp.socket(),
           to: :gen_tcp.socket(),
           table: :ets.table(),
           number: non_neg_integer(),
           back?: boolean(),
           rand: :rand.state(),
           queue: :queue.queue({due_us :: integer(), chunk :: binary() | :closed}),
           free_at: us :: integer(),
           reading?: boolean()
         }

  @connect [:binary, :inet, active: false, nodelay: true, buffer: 16_384]
  @connect_ms 5_000

  @doc "Connects a client to a port, and pumps both ways until one of the two is gone."
  @spec start_link(
          :gen_tcp.socket(),
          :inet.port_number(),
          :ets.table(),
          {seed :: integer(), connection :: integer()}
        ) :: pid()
  def start_link(client, port, table, {seed, connection}) do
    own(client, fn ->
      if faults(table).half_open, do: swallow(client)

      case :gen_tcp.connect({127, 0, 0, 1}, port, @connect, @connect_ms) do
        {:ok, server} ->
          back = new(server, client, table, {seed, connection, 1})
          own(server, fn -> run(back) end)
          run(new(client, server, table, {seed, connection, 0}))

        {:error, reason} ->
          exit(reason)
      end
    end)
  end

  # A process that has the socket before it begins.
  @spec own(:gen_tcp.socket(), (() -> no_return())) :: pid()
  defp own(socket, run) do
    pid =
      spawn_link(fn ->
        receive do
          :owner -> run.()
        end
      end)

    # It is the owner who finds out that the peer is gone already.
    _ = :gen_tcp.controlling_process(socket, pid)
    send(pid, :owner)
    pid
  end

  @spec new(:gen_tcp.socket(), :gen_tcp.socket(), :ets.table(), {integer(), integer(), integer()}) ::
          t()
  defp new(from, to, table, {_, number, direction} = seed) do
    %__MODULE__{
      from: from,
      to: to,
      table: table,
      number: number,
      back?: direction == 1,
      rand: :rand.seed_s(:exsss, seed),
      free_at: now()
    }
  end

  @spec run(t()) :: no_return()
  defp run(pump) do
    pump = pump |> send_due() |> read()
    from = pump.from

    receive do
      {:tcp, ^from, chunk} -> run(take(%__MODULE__{pump | reading?: false}, chunk))
      {:tcp_closed, ^from} -> run(take(pump, :closed))
    after
      idle_ms(pump) -> run(pump)
    end
  end

  @spec take(t(), binary() | :closed) :: t()
  defp take(pump, chunk) do
    faults = faults(pump.table)
    {chance, rand} = :rand.uniform_s(pump.rand)
    pump = %__MODULE__{pump | rand: rand}

    cond do
      half_open?(pump, faults) -> pump
      chance < faults.reset -> reset(pump)
      true -> enqueue(pump, chunk, faults)
    end
  end

  @spec half_open?(t(), Faults.t()) :: boolean()
  defp half_open?(pump, faults), do: faults.half_open or pump.number < faults.forgotten

  @spec enqueue(t(), binary() | :closed, Faults.t()) :: t()
  defp enqueue(pump, chunk, faults) do
    free_at = max(pump.free_at, now()) + wire_us(chunk, faults.bandwidth)
    queue = :queue.in({free_at + latency_ms(pump, faults) * 1_000, chunk}, pump.queue)
    %__MODULE__{pump | queue: queue, free_at: free_at}
  end

  @spec latency_ms(t(), Faults.t()) :: non_neg_integer()
  defp latency_ms(%__MODULE__{back?: true}, faults), do: faults.latency + faults.answers
  defp latency_ms(_there, faults), do: faults.latency

  @spec wire_us(binary() | :closed, pos_integer() | nil) :: non_neg_integer()
  defp wire_us(chunk, bandwidth) when is_binary(chunk) and is_integer(bandwidth),
    do: div(byte_size(chunk) * 1_000_000, bandwidth)

  defp wire_us(_chunk, _bandwidth), do: 0

  # A later chunk may be due sooner, once a fault is over: it does not overtake.
  @spec send_due(t()) :: t()
  defp send_due(pump) do
    now = now()

    case :queue.peek(pump.queue) do
      {:value, {due, chunk}} when due <= now ->
        if not half_open?(pump, faults(pump.table)), do: pass_on(pump.to, chunk)
        send_due(%__MODULE__{pump | queue: :queue.drop(pump.queue)})

      _empty_or_later ->
        pump
    end
  end

  @spec pass_on(:gen_tcp.socket(), binary() | :closed) :: :ok
  defp pass_on(_to, :closed), do: exit(:closed)

  defp pass_on(to, chunk) do
    with {:error, reason} <- :gen_tcp.send(to, chunk), do: exit(reason)
  end

  # No faster than may be sent: what the bandwidth does not take must wait where it is.
  @spec read(t()) :: t()
  defp read(%__MODULE__{reading?: true} = pump), do: pump

  defp read(pump) do
    if pump.free_at <= now() do
      # An error comes as a message as well.
      _ = :inet.setopts(pump.from, active: :once)
      %__MODULE__{pump | reading?: true}
    else
      pump
    end
  end

  @spec idle_ms(t()) :: timeout()
  defp idle_ms(pump) do
    due =
      case :queue.peek(pump.queue) do
        {:value, {due, _chunk}} -> [due]
        :empty -> []
      end

    case if(pump.reading?, do: due, else: [pump.free_at | due]) do
      [] -> :infinity
      times -> max(div(Enum.min(times) - now() + 999, 1_000), 0)
    end
  end

  # With nothing to linger for, closing is a reset.
  @spec reset(t()) :: no_return()
  defp reset(pump) do
    for socket <- [pump.from, pump.to] do
      _ = :inet.setopts(socket, linger: {true, 0})
      :gen_tcp.close(socket)
    end

    exit(:reset)
  end

  @spec swallow(:gen_tcp.socket()) :: no_return()
  defp swallow(socket) do
    _ = :inet.setopts(socket, active: true)

    receive do
      {:tcp, ^socket, _chunk} -> swallow(socket)
    end
  end

  @spec faults(:ets.table()) :: Faults.t()
  defp faults(table), do: :ets.lookup_element(table, :faults, 2)

  @spec now() :: us :: integer()
  defp now, do: System.monotonic_time(:microsecond)
end
