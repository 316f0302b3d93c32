defmodule Pins.GenStageTest do
  use ExUnit.Case, async: true

  @moduletag :capture_log
  @wait 2_000

  defmodule Source do
    use GenStage

    @impl GenStage
    def init({test, opts}), do: {:producer, test, opts}

    @impl GenStage
    def handle_demand(demand, test) do
      send(test, {:demand, demand})
      {:noreply, [], test}
    end

    @impl GenStage
    def handle_cancel(_why, _from, test) do
      send(test, :cancelled)
      {:noreply, [], test}
    end

    @impl GenStage
    def handle_call({:emit, events}, _from, test), do: {:reply, :ok, events, test}

    @impl GenStage
    def handle_info(message, test) do
      send(test, {:info, message})
      {:noreply, [], test}
    end
  end

  defmodule Sink do
    use GenStage

    @impl GenStage
    def init({test, name, subscribing}), do: {:consumer, {test, name, subscribing}}

    @impl GenStage
    def handle_subscribe(:producer, _opts, from, {test, name, subscribing} = state) do
      send(test, {:subscribed, name, from})
      {subscribing, state}
    end

    @impl GenStage
    def handle_events(events, _from, {test, name, _} = state) do
      send(test, {name, events})
      {:noreply, [], state}
    end

    @impl GenStage
    def handle_call({:ask, from, demand}, _from, state) do
      GenStage.ask(from, demand)
      {:reply, :ok, [], state}
    end
  end

  defmodule Doubler do
    use GenStage

    @impl GenStage
    def init(test), do: {:producer_consumer, test}

    @impl GenStage
    def handle_events(events, _from, test) do
      send(test, {:doubling, events})
      {:noreply, Enum.map(events, &(&1 * 2)), test}
    end
  end

  defp source(opts \\ []) do
    start_supervised!(%{
      id: make_ref(),
      start: {GenStage, :start_link, [Source, {self(), opts}]}
    })
  end

  defp sink(name, subscribing \\ :manual) do
    start_supervised!(%{
      id: name,
      restart: :temporary,
      start: {GenStage, :start_link, [Sink, {self(), name, subscribing}]}
    })
  end

  defp manual(name, source, opts \\ []) do
    sink = sink(name)
    {:ok, _} = GenStage.sync_subscribe(sink, [to: source, cancel: :temporary] ++ opts)
    assert_receive {:subscribed, ^name, from}, @wait
    :sys.get_state(source)
    fn demand -> GenStage.call(sink, {:ask, from, demand}) end
  end

  defp emit(source, events), do: GenStage.call(source, {:emit, Enum.to_list(events)})

  defp settle(stages), do: Enum.each(stages, &:sys.get_state/1)

  test "a consumer asks for max_demand, and again whenever min_demand are left" do
    source = source()
    sink = sink(:sink, :automatic)
    {:ok, _} = GenStage.sync_subscribe(sink, to: source, max_demand: 10, min_demand: 4)
    assert_receive {:demand, 10}, @wait

    emit(source, 1..5)
    assert_receive {:sink, [1, 2, 3, 4, 5]}, @wait
    settle([sink, source])
    refute_received {:demand, _}

    emit(source, [6])
    assert_receive {:sink, [6]}, @wait
    assert_receive {:demand, 6}, @wait
  end

  test "events are handled at most max_demand - min_demand at a time" do
    source = source()
    sink = sink(:sink, :automatic)
    {:ok, _} = GenStage.sync_subscribe(sink, to: source, max_demand: 10, min_demand: 6)
    assert_receive {:demand, 10}, @wait

    emit(source, 1..10)
    assert_receive {:sink, [1, 2, 3, 4]}, @wait
    assert_receive {:sink, [5, 6, 7, 8]}, @wait
    assert_receive {:sink, [9, 10]}, @wait
    assert_receive {:demand, 4}, @wait
    assert_receive {:demand, 4}, @wait
    settle([sink, source])
    refute_received {:demand, _}
  end

  test "a producer is asked for exactly what was asked and not yet emitted" do
    source = source()
    ask = manual(:sink, source)

    ask.(3)
    assert_receive {:demand, 3}, @wait
    emit(source, 1..5)
    assert_receive {:sink, [1, 2, 3]}, @wait

    ask.(1)
    assert_receive {:sink, [4]}, @wait
    ask.(3)
    assert_receive {:sink, [5]}, @wait
    assert_receive {:demand, 2}, @wait
    refute_received {:demand, _}
  end

  test "the consumer with the highest demand is served first" do
    source = source()
    ask_a = manual(:a, source)
    ask_b = manual(:b, source)
    ask_a.(2)
    ask_b.(5)
    assert_receive {:demand, 2}, @wait
    assert_receive {:demand, 5}, @wait

    emit(source, 1..7)
    assert_receive {:b, [1, 2, 3, 4, 5]}, @wait
    assert_receive {:a, [6, 7]}, @wait
  end

  test "what a lost consumer had asked for is not asked for again" do
    source = source()
    ask_a = manual(:a, source)
    ask_b = manual(:b, source)
    ask_a.(5)
    assert_receive {:demand, 5}, @wait
    :ok = stop_supervised(:a)
    assert_receive :cancelled, @wait

    ask_b.(3)
    settle([source])
    refute_received {:demand, _}
    ask_b.(4)
    assert_receive {:demand, 2}, @wait
  end

  test "events no one has asked for outlive a consumer" do
    source = source()
    ask_a = manual(:a, source)
    ask_a.(1)
    emit(source, 1..3)
    assert_receive {:a, [1]}, @wait
    :ok = stop_supervised(:a)
    assert_receive :cancelled, @wait

    ask_b = manual(:b, source)
    ask_b.(5)
    assert_receive {:b, [2, 3]}, @wait
    assert_receive {:demand, 3}, @wait
  end

  describe "by partition" do
    setup do
      hash = fn {partition, _} = event -> {event, partition} end
      dispatcher = {GenStage.PartitionDispatcher, partitions: 0..1, hash: hash}
      source = source(dispatcher: dispatcher)
      a = manual(:a, source, partition: 0)
      b = manual(:b, source, partition: 1)
      %{source: source, a: a, b: b}
    end

    test "each partition gets its own events, in order", %{source: source, a: a, b: b} do
      a.(10)
      b.(10)
      emit(source, [{0, 1}, {1, 2}, {0, 3}, {1, 4}])
      assert_receive {:a, [{0, 1}, {0, 3}]}, @wait
      assert_receive {:b, [{1, 2}, {1, 4}]}, @wait
    end

    test "demand is the sum over partitions; one without demand queues and holds up no other",
         %{source: source, a: a, b: b} do
      a.(2)
      b.(2)
      assert_receive {:demand, 2}, @wait
      assert_receive {:demand, 2}, @wait

      emit(source, [{0, 1}, {0, 2}, {0, 3}])
      assert_receive {:a, [{0, 1}, {0, 2}]}, @wait
      emit(source, [{1, 4}])
      assert_receive {:b, [{1, 4}]}, @wait

      a.(2)
      assert_receive {:a, [{0, 3}]}, @wait
      assert_receive {:demand, 2}, @wait
      refute_received {:demand, _}
    end

    test "what was queued for a lost consumer goes with it and is asked for again",
         %{source: source, a: a, b: b} do
      a.(1)
      b.(3)
      assert_receive {:demand, 1}, @wait
      assert_receive {:demand, 3}, @wait
      emit(source, [{0, 1}, {0, 2}, {0, 3}])
      assert_receive {:a, [{0, 1}]}, @wait

      :ok = stop_supervised(:a)
      assert_receive :cancelled, @wait
      assert_receive {:demand, 2}, @wait

      a = manual(:again, source, partition: 0)
      a.(1)
      assert_receive {:demand, 1}, @wait
      emit(source, [{0, 4}])
      assert_receive {:again, [{0, 4}]}, @wait
    end
  end

  test "a message after the events arrives when they have left" do
    source = source()
    ask = manual(:sink, source)
    GenStage.async_info(source, :nothing_waits)
    assert_receive {:info, :nothing_waits}, @wait

    emit(source, [1, 2])
    GenStage.async_info(source, :after_two)
    emit(source, [3])
    ask.(1)
    assert_receive {:sink, [1]}, @wait
    settle([source])
    refute_received {:info, _}
    ask.(1)
    assert_receive {:sink, [2]}, @wait
    assert_receive {:info, :after_two}, @wait
    refute_received {:sink, _}
  end

  test "a producer-consumer works only while something is asked of it" do
    source = source()
    spec = %{id: Doubler, start: {GenStage, :start_link, [Doubler, self()]}}
    doubler = start_supervised!(spec)
    {:ok, _} = GenStage.sync_subscribe(doubler, to: source, max_demand: 4, min_demand: 2)
    ask = manual(:sink, doubler)
    assert_receive {:demand, 4}, @wait

    emit(source, 1..4)
    settle([doubler])
    refute_received {:doubling, _}

    ask.(1)
    assert_receive {:doubling, [1, 2]}, @wait
    assert_receive {:doubling, [3, 4]}, @wait
    assert_receive {:sink, [2]}, @wait
    ask.(3)
    assert_receive {:sink, [4, 6, 8]}, @wait
  end

  test "a permanent subscription ends with its producer" do
    source = source()
    sink = sink(:sink, :automatic)
    {:ok, _} = GenStage.sync_subscribe(sink, to: source)
    monitor = Process.monitor(sink)
    GenStage.stop(source, :shutdown)
    assert_receive {:DOWN, ^monitor, _, _, :shutdown}, @wait
  end
end
