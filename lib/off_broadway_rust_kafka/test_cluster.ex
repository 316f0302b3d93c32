defmodule OffBroadwayRustKafka.TestCluster do
  @moduledoc false
  # Kafka for the project's own tests and demo: librdkafka's mock brokers, inside this node.
  # Not public: librdkafka calls the mock experimental.

  use GenServer

  alias OffBroadwayRustKafka.{Error, Native}

  @type broker_state :: :up | :down | {:rtt, ms :: non_neg_integer()}

  defmodule State do
    @moduledoc false
    # The mock's resource lives as long as the process that holds it.

    @enforce_keys [:cluster, :bootstrap]
    defstruct [:cluster, :bootstrap]

    @type t :: %__MODULE__{
            cluster: OffBroadwayRustKafka.Native.cluster(),
            bootstrap: String.t()
          }
  end

  @doc """
  Starts brokers with ids from 1, as many as `:brokers` says (1). Other options are a GenServer's.

  Clients of the cluster should be gone before it is.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options \\ []) do
    {brokers, options} = Keyword.pop(options, :brokers, 1)
    GenServer.start_link(__MODULE__, brokers, options)
  end

  @doc "The brokers' addresses: `\"host:port,host:port\"`."
  @spec bootstrap(GenServer.server()) :: String.t()
  def bootstrap(cluster), do: GenServer.call(cluster, :bootstrap)

  @doc "Creates a topic."
  @spec create_topic(GenServer.server(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def create_topic(cluster, name, partitions \\ 1),
    do: native(cluster, :mock_topic, [name, partitions])

  @doc "Puts one broker into a state; `-1` is all of them."
  @spec broker(GenServer.server(), integer(), broker_state()) :: :ok | {:error, Error.t()}
  def broker(cluster, id, state), do: native(cluster, :mock_broker, [id, state])

  @doc "Answers metadata requests for the topic with Kafka's error code; `0` ends it."
  @spec topic_error(GenServer.server(), String.t(), integer()) :: :ok | {:error, Error.t()}
  def topic_error(cluster, topic, code), do: native(cluster, :mock_topic_error, [topic, code])

  @doc """
  Fails the next requests of a kind (Kafka's `api_key`: 0 Produce, 1 Fetch, 8 OffsetCommit, ...),
  one by each code, whoever sends them. The code `-195` disconnects instead.
  """
  @spec request_errors(GenServer.server(), non_neg_integer(), [integer()]) ::
          :ok | {:error, Error.t()}
  def request_errors(cluster, api_key, codes),
    do: native(cluster, :mock_request_errors, [api_key, codes])

  @doc "Stops the brokers, and returns when they are gone."
  @spec stop(GenServer.server()) :: :ok
  def stop(cluster), do: GenServer.stop(cluster)

  @impl GenServer
  def init(brokers) do
    # So that `terminate/2` runs when a supervisor stops us.
    Process.flag(:trap_exit, true)

    case Native.mock_start(brokers) do
      {:ok, cluster, bootstrap} -> {:ok, %State{cluster: cluster, bootstrap: bootstrap}}
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:bootstrap, _from, %State{} = state), do: {:reply, state.bootstrap, state}

  def handle_call({:native, function, arguments}, _from, %State{} = state),
    do: {:reply, apply(Native, function, [state.cluster | arguments]), state}

  @impl GenServer
  def terminate(_reason, %State{cluster: cluster}), do: Native.mock_stop(cluster)

  @spec native(GenServer.server(), atom(), [term()]) :: :ok | {:error, Error.t()}
  defp native(cluster, function, arguments) do
    with {:error, error} <- GenServer.call(cluster, {:native, function, arguments}),
         do: {:error, Error.from_native(error)}
  end
end
