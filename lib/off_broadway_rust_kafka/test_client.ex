defmodule OffBroadwayRustKafka.TestClient do
  @moduledoc false
  # The other side of tests and the demo, on any brokers: makes topics and records, and reads what a
  # group has committed. Users have what they need of it by `OffBroadwayRustKafka.TestCluster`.

  alias OffBroadwayRustKafka.{Error, Native, TestCluster}
  alias OffBroadwayRustKafka.TestCluster.Records

  @timeout 30_000
  @again_ms 50

  @type t :: Native.client()
  @type record :: TestCluster.record()
  @type partition :: %{
          leader: integer() | nil,
          replicas: [integer()],
          in_sync: [integer()]
        }
  # -1: where the partitioner puts it.
  @typep row ::
           Records.row() | {-1, binary(), binary() | nil, Native.headers(), pos_integer() | nil}

  @doc """
  A client of the cluster at `bootstrap` (`"host:port,..."`).

  `config` is librdkafka's, by its own names: `[{"compression.type", "zstd"}]` or
  `["linger.ms": 0]`. With a `"transactional.id"` it produces in transactions only. The client is
  gone when it is stopped, or its last reference is gone.
  """
  @spec start(String.t(), Enumerable.t()) :: {:ok, t()} | {:error, Error.t()}
  def start(bootstrap, config \\ []) do
    given = for {name, value} <- config, do: {to_string(name), to_string(value)}
    result(Native.client_start([{"bootstrap.servers", bootstrap} | given]))
  end

  @doc "Ends it, or lets the calls that are under way end it."
  @spec stop(t()) :: :ok
  def stop(client), do: Native.client_stop(client)

  @doc """
  Creates a topic, and returns once the brokers show it. The mock cluster cannot: use
  `OffBroadwayRustKafka.TestCluster.create_topic/3` there.

  Options: `:partitions` (1), `:replication` (1), `:config`, the topic's own
  (`["message.timestamp.type": "LogAppendTime"]`), `:timeout` (30 s).
  """
  @spec create_topic(t(), String.t(), keyword()) :: :ok | {:error, Error.t()}
  def create_topic(client, name, options \\ []) do
    options =
      Keyword.validate!(options, partitions: 1, replication: 1, config: [], timeout: @timeout)

    config = for {key, value} <- options[:config], do: {to_string(key), to_string(value)}
    [partitions, replication] = [options[:partitions], options[:replication]]

    result(
      Native.client_create_topic(
        client,
        name,
        partitions,
        replication,
        config,
        options[:timeout]
      )
    )
  end

  @doc "Deletes a topic, and returns once the brokers no longer show it."
  @spec delete_topic(t(), String.t(), timeout_ms :: pos_integer()) :: :ok | {:error, Error.t()}
  def delete_topic(client, name, timeout \\ @timeout),
    do: result(Native.client_delete_topic(client, name, timeout))

  @doc "Raises a topic's partitions to `total`, and returns once the brokers show them."
  @spec add_partitions(t(), String.t(), pos_integer(), timeout_ms :: pos_integer()) ::
          :ok | {:error, Error.t()}
  def add_partitions(client, name, total, timeout \\ @timeout),
    do: result(Native.client_add_partitions(client, name, total, timeout))

  @doc """
  Produces records and waits until the brokers have them all: their offsets, in the order given.

  Those without a partition go where their key belongs, by the client's `"partitioner"`; without a
  key too, round the topic's partitions, from 0 in every call.
  """
  @spec produce(t(), String.t(), [record()], timeout_ms :: pos_integer()) ::
          {:ok, [non_neg_integer()]} | {:error, Error.t()}
  def produce(client, topic, records, timeout \\ @timeout) do
    rows = Records.rows!("#{inspect(__MODULE__)}.produce/4", records)
    produce_rows(client, topic, rows, timeout)
  end

  @doc "The same, of records that are checked."
  @spec produce_rows(t(), String.t(), [Records.row()], timeout_ms :: pos_integer()) ::
          {:ok, [non_neg_integer()]} | {:error, Error.t()}
  def produce_rows(client, topic, rows, timeout) do
    with {:ok, rows} <- place(rows, client, topic, timeout),
         do: result(Native.client_produce(client, topic, rows, timeout))
  end

  @doc "Begins, commits or aborts a transaction of a client with a `\"transactional.id\"`."
  @spec transaction(t(), :begin | :commit | :abort, timeout_ms :: pos_integer()) ::
          :ok | {:error, Error.t()}
  def transaction(client, step, timeout \\ @timeout),
    do: result(Native.client_transaction(client, step, timeout))

  @doc "Deletes a partition's records below an offset, as retention does."
  @spec delete_records(
          t(),
          String.t(),
          non_neg_integer(),
          below :: non_neg_integer(),
          timeout_ms :: pos_integer()
        ) :: :ok | {:error, Error.t()}
  def delete_records(client, topic, partition, below, timeout \\ @timeout),
    do: result(Native.client_delete_records(client, topic, partition, below, timeout))

  @doc "What the group has committed, `nil` where nothing, by `{topic, partition}`."
  @spec committed(t(), String.t(), [{String.t(), non_neg_integer()}], timeout_ms :: pos_integer()) ::
          {:ok, %{{String.t(), non_neg_integer()} => non_neg_integer() | nil}}
          | {:error, Error.t()}
  def committed(client, group, partitions, timeout \\ @timeout) do
    ask = &Native.client_committed(client, group, partitions, &1)

    with {:ok, offsets} <- result(patiently(timeout, ask)),
         do: {:ok, Map.new(offsets, fn {topic, partition, at} -> {{topic, partition}, at} end)}
  end

  @doc """
  Commits offsets for a group. A broker takes them only while the group has no member.

  Options: `:metadata`, as some clients have it beside each offset, and `:timeout` (30 s).
  """
  @spec commit(t(), String.t(), [{String.t(), non_neg_integer(), non_neg_integer()}], keyword()) ::
          :ok | {:error, Error.t()}
  def commit(client, group, offsets, options \\ []) do
    options = Keyword.validate!(options, metadata: "", timeout: @timeout)
    commit = &Native.client_commit(client, group, offsets, options[:metadata], &1)
    result(patiently(options[:timeout], commit))
  end

  @doc "A partition's first offset and the one after its last."
  @spec watermarks(t(), String.t(), non_neg_integer(), timeout_ms :: pos_integer()) ::
          {:ok, {low :: non_neg_integer(), high :: non_neg_integer()}} | {:error, Error.t()}
  def watermarks(client, topic, partition, timeout \\ @timeout),
    do: result(Native.client_watermarks(client, topic, partition, timeout))

  @doc "The offsets of the records that a partition holds, as a reader without a group sees them."
  @spec offsets(t(), String.t(), non_neg_integer(), timeout_ms :: pos_integer()) ::
          {:ok, [non_neg_integer()]} | {:error, Error.t()}
  def offsets(client, topic, partition, timeout \\ @timeout),
    do: result(Native.client_offsets(client, topic, partition, timeout))

  @doc "How many partitions a topic has."
  @spec partitions(t(), String.t(), timeout_ms :: pos_integer()) ::
          {:ok, pos_integer()} | {:error, Error.t()}
  def partitions(client, topic, timeout \\ @timeout),
    do: result(Native.client_partitions(client, topic, timeout))

  @doc "Every partition, as one of the brokers sees it now; brokers are told by their ids."
  @spec topics(t(), timeout_ms :: pos_integer()) ::
          {:ok, %{{String.t(), non_neg_integer()} => partition()}} | {:error, Error.t()}
  def topics(client, timeout \\ @timeout) do
    with {:ok, topics} <- result(Native.client_topics(client, timeout)) do
      {:ok,
       for {topic, rows} <- topics, {id, leader, replicas, in_sync} <- rows, into: %{} do
         {{topic, id}, %{leader: leader, replicas: replicas, in_sync: in_sync}}
       end}
    end
  end

  @spec place([row()], t(), String.t(), pos_integer()) :: {:ok, [row()]} | {:error, Error.t()}
  defp place(rows, client, topic, timeout) do
    if Enum.any?(rows, &(elem(&1, 0) == nil)) do
      with {:ok, count} <- partitions(client, topic, timeout), do: {:ok, go_round(rows, count)}
    else
      {:ok, rows}
    end
  end

  @spec go_round([row()], pos_integer()) :: [row()]
  defp go_round(rows, count) do
    {rows, _next} =
      Enum.map_reduce(rows, 0, fn
        {nil, nil, _, _, _} = row, next -> {put_elem(row, 0, next), rem(next + 1, count)}
        {nil, _key, _, _, _} = row, next -> {put_elem(row, 0, -1), next}
        row, next -> {row, next}
      end)

    rows
  end

  # A group's coordinator may just be moving to another broker, or loading what was committed.
  @spec patiently(timeout_ms :: integer(), (timeout_ms :: pos_integer() -> result)) :: result
        when result: :ok | {:ok, term()} | {:error, Native.error()}
  defp patiently(timeout, ask) do
    started = System.monotonic_time(:millisecond)

    with {:error, {_, _, true, _, _, _}} = error <- ask.(timeout) do
      left = timeout - (System.monotonic_time(:millisecond) - started) - @again_ms

      receive do
      after
        @again_ms -> if left > 0, do: patiently(left, ask), else: error
      end
    end
  end

  @spec result(:ok | {:ok, answer} | {:error, Native.error()}) ::
          :ok | {:ok, answer} | {:error, Error.t()}
        when answer: term()
  defp result({:error, error}), do: {:error, Error.from_native(error)}
  defp result(result), do: result
end
