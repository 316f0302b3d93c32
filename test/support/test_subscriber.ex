defmodule OffBroadwayRustKafka.TestSubscriber do
  @moduledoc false
  # A GenStage consumer that tells the test process what it gets, `{:got, tag, pid, records}`, and then
  # does with it what `:handle` says: by default it acknowledges.

  use GenStage

  alias OffBroadwayRustKafka.{Record, Stage}

  @await_ms 15_000

  @type options :: [
          tag: term(),
          handle: ([Record.t()] -> term()),
          max_demand: pos_integer(),
          min_demand: non_neg_integer(),
          manual: boolean(),
          ack: ([Record.t()] -> term())
        ]

  @doc "Subscribes to a stage, for as long as the test runs; unlinked, as it may be killed."
  @spec start(GenStage.stage(), options()) :: pid()
  def start(stage, options \\ []) do
    test = self()
    child = %{id: make_ref(), start: {__MODULE__, :start_link, [test, options]}}
    pid = ExUnit.Callbacks.start_supervised!(Map.put(child, :restart, :temporary))
    demand = Keyword.take(options, [:max_demand, :min_demand])
    {:ok, _} = GenStage.sync_subscribe(pid, [to: stage, cancel: :temporary] ++ demand)
    pid
  end

  @spec start_link(pid(), options()) :: GenServer.on_start()
  def start_link(test, options), do: GenStage.start_link(__MODULE__, {test, options})

  @doc "Asks for so many, where the demand is manual."
  @spec ask(pid(), non_neg_integer()) :: :ok
  def ask(subscriber, demand), do: GenStage.call(subscriber, {:ask, demand})

  @doc "What it knows of itself."
  @spec state(pid()) :: map()
  def state(subscriber), do: GenStage.call(subscriber, :state)

  @doc "Ends the subscription, as a consumer does that has had enough."
  @spec cancel(pid()) :: :ok
  def cancel(subscriber), do: GenStage.call(subscriber, :cancel)

  @doc "Waits until the subscribers of this tag got `count` more records, and returns them."
  @spec got(term(), non_neg_integer()) :: [Record.t()]
  def got(tag \\ nil, count), do: receive_got(tag, count, [])

  @doc "What they got that was not asked for yet."
  @spec got_so_far(term()) :: [Record.t()]
  def got_so_far(tag \\ nil) do
    receive do
      {:got, ^tag, _, records} -> records ++ got_so_far(tag)
    after
      0 -> []
    end
  end

  @spec receive_got(term(), integer(), [Record.t()]) :: [Record.t()]
  defp receive_got(_tag, count, got) when count <= 0, do: got

  defp receive_got(tag, count, got) do
    receive do
      {:got, ^tag, _, records} -> receive_got(tag, count - length(records), got ++ records)
    after
      @await_ms ->
        places = for record <- got, do: {record.partition, record.offset}
        ExUnit.Assertions.flunk("#{count} more records were to come than #{inspect(places)}")
    end
  end

  @impl GenStage
  def init({test, options}), do: {:consumer, %{test: test, options: options, from: nil}}

  @impl GenStage
  def handle_subscribe(:producer, _options, from, state) do
    mode = if state.options[:manual], do: :manual, else: :automatic
    {mode, %{state | from: from}}
  end

  @impl GenStage
  def handle_events(records, _from, %{options: options} = state) do
    send(state.test, {:got, options[:tag], self(), records})
    handle = options[:handle] || (&Stage.ack/1)
    handle.(records)
    {:noreply, [], state}
  end

  @impl GenStage
  def handle_call({:ask, demand}, _from, state) do
    GenStage.ask(state.from, demand)
    {:reply, :ok, [], state}
  end

  def handle_call(:state, _from, state), do: {:reply, state, [], state}

  def handle_call(:cancel, _from, state) do
    GenStage.cancel(state.from, :enough)
    {:reply, :ok, [], state}
  end
end
