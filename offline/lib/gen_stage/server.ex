defmodule GenStage.Server do
  @moduledoc false
  # The process of a stage. Events, and what must not overtake them, wait in the inbox: a consumer
  # works it off at once, a producer-consumer while its own consumers want something.

  use GenServer

  alias GenStage.Dispatch

  defstruct [:mod, :state, :type, :out, inbox: :queue.new(), producers: %{}, consumers: %{}]

  @impl GenServer
  def init({mod, args, overrides}) do
    case mod.init(args) do
      {type, state} when type != :stop -> start(mod, type, state, overrides)
      {type, state, opts} -> start(mod, type, state, Keyword.merge(opts, overrides))
      other -> other
    end
  end

  defp start(mod, type, state, opts) do
    for {to, opts} <- opts[:subscribe_to] || [],
        do: GenStage.async_subscribe(self(), [to: to] ++ opts)

    out = Dispatch.new(opts[:dispatcher])
    {:ok, %__MODULE__{mod: mod, type: type, state: state, out: out}}
  end

  @doc "Lets a producer prepare, lets all it has emitted leave, then cancels its consumers."
  def drain(stage) do
    GenStage.cast(stage, {GenStage, :prepare_for_draining})
    GenStage.async_info(stage, {GenStage, :cancel_consumers})
  end

  @impl GenServer
  def handle_call({GenStage, {:emit, events}}, _from, stage),
    do: {:reply, :ok, emit(events, stage.state, stage)}

  def handle_call({GenStage, {:subscribe, opts}}, _from, stage) do
    with {:noreply, stage, ref} <- subscribe(opts, stage), do: {:reply, {:ok, ref}, stage}
  end

  def handle_call(message, from, stage), do: callback(:handle_call, [message, from], stage)

  @impl GenServer
  def handle_cast({GenStage, {:subscribe, opts}}, stage) do
    with {:noreply, stage, _ref} <- subscribe(opts, stage), do: {:noreply, stage}
  end

  def handle_cast({GenStage, :prepare_for_draining}, stage),
    do: optional(:prepare_for_draining, [], stage)

  def handle_cast({GenStage, {:info, _} = info}, stage), do: work(info, stage)
  def handle_cast(message, stage), do: callback(:handle_cast, [message], stage)

  @impl GenServer
  def handle_info({:"$gen_producer", {pid, ref} = from, {:subscribe, _, opts}}, stage) do
    {:automatic, state} = subscribed(:consumer, opts, from, stage)
    consumers = Map.put(stage.consumers, ref, {pid, Process.monitor(pid)})
    out = Dispatch.subscribe(stage.out, from, opts[:partition])
    {:noreply, %{stage | state: state, consumers: consumers, out: out}}
  end

  def handle_info({:"$gen_producer", {_, ref}, {:ask, count}}, stage) do
    if is_map_key(stage.consumers, ref),
      do: feed(%{stage | out: Dispatch.ask(stage.out, ref, count)}),
      else: {:noreply, stage}
  end

  def handle_info({:"$gen_producer", {_, ref}, {:cancel, _} = why}, stage),
    do: drop_consumer(ref, why, stage)

  def handle_info({:"$gen_consumer", {_, ref}, {:cancel, _} = why}, stage),
    do: work({:cancel, ref, why}, stage)

  def handle_info({:"$gen_consumer", from, events}, stage),
    do: work({:events, from, events}, stage)

  def handle_info({GenStage, :cancel_consumers}, stage) do
    for {ref, {pid, _}} <- stage.consumers,
        do: send(self(), {:"$gen_producer", {pid, ref}, {:cancel, :shutdown}})

    {:noreply, stage}
  end

  def handle_info({:DOWN, monitor, _, _, reason} = message, stage) do
    gone = Enum.find(stage.consumers, &match?({_ref, {_pid, ^monitor}}, &1))

    cond do
      is_map_key(stage.producers, monitor) -> work({:cancel, monitor, {:down, reason}}, stage)
      gone -> drop_consumer(elem(gone, 0), {:down, reason}, stage)
      true -> callback(:handle_info, [message], stage)
    end
  end

  def handle_info(message, stage), do: callback(:handle_info, [message], stage)

  @impl GenServer
  def terminate(reason, %{mod: mod, state: state}),
    do: function_exported?(mod, :terminate, 2) && mod.terminate(reason, state)

  ## As a producer

  defp feed(%{type: :producer_consumer} = stage), do: work(stage)

  defp feed(stage) do
    case Dispatch.take_demand(stage.out) do
      {0, _} -> {:noreply, stage}
      {demand, out} -> callback(:handle_demand, [demand], %{stage | out: out})
    end
  end

  defp drop_consumer(ref, {_, reason} = why, stage) do
    case pop_in(stage.consumers[ref]) do
      {nil, _} ->
        {:noreply, stage}

      {{pid, monitor}, stage} ->
        Process.demonitor(monitor, [:flush])
        send(pid, {:"$gen_consumer", {self(), ref}, {:cancel, reason}})
        stage = %{stage | out: Dispatch.cancel(stage.out, ref)}

        with {:noreply, stage} <- optional(:handle_cancel, [why, {pid, ref}], stage),
             do: feed(stage)
    end
  end

  ## As a consumer

  defp subscribe(opts, stage) do
    {to, opts} = Keyword.pop!(opts, :to)
    max = opts[:max_demand] || 1000
    producer = %{max: max, min: opts[:min_demand] || div(max, 2), left: max}
    producer = Map.put(producer, :mode, opts[:cancel] || :permanent)

    case GenServer.whereis(to) do
      nil when producer.mode == :temporary ->
        {:noreply, stage, make_ref()}

      nil ->
        {:stop, :noproc, stage}

      pid ->
        ref = Process.monitor(pid)
        send(pid, {:"$gen_producer", {self(), ref}, {:subscribe, nil, opts}})
        {asking, state} = subscribed(:producer, opts, {pid, ref}, stage)
        if asking == :automatic, do: GenStage.ask({pid, ref}, max)
        producer = Map.merge(producer, %{pid: pid, asking: asking})
        {:noreply, %{put_in(stage.producers[ref], producer) | state: state}, ref}
    end
  end

  defp work(item, stage), do: work(%{stage | inbox: :queue.in(item, stage.inbox)})

  defp work(%{type: :producer_consumer, out: %{wanted: wanted}} = stage) when wanted <= 0,
    do: {:noreply, stage}

  defp work(stage) do
    with {{:value, item}, inbox} <- :queue.out(stage.inbox),
         {:noreply, stage} <- consume(item, %{stage | inbox: inbox}) do
      work(stage)
    else
      {:empty, _} -> {:noreply, stage}
      stop -> stop
    end
  end

  defp consume({:info, message}, stage),
    do: {:noreply, %{stage | out: Dispatch.mark(stage.out, message)}}

  defp consume({:events, _from, []}, stage), do: {:noreply, stage}

  defp consume({:events, {_, ref} = from, events}, stage) do
    {batch, rest, ask, stage} = next_batch(stage.producers[ref], ref, events, stage)

    with {:noreply, stage} <- callback(:handle_events, [batch, from], stage) do
      GenStage.ask(from, ask)
      consume({:events, from, rest}, stage)
    end
  end

  defp consume({:cancel, ref, {_, reason} = why}, stage) do
    case pop_in(stage.producers[ref]) do
      {nil, _} ->
        {:noreply, stage}

      {%{pid: pid, mode: mode}, stage} ->
        Process.demonitor(ref, [:flush])
        clean? = reason in [:normal, :shutdown] or match?({:shutdown, _}, reason)
        stop? = mode == :permanent or (mode == :transient and not clean?)

        with {:noreply, stage} <- optional(:handle_cancel, [why, {pid, ref}], stage),
             do: if(stop?, do: {:stop, reason, stage}, else: {:noreply, stage})
    end
  end

  # At most max_demand - min_demand events at a time; asked for again when min_demand are left.
  defp next_batch(%{asking: :automatic, min: min, max: max} = producer, ref, events, stage) do
    {batch, rest} = Enum.split(events, max - min)
    left = max(producer.left - length(batch), 0)
    {ask, left} = if left <= min, do: {max - left, max}, else: {0, left}
    {batch, rest, ask, put_in(stage.producers[ref].left, left)}
  end

  defp next_batch(_manual_or_gone, _ref, events, stage), do: {events, [], 0, stage}

  ## Callbacks

  defp subscribed(kind, opts, from, %{mod: mod, state: state}) do
    if function_exported?(mod, :handle_subscribe, 4),
      do: mod.handle_subscribe(kind, opts, from, state),
      else: {:automatic, state}
  end

  defp optional(name, args, stage) do
    if function_exported?(stage.mod, name, length(args) + 1),
      do: callback(name, args, stage),
      else: {:noreply, stage}
  end

  defp callback(name, args, stage) do
    case apply(stage.mod, name, args ++ [stage.state]) do
      {:noreply, events, state} -> {:noreply, emit(events, state, stage)}
      {:noreply, events, state, :hibernate} -> {:noreply, emit(events, state, stage)}
      {:reply, reply, events, state} -> {:reply, reply, emit(events, state, stage)}
      {:reply, reply, events, state, :hibernate} -> {:reply, reply, emit(events, state, stage)}
      {:stop, reason, state} -> {:stop, reason, %{stage | state: state}}
      {:stop, reason, reply, state} -> {:stop, reason, reply, %{stage | state: state}}
      other -> {:stop, {:bad_return_value, other}, stage}
    end
  end

  defp emit([], state, stage), do: %{stage | state: state}

  defp emit(events, state, stage),
    do: %{stage | state: state, out: Dispatch.emit(stage.out, events)}
end
