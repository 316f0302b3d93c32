defmodule Pins.DemandTest do
  use ExUnit.Case, async: true

  alias Broadway.{CallerAcknowledger, Message}

  @wait 2_000

  defmodule Source do
    use GenStage
    @behaviour Broadway.Producer

    @impl Broadway.Producer
    def prepare_for_start(_module, opts), do: {[], opts}

    @impl GenStage
    def init(opts), do: {:producer, opts[:test]}

    @impl GenStage
    def handle_demand(demand, test) do
      send(test, {:demand, demand})
      {:noreply, [], test}
    end

    @impl GenStage
    def handle_call({:emit, messages}, _from, test), do: {:reply, :ok, messages, test}
  end

  # The data of a message is its partition and a number; whoever handles it waits to be told.
  defmodule Pipeline do
    use Broadway

    @impl Broadway
    def handle_message(_processor, message, %{test: test, hold: hold}) do
      send(test, {:handling, message.data, self()})
      if hold == :message, do: receive(do: (:go -> :ok))
      message
    end

    @impl Broadway
    def handle_batch(_batcher, messages, _info, %{test: test}) do
      send(test, {:batch, Enum.map(messages, & &1.data), self()})
      receive(do: (:go -> messages))
    end
  end

  defp start(hold, processors, batchers \\ []) do
    name = :"pins_#{System.unique_integer([:positive])}"

    opts = [
      name: name,
      context: %{test: self(), hold: hold},
      producer: [module: {Source, test: self()}],
      processors: [default: processors],
      batchers: batchers,
      partition_by: fn %{data: {partition, _}} -> partition end
    ]

    start_supervised!(%{id: name, start: {Broadway, :start_link, [Pipeline, opts]}})
    name
  end

  defp emit(name, list) do
    [producer] = Broadway.producer_names(name)
    acknowledger = CallerAcknowledger.init({self(), :ref}, :data)
    messages = for data <- list, do: %Message{data: data, acknowledger: acknowledger}
    GenStage.call(producer, {:emit, messages})
  end

  defp let_go(data) do
    assert_receive {:handling, ^data, processor}, @wait
    send(processor, :go)
  end

  defp assert_no_more_demand(name) do
    [producer] = Broadway.producer_names(name)
    :sys.get_state(producer)
    refute_received {:demand, _}
  end

  test "messages are handled at most max_demand - min_demand at a time, and as many asked for" do
    name = start(:message, concurrency: 1, max_demand: 5, min_demand: 2)
    assert_receive {:demand, 5}, @wait
    emit(name, for(n <- 1..5, do: {0, n}))
    for n <- 1..3, do: let_go({0, n})
    assert_receive {:ack, :ref, [_, _, _], []}, @wait
    assert_receive {:demand, 3}, @wait
    for n <- 4..5, do: let_go({0, n})
    assert_receive {:ack, :ref, [_, _], []}, @wait
    assert_no_more_demand(name)
  end

  test "what was emitted unasked is taken off what is asked for" do
    name = start(:message, concurrency: 1, max_demand: 2)
    assert_receive {:demand, 2}, @wait
    emit(name, for(n <- 1..4, do: {0, n}))
    for n <- 1..2, do: let_go({0, n})
    assert_receive {:handling, {0, 3}, processor}, @wait
    assert_no_more_demand(name)
    send(processor, :go)
    assert_receive {:demand, 1}, @wait
    let_go({0, 4})
    assert_receive {:demand, 1}, @wait
  end

  test "a partition without demand queues, and holds up no other" do
    name = start(:message, concurrency: 2, max_demand: 2)
    for _ <- 1..2, do: assert_receive({:demand, 2}, @wait)
    emit(name, [{0, 1}, {0, 2}, {0, 3}])
    emit(name, [{1, 4}])
    let_go({1, 4})
    assert_receive {:demand, 1}, @wait
    let_go({0, 1})
    assert_receive {:demand, 1}, @wait
    for n <- 2..3, do: let_go({0, n})
    for _ <- 2..3, do: assert_receive({:demand, 1}, @wait)
    assert_no_more_demand(name)
  end

  test "what was queued for a processor that is gone is asked for again" do
    name = start(:message, concurrency: 2, max_demand: 2)
    for _ <- 1..2, do: assert_receive({:demand, 2}, @wait)
    emit(name, [{0, 1}, {0, 2}, {0, 3}])
    assert_receive {:handling, {0, 1}, processor}, @wait
    Process.exit(processor, :kill)
    assert asked(0) == 3
    assert_no_more_demand(name)
    emit(name, [{0, 4}])
    let_go({0, 4})
  end

  # Both processors are replaced, and of what their predecessors had asked for 1 is still owed.
  defp asked(3), do: 3

  defp asked(sum) do
    assert_receive {:demand, demand}, @wait
    asked(sum + demand)
  end

  test "batches wait for their busy batch processor, in order" do
    batchers = [default: [concurrency: 2, batch_size: 1]]
    name = start(:batch, [concurrency: 1, max_demand: 8], batchers)
    assert_receive {:demand, 8}, @wait
    emit(name, for(n <- 1..8, do: {0, n}))
    assert_receive {:batch, [{0, 1}], busy}, @wait

    for n <- 2..8 do
      refute_received {:batch, _, _}
      send(busy, :go)
      assert_receive {:batch, [{0, ^n}], ^busy}, @wait
    end

    send(busy, :go)
  end
end
