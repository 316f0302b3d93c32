defmodule GenStage.Process do
  @moduledoc false
  # A producer or a consumer by itself.

  use GenServer

  defstruct [:module, :state, :type, :dispatcher, consumers: %{}, producers: %{}]

  @impl GenServer
  def init({module, arg}) do
    case module.init(arg) do
      {:stop, reason} -> {:stop, reason}
      {type, state} -> begin(%__MODULE__{module: module, type: type, state: state}, [])
      {type, state, opts} -> begin(%__MODULE__{module: module, type: type, state: state}, opts)
    end
  end

  defp begin(%{type: :producer} = stage, opts) do
    {module, options} = Keyword.fetch!(opts, :dispatcher)
    {:ok, state} = module.init(options)
    {:ok, %{stage | dispatcher: {module, state}}}
  end

  defp begin(stage, opts) do
    to = for to <- opts[:subscribe_to] || [], do: if(is_tuple(to), do: to, else: {to, []})

    {:ok,
     Enum.reduce(to, stage, fn {to, opts}, stage -> to |> subscribe(opts, stage) |> elem(1) end)}
  end

  @impl GenServer
  def handle_call({:"$subscribe", {to, opts}}, _from, stage) do
    {ref, stage} = subscribe(to, opts, stage)
    {:reply, {:ok, ref}, stage}
  end

  def handle_call(request, from, stage), do: callback(:handle_call, [request, from], stage)

  @impl GenServer
  def handle_info({:"$gen_producer", {pid, ref} = from, {:subscribe, nil, opts}}, stage) do
    stage = put_in(stage.consumers[ref], {pid, Process.monitor(pid)})
    {_, stage} = subscribed(:consumer, opts, from, stage)
    dispatcher(:subscribe, [opts, from], stage)
  end

  def handle_info({:"$gen_producer", {_, ref} = from, {:ask, count}}, stage)
      when is_map_key(stage.consumers, ref),
      do: dispatcher(:ask, [count, from], stage)

  def handle_info({:"$gen_producer", {_, ref}, {:cancel, reason}}, stage),
    do: consumer_gone(ref, {:cancel, reason}, stage)

  def handle_info({:"$gen_consumer", {_, ref} = from, events}, stage)
      when is_list(events) and is_map_key(stage.producers, ref) do
    %{max: max, min: min} = stage.producers[ref]
    events |> Enum.chunk_every(max(max - min, 1)) |> handle_events(from, stage)
  end

  def handle_info({:"$gen_consumer", {_, ref}, {:cancel, reason}}, stage),
    do: producer_gone(ref, {:cancel, reason}, stage)

  def handle_info({:DOWN, ref, _, _, reason}, stage) when is_map_key(stage.producers, ref),
    do: producer_gone(ref, {:down, reason}, stage)

  def handle_info({:DOWN, monitor, _, _, reason} = message, stage) do
    case Enum.find(stage.consumers, fn {_, {_, theirs}} -> theirs == monitor end) do
      {ref, _} -> consumer_gone(ref, {:down, reason}, stage)
      nil -> callback(:handle_info, [message], stage)
    end
  end

  def handle_info(message, stage), do: callback(:handle_info, [message], stage)

  @impl GenServer
  def terminate(reason, %{module: module, state: state}) do
    if function_exported?(module, :terminate, 2), do: module.terminate(reason, state)
  end

  defp subscribe(to, opts, stage) do
    pid = GenServer.whereis(to)
    ref = Process.monitor(pid)
    send(pid, {:"$gen_producer", {self(), ref}, {:subscribe, nil, opts}})
    max = opts[:max_demand] || 1_000
    {mode, stage} = subscribed(:producer, opts, {pid, ref}, stage)
    if mode == :automatic, do: GenStage.ask({pid, ref}, max)
    min = opts[:min_demand] || div(max, 2)
    cancel = opts[:cancel] || :permanent
    producer = %{pid: pid, max: max, min: min, mode: mode, cancel: cancel}
    {ref, put_in(stage.producers[ref], producer)}
  end

  defp subscribed(kind, opts, from, %{module: module} = stage) do
    if function_exported?(module, :handle_subscribe, 4) do
      {mode, state} = module.handle_subscribe(kind, opts, from, stage.state)
      {mode, %{stage | state: state}}
    else
      {:automatic, stage}
    end
  end

  # Asks for as many as were handled, each time that a part of them was.
  defp handle_events([], _from, stage), do: {:noreply, stage}

  defp handle_events([events | rest], {_, ref} = from, stage) do
    with {:noreply, stage} <- callback(:handle_events, [events, from], stage) do
      if stage.producers[ref][:mode] == :automatic, do: GenStage.ask(from, length(events))
      handle_events(rest, from, stage)
    end
  end

  defp consumer_gone(ref, why, stage) do
    case pop_in(stage.consumers[ref]) do
      {nil, stage} ->
        {:noreply, stage}

      {{pid, monitor}, stage} ->
        Process.demonitor(monitor, [:flush])
        send(pid, {:"$gen_consumer", {self(), ref}, {:cancel, elem(why, 1)}})

        with {:noreply, stage} <- cancelled(why, {pid, ref}, stage),
             do: dispatcher(:cancel, [{pid, ref}], stage)
    end
  end

  defp producer_gone(ref, {_, reason} = why, stage) do
    case pop_in(stage.producers[ref]) do
      {nil, stage} ->
        {:noreply, stage}

      {%{pid: pid, cancel: cancel}, stage} ->
        Process.demonitor(ref, [:flush])

        with {:noreply, stage} <- cancelled(why, {pid, ref}, stage) do
          if cancel == :permanent, do: {:stop, reason, stage}, else: {:noreply, stage}
        end
    end
  end

  defp cancelled(why, from, stage) do
    if function_exported?(stage.module, :handle_cancel, 3),
      do: callback(:handle_cancel, [why, from], stage),
      else: {:noreply, stage}
  end

  defp dispatcher(name, args, %{dispatcher: {module, state}} = stage) do
    {:ok, count, state} = apply(module, name, args ++ [state])
    stage = %{stage | dispatcher: {module, state}}
    if count > 0, do: callback(:handle_demand, [count], stage), else: {:noreply, stage}
  end

  defp callback(name, args, %{module: module} = stage) do
    if name == :handle_info and not function_exported?(module, :handle_info, 2),
      do: {:noreply, stage},
      else: module |> apply(name, args ++ [stage.state]) |> returned(stage)
  end

  defp returned({:noreply, events, state}, stage), do: {:noreply, emit(events, stage, state)}
  defp returned({:reply, it, events, state}, stage), do: {:reply, it, emit(events, stage, state)}
  defp returned({:stop, reason, state}, stage), do: {:stop, reason, %{stage | state: state}}

  defp emit([], stage, state), do: %{stage | state: state}

  defp emit(events, %{dispatcher: {module, dispatcher}} = stage, state) do
    {:ok, [], dispatcher} = module.dispatch(events, length(events), dispatcher)
    %{stage | state: state, dispatcher: {module, dispatcher}}
  end
end
