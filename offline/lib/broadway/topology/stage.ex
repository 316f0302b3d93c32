defmodule Broadway.Topology.Stage do
  @moduledoc false
  # What processors, batchers and batch processors share: they subscribe by name, processors come
  # back to a restarted producer, and when all they were subscribed to have cancelled they flush,
  # let everything go on, and cancel their own consumers or report to the terminator.

  use GenStage

  @callback init(state :: map()) :: {:consumer | :producer_consumer, map(), keyword()}
  @callback handle_events(events :: [term()], state :: map()) :: {[term()], map()}
  @callback handle_timeout(timer :: reference(), key :: term(), state :: map()) ::
              {[term()], map()}
  @callback flush(state :: map()) :: {[term()], map()}
  @optional_callbacks handle_timeout: 3, flush: 1

  @impl GenStage
  def init(args) do
    Process.flag(:trap_exit, true)
    Enum.each(args.subscribe_to, &subscribe(&1, args))
    {type, state, opts} = args.role.init(Map.put(args, :producers, %{}))
    {type, Map.put(state, :type, type), opts}
  end

  @impl GenStage
  def handle_subscribe(:producer, opts, {_, ref}, state),
    do: {:automatic, put_in(state.producers[ref], opts[:name])}

  def handle_subscribe(:consumer, _opts, _from, state), do: {:automatic, state}

  @impl GenStage
  def handle_cancel(_why, {_, ref}, state) do
    {name, state} = pop_in(state.producers[ref])
    if name, do: resubscribe(name, state)
    if name, do: finish(state), else: {:noreply, [], state}
  end

  @impl GenStage
  def handle_events(events, _from, state), do: noreply(state.role.handle_events(events, state))

  @impl GenStage
  def handle_info(:will_terminate, state), do: finish(%{state | resubscribe: :never})

  def handle_info({:timeout, timer, key}, state),
    do: noreply(state.role.handle_timeout(timer, key, state))

  def handle_info({:resubscribe, name}, state) do
    subscribe(name, state)
    {:noreply, [], state}
  end

  def handle_info(_message, state), do: {:noreply, [], state}

  defp noreply({events, state}), do: {:noreply, events, state}

  defp subscribe(name, state) do
    if pid = Process.whereis(name) do
      opts = [to: pid, name: name, cancel: :temporary] ++ state.subscription
      GenStage.async_subscribe(self(), opts)
    else
      resubscribe(name, state)
    end
  end

  defp resubscribe(name, state) do
    if state.resubscribe != :never,
      do: Process.send_after(self(), {:resubscribe, name}, state.resubscribe)
  end

  defp finish(%{resubscribe: :never, producers: left, type: :consumer} = state)
       when left == %{} do
    if pid = Process.whereis(state.terminator), do: send(pid, {:done, self()})
    {:noreply, [], state}
  end

  defp finish(%{resubscribe: :never, producers: left, role: role} = state) when left == %{} do
    GenStage.Server.drain(self())
    noreply(if function_exported?(role, :flush, 1), do: role.flush(state), else: {[], state})
  end

  defp finish(state), do: {:noreply, [], state}
end
