defmodule Pins.BroadwayLifecycleTest do
  use ExUnit.Case, async: true

  alias Broadway.{CallerAcknowledger, Message}

  @moduletag :capture_log
  @wait 2_000

  defmodule Source do
    use GenStage
    @behaviour Broadway.Producer

    @impl Broadway.Producer
    def prepare_for_start(_module, opts) do
      {_, arg} = opts[:producer][:module]
      child = %{id: :child, start: {Pins.BroadwayLifecycleTest.Child, :start_link, [arg[:test]]}}
      {[child], opts}
    end

    @impl GenStage
    def init(opts) do
      Process.flag(:trap_exit, true)
      send(opts[:test], {:producer_started, self(), opts[:broadway][:index]})
      {:producer, opts}
    end

    @impl GenStage
    def handle_demand(demand, opts) do
      send(opts[:test], {:demand, self(), demand})
      {:noreply, [], opts}
    end

    @impl Broadway.Producer
    def prepare_for_draining(opts) do
      send(opts[:test], :draining)
      {:noreply, opts[:last_words] || [], opts}
    end

    @impl GenStage
    def handle_call({:emit, messages}, _from, opts), do: {:reply, :ok, messages, opts}
  end

  defmodule Child do
    use GenServer

    def start_link(test), do: GenServer.start_link(__MODULE__, test)

    @impl GenServer
    def init(test) do
      Process.flag(:trap_exit, true)
      send(test, {:child_started, self()})
      {:ok, test}
    end

    @impl GenServer
    def terminate(_reason, test), do: send(test, :child_stopped)
  end

  defmodule Pipeline do
    use Broadway

    @impl Broadway
    def handle_message(_processor, message, %{test: test}) do
      send(test, {:handling, self(), message.data})

      if match?({:held, _}, message.data) do
        receive do
          :go -> :ok
        end
      end

      message
    end

    @impl Broadway
    def handle_batch(_batcher, messages, info, %{test: test}) do
      send(test, {:batch, Enum.map(messages, & &1.data), info.trigger})
      messages
    end
  end

  defp start(opts) do
    name = :"pins_#{System.unique_integer([:positive])}"
    {producer, opts} = Keyword.pop(opts, :source, [])

    opts =
      Keyword.merge(
        [
          name: name,
          context: %{test: self()},
          producer: [module: {Source, [test: self()] ++ producer}],
          processors: [default: [concurrency: 1]],
          resubscribe_interval: 1
        ],
        opts
      )

    start_supervised!(%{
      id: name,
      restart: :temporary,
      start: {Broadway, :start_link, [Pipeline, opts]}
    })

    name
  end

  defp messages(list) do
    acknowledger = CallerAcknowledger.init({self(), :ref}, :data)
    for data <- list, do: %Message{data: data, acknowledger: acknowledger}
  end

  defp emit(name, messages) do
    [producer] = Broadway.producer_names(name)
    GenStage.call(producer, {:emit, messages})
  end

  # The acknowledged data, in order of arrival, up to `count` of them.
  defp acked(0), do: []

  defp acked(count) do
    assert_receive {:ack, :ref, messages, []}, @wait
    data = Enum.map(messages, & &1.data)
    data ++ acked(count - length(data))
  end

  test "children of prepare_for_start/2 start before the producers and stop last" do
    name = start(producer: [module: {Source, test: self()}, concurrency: 2])
    assert {:messages, [{:child_started, _} | _]} = Process.info(self(), :messages)
    assert_receive {:producer_started, producer_0, 0}, @wait
    assert_receive {:producer_started, producer_1, 1}, @wait
    for pid <- [producer_0, producer_1], do: Process.monitor(pid)

    :ok = Broadway.stop(name)
    assert_received :draining
    assert_received :draining
    assert {:messages, messages} = Process.info(self(), :messages)
    ends = for message <- messages, message == :child_stopped or down?(message), do: message
    assert [{:DOWN, _, _, _, _}, {:DOWN, _, _, _, _}, :child_stopped] = ends
  end

  defp down?(message), do: match?({:DOWN, _, _, _, _}, message)

  test "a stop drains: everything emitted is handled, batched and acknowledged" do
    last_words = messages([:last])

    name =
      start(
        source: [last_words: last_words],
        processors: [default: [concurrency: 1, max_demand: 4]],
        batchers: [default: [batch_size: 100, batch_timeout: 60_000]]
      )

    emit(name, messages([{:held, 1}, 2, 3, 4, 5, 6]))
    assert_receive {:handling, processor, {:held, 1}}, @wait

    stopping = Task.async(fn -> Broadway.stop(name) end)
    assert_receive :draining, @wait
    refute_received {:batch, _, _}
    send(processor, :go)

    assert_receive {:batch, [{:held, 1}, 2, 3, 4, 5, 6, :last], :flush}, @wait
    assert Task.await(stopping) == :ok
    assert acked(7) == [{:held, 1}, 2, 3, 4, 5, 6, :last]
    assert_received :child_stopped
    refute Process.whereis(name)
  end

  test "a stop drains a partitioned pipeline too, whatever waits for a busy processor" do
    name =
      start(
        processors: [default: [concurrency: 2, max_demand: 2]],
        partition_by: fn %{data: data} -> if match?({_, _}, data), do: 0, else: data end
      )

    assert_receive {:demand, _, 2}, @wait
    assert_receive {:demand, _, 2}, @wait
    emit(name, messages([{:held, 1}, 0, 2, 1]))
    assert_receive {:handling, processor, {:held, 1}}, @wait
    assert_receive {:handling, _, 1}, @wait
    assert_receive {:demand, _, 1}, @wait
    emit(name, messages([4]))

    stopping = Task.async(fn -> Broadway.stop(name) end)
    assert_receive :draining, @wait
    send(processor, :go)
    assert Task.await(stopping) == :ok
    assert Enum.sort(acked(5)) == [0, 1, 2, 4, {:held, 1}]
  end

  test "a stop waits no longer than shutdown for each stage" do
    name = start(shutdown: 50)
    emit(name, messages([{:held, 1}]))
    assert_receive {:handling, _, {:held, 1}}, @wait
    assert Broadway.stop(name) == :ok
    assert_received :child_stopped
    refute_received {:ack, _, _, _}
  end

  test "a pipeline that never had a message stops too" do
    name = start(batchers: [default: []])
    assert Broadway.stop(name, :shutdown) == :ok
  end

  test "a killed processor is replaced; what it had asked for is not asked for again" do
    name = start(batchers: [default: [batch_size: 1]])
    assert_receive {:demand, _, 10}, @wait
    processor = :"#{name}.Broadway.Processor_default_0"
    emit(name, messages([1]))
    assert acked(1) == [1]

    # Of the 10 asked for, 9 are still owed: its successor's 10 are one more.
    Process.exit(Process.whereis(processor), :kill)
    assert_receive {:demand, _, 1}, @wait
    emit(name, messages([2, 3]))
    assert acked(2) == [2, 3]
  end

  test "a killed producer alone is replaced, and asked again" do
    name = start(producer: [module: {Source, test: self()}, concurrency: 2])
    assert_receive {:child_started, child}, @wait
    assert_receive {:producer_started, first, 0}, @wait
    assert_receive {:producer_started, other, 1}, @wait
    assert_receive {:demand, ^first, 10}, @wait
    processor = Process.whereis(:"#{name}.Broadway.Processor_default_0")

    Process.exit(first, :kill)
    assert_receive {:producer_started, second, 0}, @wait
    assert_receive {:demand, ^second, 10}, @wait
    GenStage.call(second, {:emit, messages([1])})
    assert acked(1) == [1]
    assert Process.whereis(:"#{name}.Broadway.Processor_default_0") == processor
    assert Process.alive?(other)
    assert Process.alive?(child)
  end

  test "a killed child of prepare_for_start/2 restarts everything after it" do
    name = start([])
    assert_receive {:child_started, child}, @wait
    assert_receive {:producer_started, producer, 0}, @wait
    assert_receive {:demand, ^producer, 10}, @wait
    Process.exit(child, :kill)
    assert_receive {:child_started, _}, @wait
    assert_receive {:producer_started, second, 0}, @wait
    assert second != producer
    assert_receive {:demand, ^second, 10}, @wait
    emit(name, messages([1]))
    assert acked(1) == [1]
  end
end
