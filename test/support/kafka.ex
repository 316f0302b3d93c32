defmodule OffBroadwayRustKafka.Kafka do
  @moduledoc false
  # The Kafka that a test runs on: the brokers of KAFKA_BROKERS, or a mock cluster that the whole
  # suite shares. What is committed is read back from it, never from the consumer under test.

  import ExUnit.Assertions

  alias OffBroadwayRustKafka.{TestClient, TestCluster}

  @enforce_keys [:bootstrap]
  defstruct [:bootstrap, :cluster, :client]

  @typedoc "The brokers; the mock cluster if they are one; a client other than the test's own."
  @type t :: %__MODULE__{
          bootstrap: String.t(),
          cluster: GenServer.server() | nil,
          client: TestClient.t() | nil
        }
  @type offsets :: %{{topic :: String.t(), partition :: non_neg_integer()} => integer() | nil}

  @await_ms 15_000
  @produce_ms 30_000
  @ends_ms 120_000
  @poll_ms 20

  @doc "The brokers of KAFKA_BROKERS, or the mock cluster of the suite."
  @spec shared() :: t()
  def shared do
    case System.get_env("KAFKA_BROKERS") do
      nil -> of_cluster(shared_cluster())
      brokers -> %__MODULE__{bootstrap: brokers}
    end
  end

  @doc "A mock cluster of the test's own, to do harm to."
  @spec own(keyword()) :: t()
  def own(options \\ []),
    do: of_cluster(ExUnit.Callbacks.start_supervised!({TestCluster, options}))

  @spec of_cluster(GenServer.server()) :: t()
  defp of_cluster(cluster),
    do: %__MODULE__{bootstrap: TestCluster.bootstrap(cluster), cluster: cluster}

  @doc "Who talks to it for the test: the client in it, or one of the test's own."
  @spec client(t()) :: TestClient.t()
  def client(%__MODULE__{client: nil, bootstrap: bootstrap}) do
    # Not in the test's context: ExUnit keeps that for its reports, and a client has threads.
    with nil <- Process.get({__MODULE__, bootstrap}) do
      {:ok, client} = TestClient.start(bootstrap)
      Process.put({__MODULE__, bootstrap}, client)
      client
    end
  end

  def client(%__MODULE__{client: client}), do: client

  @doc "A name that no other test, and no earlier run, has used."
  @spec random_name(String.t()) :: String.t()
  def random_name(prefix),
    do: prefix <> "-" <> Base.encode16(:crypto.strong_rand_bytes(6), case: :lower)

  @spec create_topic(t(), pos_integer(), keyword()) :: String.t()
  def create_topic(kafka, partitions, options \\ []) do
    {name, options} = Keyword.pop_lazy(options, :name, fn -> random_name("topic") end)

    :ok =
      case kafka.cluster do
        nil -> TestClient.create_topic(client(kafka), name, [partitions: partitions] ++ options)
        cluster -> TestCluster.create_topic(cluster, name, partitions)
      end

    name
  end

  @doc "Produces records; those that name no partition go round all of them, beginning with 0."
  @spec produce(t(), String.t(), [TestClient.record()]) :: [non_neg_integer()]
  def produce(%__MODULE__{cluster: cluster, client: nil}, topic, records) when cluster != nil,
    do: TestCluster.produce(cluster, topic, records, timeout: @produce_ms)

  def produce(kafka, topic, records) do
    {:ok, offsets} = TestClient.produce(client(kafka), topic, records, @produce_ms)
    offsets
  end

  @doc "Produces `count` records to every partition, each with its place as its value."
  @spec fill(t(), String.t(), partitions :: pos_integer(), count :: pos_integer()) :: :ok
  def fill(kafka, topic, partitions, count) do
    produce(kafka, topic, for(n <- 1..count, _ <- 1..partitions, do: Integer.to_string(n)))
    :ok
  end

  @spec committed(t(), String.t(), String.t(), partitions :: pos_integer()) :: offsets()
  def committed(%__MODULE__{cluster: cluster, client: nil}, group, topic, partitions)
      when cluster != nil do
    committed = TestCluster.committed(cluster, group, topic)
    Map.new(all(topic, partitions), fn {_, id} = place -> {place, committed[id]} end)
  end

  def committed(kafka, group, topic, partitions) do
    {:ok, offsets} = TestClient.committed(client(kafka), group, all(topic, partitions))
    offsets
  end

  @doc "Waits until the group has committed exactly these offsets."
  @spec await_committed(t(), String.t(), offsets(), timeout_ms :: pos_integer()) :: :ok
  def await_committed(kafka, group, expected, timeout \\ @await_ms) do
    await(timeout, fn ->
      {:ok, offsets} = TestClient.committed(client(kafka), group, Map.keys(expected))
      if offsets == expected, do: :ok, else: {:not_yet, "committed are #{inspect(offsets)}"}
    end)
  end

  @doc "The end of every partition, as the brokers say, who may have to agree on it first."
  @spec ends(t(), String.t(), pos_integer(), timeout_ms :: pos_integer()) :: %{
          {String.t(), non_neg_integer()} => non_neg_integer()
        }
  def ends(kafka, topic, partitions, timeout \\ @ends_ms) do
    for {_, partition} = place <- all(topic, partitions), into: %{} do
      await(timeout, fn ->
        case TestClient.watermarks(client(kafka), topic, partition) do
          {:ok, {_, next}} -> {place, next}
          {:error, error} -> {:not_yet, Exception.message(error)}
        end
      end)
    end
  end

  @doc "The same offset in every partition of a topic."
  @spec each(String.t(), partitions :: pos_integer(), offset) :: %{
          {String.t(), non_neg_integer()} => offset
        }
        when offset: term()
  def each(topic, partitions, offset), do: Map.new(all(topic, partitions), &{&1, offset})

  @spec all(String.t(), pos_integer()) :: [{String.t(), non_neg_integer()}]
  def all(topic, partitions), do: for(partition <- 0..(partitions - 1), do: {topic, partition})

  @doc "Asks until the answer is other than `{:not_yet, why}`, and fails when it stays that."
  @spec await(timeout_ms :: integer(), (() -> {:not_yet, String.t()} | answer)) :: answer
        when answer: term()
  def await(timeout, ask), do: await_until(System.monotonic_time(:millisecond) + timeout, ask)

  @spec await_until(integer(), (() -> {:not_yet, String.t()} | answer)) :: answer
        when answer: term()
  defp await_until(deadline, ask) do
    with {:not_yet, why} <- ask.() do
      if System.monotonic_time(:millisecond) >= deadline, do: flunk("waited in vain: " <> why)

      pass(@poll_ms)
      await_until(deadline, ask)
    end
  end

  @doc "Lets time pass, for tests that are about that."
  @spec pass(non_neg_integer()) :: :ok
  def pass(ms) do
    receive do
    after
      ms -> :ok
    end
  end

  # No test may own the cluster that all of them use.
  @spec shared_cluster() :: GenServer.server()
  defp shared_cluster do
    with nil <- Process.whereis(__MODULE__) do
      caller = self()

      spawn(fn ->
        TestCluster.start_link(name: __MODULE__, brokers: 3)
        send(caller, {__MODULE__, :started})
        Process.sleep(:infinity)
      end)

      assert_receive {__MODULE__, :started}, @await_ms
    end

    __MODULE__
  end
end
