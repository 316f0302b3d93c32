defmodule OffBroadwayRustKafka.Feed do
  @moduledoc false
  # Produces in the background, one record to each partition every few milliseconds, and knows since
  # when each was there to be read: offset `n` of every partition came with the `n`-th round.

  use GenServer

  alias OffBroadwayRustKafka.{Kafka, TestClient}

  @enforce_keys [:client, :topic, :partitions, :every]
  defstruct @enforce_keys ++ [count: 0, rounds: []]

  @typep t :: %__MODULE__{
           client: TestClient.t(),
           topic: String.t(),
           partitions: pos_integer(),
           every: pos_integer() | :never,
           count: non_neg_integer(),
           rounds: [integer()]
         }

  @typedoc "When the records of each offset were there, in nanoseconds of the system's clock."
  @type times :: tuple()

  # A round is not to wait for more of its kind.
  @config ["linger.ms": 0]
  @stop_ms 60_000

  @doc "Feeds a topic that is empty and that nobody else writes to, until the test ends."
  @spec start(Kafka.t(), String.t(), pos_integer(), every_ms :: pos_integer()) :: pid()
  def start(kafka, topic, partitions, every \\ 10) do
    arg = {kafka.bootstrap, topic, partitions, every}
    child = %{id: make_ref(), start: {GenServer, :start_link, [__MODULE__, arg]}}
    ExUnit.Callbacks.start_supervised!(child)
  end

  @doc "Produces no more. How many records each partition has is the size of what it answers."
  @spec stop(pid()) :: times()
  def stop(feed), do: GenServer.call(feed, :stop, @stop_ms)

  @impl GenServer
  def init({bootstrap, topic, partitions, every}) do
    {:ok, client} = TestClient.start(bootstrap, @config)
    state = %{client: client, topic: topic, partitions: partitions, every: every}
    {:ok, struct!(__MODULE__, state), {:continue, :produce}}
  end

  @impl GenServer
  def handle_continue(:produce, state), do: produce(state)

  @impl GenServer
  def handle_info(:produce, state), do: produce(state)

  @impl GenServer
  def handle_call(:stop, _from, state),
    do: {:reply, state.rounds |> Enum.reverse() |> List.to_tuple(), %{state | every: :never}}

  @spec produce(t()) :: {:noreply, t()}
  defp produce(%{every: :never} = state), do: {:noreply, state}

  defp produce(state) do
    Process.send_after(self(), :produce, state.every)
    value = Integer.to_string(state.count)
    records = for partition <- 0..(state.partitions - 1), do: [partition: partition, value: value]
    {:ok, _offsets} = TestClient.produce(state.client, state.topic, records)
    rounds = [System.os_time(:nanosecond) | state.rounds]
    {:noreply, %{state | count: state.count + 1, rounds: rounds}}
  end
end
