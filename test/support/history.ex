defmodule OffBroadwayRustKafka.History do
  @moduledoc false
  # What happened in pipelines, of one or several members, in this VM or on nodes of their own:
  #
  #     history = History.start()
  #     pipeline = TestPipeline.start(kafka, [topic], history: history)
  #     node = TestNode.start(kafka, [topic], history: history)
  #     History.fault(history, "a processor is killed")
  #     History.begin_fault(history, "broker 2 is down")
  #     History.end_fault(history, "broker 2 is down")
  #     History.ask_produced(history, kafka, topic, partitions)
  #     History.ask_committed(history, kafka, group, topic, partitions)
  #     Checker.assert_sound!(history, at_end: :all_committed)
  #
  # A pipeline is recorded by a producer of its own (`History.Producer`) around the product's, which
  # writes each thing down before it takes effect: what is delivered before it is emitted, acks
  # before they are handed on. So a log that ends by a `kill -9` never lacks what had an effect.
  # What the group member tells comes from its telemetry, which may be a little late: of what
  # happened at once, its events come last.
  #
  # Events are `{time, member, kind, place, epoch, value}`, one for each partition; see `t:kind/0`.
  # A member is a string: the pipeline's label, "#" and which incarnation of its consumer it is.

  alias OffBroadwayRustKafka.{Kafka, TestClient}
  alias OffBroadwayRustKafka.History.{Sink, Spans}

  @enforce_keys [:table, :keeper]
  defstruct @enforce_keys

  @type t :: %__MODULE__{table: :ets.tid(), keeper: pid()}
  @type place :: {topic :: String.t(), partition :: non_neg_integer()}
  @type member :: String.t()

  @typedoc """
  Of a member: `:started`, `:draining`, `:stopped`, `:error` (value: why), `:lane` (a producer
  started: its lane), `:down` (a stage went down), `:demanded` (`{lane, count}`).

  Of a partition of it: `:assigned` (start), `:revoked`, `:lost` (unacked), `:reset` (`{from, to}`),
  `:stalled` (offset), `:delivered` (`{lane, spans}`), `:handled`, `:acked` (spans), `:committed`
  (`{offset, latency_us}`), `:commit_failed` (`{offset, code}`).

  Of the test: `:fault`, `:fault_begins`, `:fault_ends` (what), `:gone` (the whole label, at once: how), `:produced`
  (`{first, next, gaps}`), `:broker` (the offset that the brokers have as committed), `:queued`
  (`{bytes, records, {most_bytes, most_records}}`), `:called` (`{name, microseconds}`).
  """
  @type kind :: atom()
  @type event ::
          {time_ns :: integer(), member() | nil, kind(), place() | nil,
           epoch :: non_neg_integer() | nil, value :: term()}

  @doc "A history for as long as the test runs. Start it before the pipelines that it is of."
  @spec start() :: t()
  def start do
    child = %{id: make_ref(), start: {__MODULE__, :start_link, []}}
    keeper = ExUnit.Callbacks.start_supervised!(child)
    %__MODULE__{table: Agent.get(keeper, & &1.table), keeper: keeper}
  end

  # The table must outlive the test's process, as pipelines do.
  @doc false
  @spec start_link() :: Agent.on_start()
  def start_link, do: Agent.start_link(fn -> %{table: Sink.new_table(), dirs: []} end)

  @doc "All events so far, of this VM and of the nodes, in the order of their time."
  @spec events(t()) :: [event()]
  def events(%__MODULE__{table: table, keeper: keeper}) do
    dirs = Agent.get(keeper, & &1.dirs)
    sources = [{:table, table} | Enum.map(dirs, &{:dir, &1})]
    sources |> Enum.flat_map(&Sink.read/1) |> Enum.sort_by(&elem(&1, 0))
  end

  @doc "The events in the files of nodes, in the order of their time."
  @spec load([Path.t()]) :: [event()]
  def load(dirs), do: dirs |> Enum.flat_map(&Sink.read({:dir, &1})) |> Enum.sort_by(&elem(&1, 0))

  @doc "Makes the files in a folder part of the history."
  @spec add_dir(t(), Path.t()) :: :ok
  def add_dir(%{keeper: keeper}, dir),
    do: Agent.update(keeper, &Map.update!(&1, :dirs, fn dirs -> [dir | dirs] end))

  @spec sink(t()) :: Sink.t()
  def sink(%__MODULE__{table: table}), do: {:table, table}

  @doc "The label of a member: of all incarnations of its consumer."
  @spec label(member()) :: String.t()
  def label(member), do: member |> String.split("#") |> hd()

  @doc "For a handler: this message was handled. Of a message that no history is kept of, nothing."
  @spec handled(Broadway.Message.t()) :: :ok
  def handled(
        %{acknowledger: {__MODULE__.Acknowledger, {_, {sink, member}}, {_, epoch, offset}}} =
          message
      ) do
    Sink.handled(sink, member, place(message), epoch, offset)
  end

  def handled(_message), do: :ok

  @spec place(Broadway.Message.t()) :: place()
  def place(%{metadata: %{topic: topic, partition: partition}}), do: {topic, partition}

  @doc "Something goes wrong now, as a process that is killed. Say so before it does."
  @spec fault(t(), term(), member() | nil) :: :ok
  def fault(history, what, member \\ nil), do: put(history, member, :fault, nil, nil, what)

  @doc "Something goes wrong for a while, as a broker that is down: nothing need be served."
  @spec begin_fault(t(), term(), member() | nil) :: :ok
  def begin_fault(history, what, member \\ nil),
    do: put(history, member, :fault_begins, nil, nil, what)

  @spec end_fault(t(), term(), member() | nil) :: :ok
  def end_fault(history, what, member \\ nil),
    do: put(history, member, :fault_ends, nil, nil, what)

  @doc "All members of this label are gone."
  @spec gone(t(), label :: String.t(), how :: term()) :: :ok
  def gone(history, label, how), do: put(history, label, :gone, nil, nil, how)

  @doc "What a partition has: the offsets from `first` to `next`, but not those in `gaps`."
  @spec produced(t(), place(), non_neg_integer(), non_neg_integer(), [Spans.offset_or_range()]) ::
          :ok
  def produced(history, place, first, next, gaps \\ []),
    do: put(history, nil, :produced, place, nil, {first, next, Spans.new(gaps)})

  @doc "What the brokers say a topic has; `gaps` are offsets or ranges without records, by partition."
  @spec ask_produced(t(), Kafka.t(), String.t(), pos_integer(), %{
          optional(non_neg_integer()) => [Spans.offset_or_range()]
        }) :: :ok
  def ask_produced(history, kafka, topic, partitions, gaps \\ %{}) do
    for {_, partition} = place <- Kafka.all(topic, partitions) do
      {:ok, {low, high}} = TestClient.watermarks(Kafka.client(kafka), topic, partition)
      produced(history, place, low, high, Map.get(gaps, place, []))
    end

    :ok
  end

  @doc "What the brokers have as committed, asked by a client that is not under test."
  @spec ask_committed(t(), Kafka.t(), String.t(), String.t(), pos_integer()) :: Kafka.offsets()
  def ask_committed(history, kafka, group, topic, partitions) do
    asked_at = System.os_time(:nanosecond)
    committed = Kafka.committed(kafka, group, topic, partitions)

    for {place, offset} <- committed,
        do: Sink.write(sink(history), {asked_at, nil, :broker, place, nil, offset})

    committed
  end

  @doc "What is queued, and what may be."
  @spec queued(t(), non_neg_integer(), non_neg_integer(), {pos_integer(), pos_integer()}) :: :ok
  def queued(history, bytes, records, bounds),
    do: put(history, nil, :queued, nil, nil, {bytes, records, bounds})

  @doc "How long a call on a normal scheduler took."
  @spec called(t(), atom(), non_neg_integer()) :: :ok
  def called(history, name, microseconds),
    do: put(history, nil, :called, nil, nil, {name, microseconds})

  @spec put(t(), member() | nil, kind(), place() | nil, term(), term()) :: :ok
  defp put(history, member, kind, place, epoch, value),
    do: Sink.write(sink(history), member, kind, place, epoch, value)
end
