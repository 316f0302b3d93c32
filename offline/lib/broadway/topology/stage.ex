defmodule Broadway.Topology.Stage do
  @moduledoc false
  # The process of every stage, also of the user's producer, which is the stage that is subscribed to
  # none. What comes in waits in the inbox while no one wants what would go out. The casts are what
  # stages tell one another.

  use GenServer

  alias Broadway.Topology.Dispatcher
  alias __MODULE__

  @enforce_keys [:name, :module, :arg]
  defstruct @enforce_keys ++
              [:state, :partition, subscribe_to: [], resubscribe_interval: 100] ++
              [max_demand: 1, min_demand: 0, out: %Dispatcher{}] ++
              [upstreams: %{}, inbox: [], owed: 0, draining?: false]

  @type t :: %__MODULE__{}

  @doc "Whether no stage comes after it."
  @spec last?(t()) :: boolean()
  def last?(stage), do: stage.out.partitions == %{}

  @impl GenServer
  def init(%Stage{module: module} = stage) do
    {_kind, state} = module.init(stage.arg)
    # A stop lets a stage finish what it has in hand; a producer decides for itself.
    if stage.subscribe_to != [], do: Process.flag(:trap_exit, true)
    {:ok, Enum.reduce(stage.subscribe_to, %{stage | state: state}, &subscribe/2)}
  end

  @impl GenServer
  def handle_call(request, from, stage), do: callback(:handle_call, [request, from], stage)

  @impl GenServer
  def handle_cast({:subscribe_to, name}, stage), do: {:noreply, subscribe(name, stage)}

  def handle_cast({:subscribe, partition, {pid, _} = consumer, demand}, stage) do
    :erlang.monitor(:process, pid, tag: {:consumer_down, partition})
    feed(%{stage | out: Dispatcher.subscribe(stage.out, partition, consumer, demand)})
  end

  def handle_cast({:ask, partition, consumer, count}, stage),
    do: feed(%{stage | out: Dispatcher.ask(stage.out, partition, consumer, count)})

  def handle_cast({:from, ref, events_or_end}, stage),
    do: {:noreply, work(%{stage | inbox: stage.inbox ++ [{ref, events_or_end}]})}

  def handle_cast({:emit, events}, stage), do: {:noreply, emit(events, stage)}
  def handle_cast(:drain, stage), do: {:noreply, finish(%{stage | draining?: true})}

  @impl GenServer
  def handle_info({:DOWN, ref, _, _, _}, stage) when is_map_key(stage.upstreams, ref),
    do: handle_cast({:from, ref, :end}, stage)

  def handle_info({{:consumer_down, partition}, _, _, pid, _}, stage),
    do: feed(%{stage | out: Dispatcher.cancel(stage.out, partition, pid)})

  def handle_info(message, stage), do: optional(:handle_info, [message], stage)

  defp subscribe(_name, %{draining?: true} = stage), do: stage

  defp subscribe(name, stage) do
    if pid = Process.whereis(name) do
      ref = Process.monitor(pid)
      GenServer.cast(pid, {:subscribe, stage.partition, {self(), ref}, stage.max_demand})
      put_in(stage.upstreams[ref], %{name: name, pid: pid, handled: 0})
    else
      again = [self(), {:subscribe_to, name}]
      {:ok, _} = :timer.apply_after(stage.resubscribe_interval, GenServer, :cast, again)
      stage
    end
  end

  # A producer is asked for what is wanted and not owed already.
  defp feed(%{subscribe_to: []} = stage) do
    demand = max(Dispatcher.wanted(stage.out) - stage.owed, 0)
    stage = %{stage | owed: stage.owed + demand}
    if demand > 0, do: callback(:handle_demand, [demand], stage), else: {:noreply, stage}
  end

  defp feed(stage), do: {:noreply, work(stage)}

  defp work(%{inbox: []} = stage), do: stage

  defp work(%{inbox: [{ref, events_or_end} | inbox]} = stage) do
    if last?(stage) or Dispatcher.wanted(stage.out) > 0,
      do: ref |> take(events_or_end, %{stage | inbox: inbox}) |> work(),
      else: stage
  end

  defp take(ref, :end, stage) do
    case pop_in(stage.upstreams[ref]) do
      {nil, stage} -> stage
      {_, %{draining?: true} = stage} -> finish(stage)
      {%{name: name}, stage} -> subscribe(name, stage)
    end
  end

  # Asks again whenever what was asked for is down to min_demand.
  defp take(ref, events, %{max_demand: max, min_demand: min} = stage) do
    for chunk <- Enum.chunk_every(events, max - min), reduce: stage do
      stage ->
        %{pid: pid, handled: handled} = stage.upstreams[ref]
        {:noreply, stage} = callback(:handle_events, [chunk, {pid, ref}], stage)
        handled = handled + length(chunk)
        ask? = handled >= max - min
        if ask?, do: GenServer.cast(pid, {:ask, stage.partition, {self(), ref}, handled})
        put_in(stage.upstreams[ref].handled, if(ask?, do: 0, else: handled))
    end
  end

  # When nothing more will come in, the rest goes out; then the last stages end.
  defp finish(%{upstreams: upstreams} = stage) when upstreams == %{} do
    {:noreply, stage} = optional(:prepare_for_draining, [], stage)
    if last?(stage), do: exit(:normal)
    %{stage | out: Dispatcher.close(stage.out)}
  end

  defp finish(stage), do: stage

  defp optional(name, args, stage) do
    if function_exported?(stage.module, name, length(args) + 1),
      do: callback(name, args, stage),
      else: {:noreply, stage}
  end

  defp callback(name, args, stage) do
    case apply(stage.module, name, args ++ [stage.state]) do
      {:noreply, events, state} -> {:noreply, emit(events, %{stage | state: state})}
      {:reply, reply, events, state} -> {:reply, reply, emit(events, %{stage | state: state})}
    end
  end

  defp emit(events, stage) do
    owed = max(stage.owed - length(events), 0)
    %{stage | out: Dispatcher.emit(stage.out, events), owed: owed}
  end
end
