defmodule Demo.Source do
  @moduledoc false
  # The topic that is read: one of the demo's own with a random name, or the user's, as it is.
  #
  # Of its own records the demo produces one part ahead, the backlog, and one part live, while the
  # pipeline runs: these carry the time of that in their value.

  alias Demo.{Interrupt, Latency}
  alias OffBroadwayRustKafka.{Error, TestClient, TestCluster}

  @keys_per_partition 1000
  @value_bytes 100
  @chunk 5000

  @live_most 20_000
  @live_ms 4000
  @tick_ms 10

  # How long a user's broker may take to answer first.
  @connect_ms 10_000

  @enforce_keys [:mode, :brokers, :client, :topic, :first, :target, :backlog, :live, :produced]
  defstruct @enforce_keys

  @typedoc """
  `first` and `target` hold an offset for each partition: where it begins, and where it will have
  been read. `backlog` and `live` count offsets; those of a user's topic are all backlog.
  `produced` is how long it took to produce each few live records.
  """
  @type t :: %__MODULE__{
          mode: :mock | :kafka | :brokers,
          brokers: String.t(),
          client: TestClient.t(),
          topic: String.t(),
          first: [non_neg_integer(), ...],
          target: [non_neg_integer(), ...],
          backlog: pos_integer(),
          live: non_neg_integer(),
          produced: Latency.t()
        }

  @type options :: %{
          mode: :mock | :kafka | :brokers,
          brokers: String.t(),
          topic: String.t(),
          records: non_neg_integer(),
          partitions: non_neg_integer(),
          cluster: GenServer.server() | nil
        }

  @doc "The user's topic as it is now, or an empty one of the demo's own."
  @spec open!(options()) :: t()
  def open!(%{mode: :brokers, brokers: brokers, topic: topic}) do
    client = brokers |> TestClient.start() |> ok!()
    count = client |> TestClient.partitions(topic, @connect_ms) |> ok!("#{topic} at #{brokers}: ")
    marks = for p <- 0..(count - 1), do: client |> TestClient.watermarks(topic, p) |> ok!()
    {first, target} = Enum.unzip(marks)
    size = Enum.sum(target) - Enum.sum(first)
    if size == 0, do: throw({:failed, "topic #{topic} holds no records to read."})

    new(:brokers, brokers, client, topic, first, target, {size, 0})
  end

  def open!(%{mode: mode, brokers: brokers, records: records, partitions: partitions} = options) do
    topic = "demo-" <> random()
    client = brokers |> TestClient.start("linger.ms": 0) |> ok!()
    create!(options.cluster, client, topic, partitions)

    live = min(div(records, 3), @live_most)
    counts = Enum.frequencies(for i <- 0..(records - 1), do: partition(i, partitions))
    target = for p <- 0..(partitions - 1), do: Map.get(counts, p, 0)
    first = List.duplicate(0, partitions)
    new(mode, brokers, client, topic, first, target, {records - live, live})
  end

  @spec random() :: String.t()
  def random, do: Base.encode16(:crypto.strong_rand_bytes(4), case: :lower)

  @doc "Whether the demo made the topic, and so knows every record in it."
  @spec ours?(t()) :: boolean()
  def ours?(source), do: source.mode != :brokers

  @doc "What the table counts the waits of its records from."
  @spec since(t()) :: Demo.Latency.since()
  def since(source), do: if(ours?(source), do: :arrival, else: :delivery)

  @doc "How many offsets there are to read."
  @spec size(t()) :: pos_integer()
  def size(source), do: source.backlog + source.live

  @doc "When a live record was handed to the producing client (monotonic time), else `nil`."
  @spec stamp(binary() | nil) :: integer() | nil
  def stamp(<<1, at::signed-64, _::binary>>), do: at
  def stamp(_value), do: nil

  @spec produce_backlog!(t()) :: :ok
  def produce_backlog!(%{backlog: backlog} = source) do
    for from <- 0..(backlog - 1)//@chunk do
      Interrupt.check()
      produce!(source, from..(min(from + @chunk, backlog) - 1)//1, <<0, 0::64>>)
    end

    :ok
  end

  @doc "Starts to produce the live records, spread over some seconds. A failure is an interrupt."
  @spec produce_live(t()) :: :ok
  def produce_live(source) do
    parent = self()

    spawn_link(fn ->
      try do
        produce_ticks!(source, System.monotonic_time(:millisecond))
      catch
        failed -> Interrupt.send(parent, failed)
      end
    end)

    :ok
  end

  @doc "What the group has committed, one for each partition, as the broker says."
  @spec committed!(t(), group_id :: String.t()) :: [non_neg_integer() | nil]
  def committed!(source, group_id) do
    partitions = for p <- partitions(source), do: {source.topic, p}
    committed = source.client |> TestClient.committed(group_id, partitions) |> ok!()
    Enum.map(partitions, &committed[&1])
  end

  @doc "Where each partition ends now."
  @spec high_watermarks!(t()) :: [non_neg_integer()]
  def high_watermarks!(source) do
    for p <- partitions(source) do
      {_low, high} = source.client |> TestClient.watermarks(source.topic, p) |> ok!()
      high
    end
  end

  @doc "Leaves nothing behind: the mock cluster's topics go with it, the user's stay."
  @spec close(t()) :: :ok
  def close(%{mode: :kafka} = source) do
    _ = TestClient.delete_topic(source.client, source.topic)
    :ok
  end

  def close(_source), do: :ok

  @spec partitions(t()) :: Range.t()
  defp partitions(source), do: 0..(length(source.first) - 1)

  @spec new(
          atom(),
          String.t(),
          TestClient.t(),
          String.t(),
          list(),
          list(),
          {integer(), integer()}
        ) ::
          t()
  defp new(mode, brokers, client, topic, first, target, {backlog, live}) do
    %__MODULE__{
      mode: mode,
      brokers: brokers,
      client: client,
      topic: topic,
      first: first,
      target: target,
      backlog: backlog,
      live: live,
      produced: Latency.new(1)
    }
  end

  @spec create!(GenServer.server() | nil, TestClient.t(), String.t(), pos_integer()) :: :ok
  defp create!(nil, client, topic, partitions),
    do: client |> TestClient.create_topic(topic, partitions: partitions) |> ok!()

  defp create!(cluster, _client, topic, partitions),
    do: cluster |> TestCluster.create_topic(topic, partitions) |> ok!()

  @spec produce!(t(), Range.t(), binary()) :: [non_neg_integer()]
  defp produce!(source, range, stamp) do
    count = length(source.first)
    value = stamp <> String.duplicate("x", @value_bytes - byte_size(stamp))

    records =
      for i <- range, do: [key: key(i, count), value: value, partition: partition(i, count)]

    source.client |> TestClient.produce(source.topic, records) |> ok!()
  end

  @spec produce_ticks!(t(), start_ms :: integer()) :: :ok
  defp produce_ticks!(%{backlog: backlog, live: live} = source, start) do
    a_tick = max(ceil(live * @tick_ms / @live_ms), 1)

    for {from, tick} <- Enum.with_index(backlog..(backlog + live - 1)//a_tick) do
      wait_until(start + tick * @tick_ms)
      at = System.monotonic_time(:nanosecond)
      produce!(source, from..(min(from + a_tick, backlog + live) - 1)//1, <<1, at::signed-64>>)
      Latency.add(source.produced, 0, System.monotonic_time(:nanosecond) - at)
    end

    :ok
  end

  # So many that the mock cluster's partitions, which hold little, fill evenly.
  @spec key(non_neg_integer(), pos_integer()) :: String.t()
  defp key(i, count), do: "user-#{rem(i, @keys_per_partition * count)}"

  @spec partition(non_neg_integer(), pos_integer()) :: non_neg_integer()
  defp partition(i, count), do: :erlang.phash2(key(i, count), count)

  @spec wait_until(ms :: integer()) :: :ok
  defp wait_until(ms) do
    receive do
    after
      max(ms - System.monotonic_time(:millisecond), 0) -> :ok
    end
  end

  @spec ok!(:ok | {:ok, term()} | {:error, Error.t()}, where :: String.t()) :: term()
  defp ok!(result, where \\ "")
  defp ok!(:ok, _where), do: :ok
  defp ok!({:ok, answer}, _where), do: answer
  defp ok!({:error, error}, where), do: throw({:failed, where <> Exception.message(error)})
end
