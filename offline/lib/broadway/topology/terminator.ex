defmodule Broadway.Topology.Terminator do
  @moduledoc false
  # Drains on stop. It traps exits only once armed: when it is stopped because a stage before it
  # crashed, there is nothing to drain.

  use GenServer

  def start_link(stages, name), do: GenServer.start_link(__MODULE__, stages, name: name)

  def arm(terminator) do
    GenServer.call(terminator, :arm)
  catch
    :exit, _already_down -> :ok
  end

  @impl GenServer
  def init(stages), do: {:ok, stages}

  @impl GenServer
  def handle_call(:arm, _from, stages) do
    Process.flag(:trap_exit, true)
    {:reply, :ok, stages}
  end

  @impl GenServer
  def handle_info(_message, stages), do: {:noreply, stages}

  @impl GenServer
  def terminate(_reason, {producers, processors, last}) do
    for pid <- alive(processors), do: send(pid, :will_terminate)
    for pid <- alive(producers), do: GenStage.Server.drain(pid)

    for pid <- alive(last) do
      monitor = Process.monitor(pid)

      receive do
        {:done, ^pid} -> :ok
        {:DOWN, ^monitor, _, _, _} -> :ok
      end
    end
  end

  defp alive(names), do: for(name <- names, pid = Process.whereis(name), do: pid)
end
