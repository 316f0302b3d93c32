defmodule OffBroadwayRustKafka.TestCluster do
  @moduledoc """
  Kafka for the tests of a pipeline: brokers inside the test's own VM, without Docker or Java.

      defmodule MyApp.OrdersTest do
        use ExUnit.Case, async: true

        alias OffBroadwayRustKafka.TestCluster

        test "orders are handled, and committed" do
          cluster = start_supervised!({TestCluster, topics: ["orders"]})
          start_supervised!({MyApp.Orders, kafka: TestCluster.producer_options(cluster)})

          TestCluster.produce(cluster, "orders", ["book", "pen"])
          TestCluster.await_committed(cluster, "my-group", "orders")
        end
      end

  The brokers are librdkafka's mock cluster: real connections to ports of `127.0.0.1` that the
  system chooses, real consumer groups, no disk. A cluster starts in a few milliseconds, so that
  each test can have its own, and tests with `async: true` as many at once as they like. The guide
  "Testing a pipeline" has a pipeline and its whole test.

  ## Options

  #{NimbleOptions.docs(OffBroadwayRustKafka.TestCluster.Options.schema())}

  ## What calls return

  Every function returns what it is asked for, or raises: an `ArgumentError` when it is given what
  it cannot use, before anything happens, and an `OffBroadwayRustKafka.Error` when Kafka refuses or
  does not answer in time, with `:timed_out` as its code. Those that wait take a `:timeout` in
  milliseconds, 10 000 by default.

  ## Start and stop

  Start the cluster before the pipeline, as its `hosts` are not known before: ExUnit and every
  supervisor then stop the pipeline first, and its last offsets are committed. A pipeline that
  outlives its cluster is not harmed: it reports that no broker answers, and stops as it does in an
  outage. A cluster that stopped is not restarted, as all in it would be gone.

  ## What it cannot do

  librdkafka calls its mock cluster experimental, and it is no Kafka in these ways:

    * A partition keeps its last 5 MiB, and no record is larger than about 1 MB.
    * Transactions are taken and never aborted: their records are there at once.
    * There are no offsets for times: `offset_reset_policy: {:timestamp, ms}` has no effect that
      could be relied on. Timestamps are the producer's, never the log's.
    * There are no access rights, users, passwords or TLS. `topic_error/3` answers as a broker does
      that gives no permission.
    * Topics are not deleted, and get no more partitions; nothing is compacted.
    * A group that a member joins or leaves waits for the others for their whole
      `session.timeout.ms`, less a second: 44 seconds by default. Where a test has a second member,
      or starts a pipeline again in the same group, add `"session.timeout.ms": 2_000` and
      `"heartbeat.interval.ms": 200` to its `:config`. With `group_protocol: :consumer` a second
      member waits for some three seconds, and the next one of a group that was left for none.
    * All members of a group need the same `partition.assignment.strategy`: librdkafka ends the VM
      at the first that has another.
    * A member with an `instance_id` that comes back does not get its partitions back at once.
    * Clients that are not librdkafka may send requests that it does not know.

  Tests of any of that need a broker.
  """

  use GenServer, restart: :temporary, shutdown: 10_000

  alias OffBroadwayRustKafka.{Error, Native, TestClient}
  alias OffBroadwayRustKafka.TestCluster.{Arguments, Committed, Faults, Options, Records}

  # Its records are there at once, at the partitions where other clients put them, and it is as soon
  # up again as a broker is.
  @client [
    "linger.ms": 0,
    partitioner: "murmur2_random",
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "topic.metadata.propagation.max.ms": 1
  ]

  # What a member of a group needs to be quick here.
  @member [
    "fetch.wait.max.ms": 10,
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100
  ]

  @typedoc """
  A record: its value, or its fields as a map or keyword list.

    * `:value` - a binary, or `nil` for a tombstone, which is the default
    * `:key` - a binary, or `nil` for none, which is the default
    * `:headers` - a list of `{name, value}` as in a message's metadata, `[]` by default
    * `:partition` - where it goes. By default one with a key goes where Java's clients put that key
      (`murmur2`), and those without a key go round all partitions, beginning with 0 in every call
    * `:ts` - its timestamp in milliseconds since the Unix epoch, above 0; now by default
  """
  @type record :: binary() | nil | keyword() | %{optional(atom()) => term()}

  @typedoc "An offset for each partition of a topic."
  @type offsets :: %{(partition :: non_neg_integer()) => offset :: non_neg_integer()}

  @typedoc """
  What a broker is to do: take connections, refuse them and drop those it has, or answer every
  request so many milliseconds later. `{:rtt, 0}` ends the delay; leaders do not move.
  """
  @type broker_state :: :up | :down | {:rtt, ms :: non_neg_integer()}

  @typedoc """
  An error that a broker answers with, by the name that it has as `:code` of an
  `OffBroadwayRustKafka.Error`: `:not_leader_for_partition`, `:coordinator_load_in_progress`,
  `:offset_out_of_range`, … Two are special: `:transport` breaks the connection, and `:no_error` is
  none.
  """
  @type error_code :: atom()

  @typedoc "A request that can be made to fail, by Kafka's name."
  @type request :: unquote(Enum.reduce(Faults.requests(), &{:|, [], [&1, &2]}))

  defmodule State do
    @moduledoc false
    # The mock's resource lives as long as the process that holds it.

    @enforce_keys [:cluster, :bootstrap, :brokers, :client]
    defstruct @enforce_keys

    @type t :: %__MODULE__{
            cluster: OffBroadwayRustKafka.Native.cluster(),
            bootstrap: String.t(),
            brokers: pos_integer(),
            client: OffBroadwayRustKafka.TestClient.t()
          }
  end

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    # Here too, as this is in the test's own process, and `start_link/1` in its supervisor's.
    Options.validate!(options)
    options |> super() |> Map.put(:id, options[:name] || __MODULE__)
  end

  @doc """
  Starts a cluster, linked to the caller.

  In a test use `start_supervised!({OffBroadwayRustKafka.TestCluster, options})`, which gives the
  cluster's pid; a second one in the same test needs an `id: …` of its own there, or a `:name`.

      iex> {:ok, cluster} = OffBroadwayRustKafka.TestCluster.start_link(topics: [orders: 2])
      iex> OffBroadwayRustKafka.TestCluster.produce(cluster, "orders", ["book", "pen", "ink"])
      [0, 0, 1]
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options \\ []) do
    options = Options.validate!(options)
    GenServer.start_link(__MODULE__, options, Keyword.take(options, [:name]))
  end

  @doc """
  The options of `OffBroadwayRustKafka.Producer` that a pipeline on this cluster is to be given, in
  place of those it has: `:hosts`, and what lets a test not wait, `commit_interval: 10` and a
  `:config`.

  Without the latter two it works as well. But a record is then half a second under way, as the mock
  cluster answers a fetch of nothing only after `fetch.wait.max.ms`; a commit comes 200 ms after
  it could; and a broker that is up again is noticed up to ten seconds later.
  """
  @spec producer_options(GenServer.server()) :: keyword()
  def producer_options(cluster),
    do: [hosts: hosts(cluster), commit_interval: 10, config: @member]

  @doc ~S'The brokers, as the `:hosts` of a pipeline: `[{"127.0.0.1", port}]`.'
  @spec hosts(GenServer.server()) :: [{String.t(), :inet.port_number()}, ...]
  def hosts(cluster) do
    for broker <- cluster |> bootstrap() |> String.split(",") do
      [host, port] = String.split(broker, ":")
      {host, String.to_integer(port)}
    end
  end

  @doc ~S'The brokers, as `bootstrap.servers` of other clients: `"127.0.0.1:port,127.0.0.1:port"`.'
  @spec bootstrap(GenServer.server()) :: String.t()
  def bootstrap(cluster), do: state(cluster).bootstrap

  @doc "Creates a topic of 1 to 10 000 partitions."
  @spec create_topic(GenServer.server(), String.t(), pos_integer()) :: :ok
  def create_topic(cluster, topic, partitions \\ 1) do
    Arguments.topic!("create_topic/3", topic)
    Arguments.partitions!("create_topic/3", partitions)
    cluster |> state() |> native(:mock_topic, [topic, partitions])
  end

  @doc """
  Produces one record or a list of them, and returns their offsets, in the order given, once the
  brokers have all.

      produce(cluster, "orders", "book")
      produce(cluster, "orders", ["book", "pen"])
      produce(cluster, "orders", key: "7", value: "book", headers: [{"trace", "1"}])
      produce(cluster, "orders", [%{partition: 3, value: "book"}, %{key: "7", value: nil}])

  Options: `:timeout`. After a `:timed_out` error the records may still arrive.
  """
  @spec produce(GenServer.server(), String.t(), record() | [record()], keyword()) ::
          [offset :: non_neg_integer()]
  def produce(cluster, topic, records, options \\ []) do
    call = "produce/4"
    Arguments.topic!(call, topic)
    rows = Records.rows_of!("#{inspect(__MODULE__)}.#{call}", records)
    [timeout: timeout] = Arguments.options!(call, options, [])
    cluster |> client() |> TestClient.produce_rows(topic, rows, timeout) |> answer!()
  end

  @doc """
  What a group has committed: an offset for each partition of the topic, `nil` where nothing.

  An offset is that of the next record, so that `%{0 => 2}` says that records 0 and 1 are done.

  Options: `:timeout`.
  """
  @spec committed(GenServer.server(), group :: String.t(), topic :: String.t(), keyword()) ::
          %{(partition :: non_neg_integer()) => offset :: non_neg_integer() | nil}
  def committed(cluster, group, topic, options \\ []) do
    call = "committed/4"
    Arguments.group!(call, group)
    Arguments.topic!(call, topic)
    [timeout: timeout] = Arguments.options!(call, options, [])
    cluster |> client() |> Committed.read(group, topic, timeout) |> answer!()
  end

  @doc """
  Waits until a group has committed all that is in the topic now, and returns what `committed/4`
  does then.

  With that every record that was produced before is handled: acknowledged by the pipeline, after
  its batches and after `c:Broadway.handle_failed/2`. On a topic that is empty it waits until the
  pipeline has its partitions: from then on it misses no record, also with the default
  `offset_reset_policy: :latest`.

  Options: `:offsets` to wait for others than the end of every partition, as `%{0 => 5}`, of which
  each may be passed; `:timeout`, after which it raises an error that says what is committed.
  """
  @spec await_committed(GenServer.server(), group :: String.t(), topic :: String.t(), keyword()) ::
          offsets()
  def await_committed(cluster, group, topic, options \\ []) do
    call = "await_committed/4"
    Arguments.group!(call, group)
    Arguments.topic!(call, topic)
    options = Arguments.options!(call, options, [:offsets])
    cluster |> client() |> Committed.await(group, topic, options) |> answer!()
  end

  @doc "Puts a broker, or `:all` of them, into a state. Their ids are `1` and up."
  @spec broker(GenServer.server(), pos_integer() | :all, broker_state()) :: :ok
  def broker(cluster, id, broker_state) do
    Arguments.broker_state!("broker/3", broker_state)
    state = state(cluster)
    id = Arguments.broker!("broker/3", id, state.brokers)
    native(state, :mock_broker, [id, broker_state])
  end

  @doc """
  Fails the next requests of a kind, whoever sends them: the first by the first error, and so on.
  Requests after those succeed again, and librdkafka sends many of those that failed again itself.

      request_errors(cluster, :offset_commit, [:not_coordinator, :not_coordinator])
      request_errors(cluster, :fetch, [:transport])

  The requests are #{Faults.requests() |> Enum.map_join(", ", &"`#{inspect(&1)}`")}.
  """
  @spec request_errors(GenServer.server(), request(), [error_code()]) :: :ok
  def request_errors(cluster, request, errors) do
    key = Faults.request!("request_errors/3", request)
    codes = Faults.codes!("request_errors/3", errors)
    cluster |> state() |> native(:mock_request_errors, [key, codes])
  end

  @doc """
  Answers whoever asks for a topic with an error, until it is `:no_error`.

      topic_error(cluster, "orders", :topic_authorization_failed)

  Clients notice when they ask the next time, which is when they start, and every
  `topic.metadata.refresh.interval.ms`. A topic that was not there is, after that.
  """
  @spec topic_error(GenServer.server(), String.t(), error_code()) :: :ok
  def topic_error(cluster, topic, error) do
    Arguments.topic!("topic_error/3", topic)
    [code] = Faults.codes!("topic_error/3", [error])
    cluster |> state() |> native(:mock_topic_error, [topic, code])
  end

  @doc "Stops the brokers, and returns when they are gone."
  @spec stop(GenServer.server()) :: :ok
  def stop(cluster), do: GenServer.stop(cluster)

  @impl GenServer
  def init(options) do
    # So that `terminate/2` runs when a supervisor stops us.
    Process.flag(:trap_exit, true)

    with {:ok, cluster, bootstrap} <- Native.mock_start(options[:brokers]),
         :ok <- create(cluster, options[:topics]),
         {:ok, client} <- TestClient.start(bootstrap, @client) do
      state = [cluster: cluster, bootstrap: bootstrap, client: client]
      {:ok, struct!(State, [brokers: options[:brokers]] ++ state)}
    else
      {:error, %Error{} = error} -> {:stop, error}
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:state, _from, %State{} = state), do: {:reply, state, state}

  # The brokers last: a client may otherwise wait for them.
  @impl GenServer
  def terminate(_reason, %State{} = state) do
    TestClient.stop(state.client)
    Native.mock_stop(state.cluster)
  end

  @spec create(Native.cluster(), [{String.t(), pos_integer()}]) :: :ok | {:error, Native.error()}
  defp create(cluster, topics) do
    Enum.reduce_while(topics, :ok, fn {name, partitions}, :ok ->
      case Native.mock_topic(cluster, name, partitions) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  # What a call needs is handed out, so that calls that wait keep no others waiting.
  @spec state(GenServer.server()) :: State.t()
  defp state(cluster), do: GenServer.call(cluster, :state)

  @spec client(GenServer.server()) :: TestClient.t()
  defp client(cluster), do: state(cluster).client

  @spec native(State.t(), atom(), [term()]) :: :ok
  defp native(state, function, arguments) do
    with {:error, error} <- apply(Native, function, [state.cluster | arguments]),
         do: raise(Error.from_native(error))
  end

  @spec answer!({:ok, answer} | {:error, Error.t()}) :: answer when answer: term()
  defp answer!({:ok, answer}), do: answer
  defp answer!({:error, error}), do: raise(error)
end
