defmodule Broadway.Topology do
  @moduledoc false
  # The process that carries the pipeline's name. Under its supervisor, in this order: the producer's
  # own children, the producers, and the stages after them, which restart together. On a stop the
  # pipeline drains while all of them are alive.

  use GenServer

  alias Broadway.Options
  alias Broadway.Topology.{Layout, Stage}

  @spec producer_names(atom()) :: [atom()]
  def producer_names(name),
    do: :persistent_term.get({__MODULE__, name}, nil) || exit({:noproc, {__MODULE__, name}})

  @spec all_running() :: [atom()]
  def all_running do
    for {{__MODULE__, name}, _} <- :persistent_term.get(), GenServer.whereis(name), do: name
  end

  @impl GenServer
  def init({module, opts}) do
    Process.flag(:trap_exit, true)
    {producer, _} = opts[:producer][:module]
    {children, opts} = producer.prepare_for_start(module, opts)
    opts = Options.validate!(opts)
    producers = Layout.producers(opts)
    consumers = Layout.consumers(module, opts)
    limits = Keyword.take(opts, [:max_restarts, :max_seconds])

    stages = [
      supervisor(:producers, producers, [strategy: :one_for_one] ++ limits, opts),
      supervisor(:consumers, consumers, [strategy: :one_for_all, max_restarts: 0], opts)
    ]

    supervision = [name: :"#{opts[:name]}.Broadway.Supervisor", strategy: :rest_for_one] ++ limits
    {:ok, supervisor} = Supervisor.start_link(children ++ stages, supervision)

    :persistent_term.put({__MODULE__, opts[:name]}, Enum.map(producers, & &1.name))
    {:ok, %{opts: opts, supervisor: supervisor, stages: producers ++ consumers}}
  end

  @impl GenServer
  def handle_info({:EXIT, pid, reason}, %{supervisor: pid} = state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, %{opts: opts, supervisor: supervisor, stages: stages}) do
    drain = Task.async(fn -> drain(stages) end)
    Task.yield(drain, opts[:shutdown]) || Task.shutdown(drain, :brutal_kill)
    monitor = Process.monitor(supervisor)
    Process.exit(supervisor, :shutdown)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :persistent_term.erase({__MODULE__, opts[:name]})
    end
  end

  defp supervisor(id, stages, supervision, opts) do
    children =
      for stage <- stages do
        start = {GenServer, :start_link, [Stage, stage, [name: stage.name]]}
        %{id: stage.name, start: start, restart: :transient, shutdown: opts[:shutdown]}
      end

    %{id: id, type: :supervisor, start: {Supervisor, :start_link, [children, supervision]}}
  end

  # The producers are told last, so that every stage knows what the end of its producers means.
  defp drain(stages) do
    monitors = for stage <- stages, Stage.last?(stage), do: Process.monitor(stage.name)
    for stage <- Enum.reverse(stages), do: GenServer.cast(stage.name, :drain)

    for monitor <- monitors do
      receive do
        {:DOWN, ^monitor, _, _, _} -> :ok
      end
    end
  end
end
