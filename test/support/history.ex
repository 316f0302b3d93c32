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
  #     History.watch_committed(history, kafka, group, topic, partitions, 100)
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
  # A history is of one group. Its events are `{time, member, kind, place, epoch, value}`, one for each
  # partition; see `t:kind/0`. A member is a string: the pipeline's label (`TestPipeline.label/1`,
  # `TestNode.label/1`), "#", and which incarnation of its consumer it is.

  alias OffBroadwayRustKafka.{Kafka, TestClient}
  alias OffBroadwayRustKafka.History.{Acknowledger, Sink, Spans}

  @enforce_keys [:table, :keeper]
  defstruct @enforce_keys

  @type t :: %__MODULE__{table: :ets.tid(), keeper: pid()}
  @type place :: {topic :: String.t(), partition :: non_neg_integer()}
  @type member :: String.t()

  @typedoc """
  Of a member: `:started`, `:draining`, `:closed` (value: why not cleanly, or `nil`), `:stopped`,
  `:error` (value: why), `:lane` (a producer
  started: its lane), `:down` (a stage went down), `:demanded` (`{lane, count}`), `:paused` and
  `:resumed` (what is paused now).

  Of a partition of it: `:assigned` (start), `:revoked`, `:lost` (unacked), `:reset` and
  `:sought` (`{from, to}`),
  `:stalled` (offset), `:delivered` (`{lane, spans}`), `:handled`, `:acked` (spans), `:committed`
  (`{offset, latency_us}`), `:commit_failed` (`{offset, code}`).

  Of the test: `:fault`, `:fault_begins`, `:fault_ends` (what), `:gone` (of a label: how),
  `:produced` (`{first, next, gaps}`), `:recreated`, `:broker` (the offset that the brokers have as
  committed), `:queued` (`{bytes, records, {most_bytes, most_records}}`), `:called` (`{name,
  microseconds}`).
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
    sources |> Enum.flat_map(&Sink.read/1) |> sorted()
  end

  @doc "Waits until there are so many events of a kind."
  @spec await_events(t(), atom(), pos_integer()) :: :ok
  def await_events(history, kind, count) do
    Kafka.await(30_000, fn ->
      events = for {_, _, ^kind, _, _, _} = event <- events(history), do: event
      if length(events) < count, do: {:not_yet, "#{length(events)} #{kind}"}, else: :ok
    end)
  end

  @doc "The events in the files of nodes, in the order of their time."
  @spec load([Path.t()]) :: [event()]
  def load(dirs), do: dirs |> Enum.flat_map(&Sink.read({:dir, &1})) |> sorted()

  # Of what is told at the same time, each source keeps its order.
  @spec sorted([event()]) :: [event()]
  defp sorted(events), do: :lists.keysort(1, events)

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
  def handled(%{acknowledger: {Acknowledger, {_consumer, tag}, {slot, epoch, handled}}}) do
    {sink, member, _places} = tag
    place = Acknowledger.place(tag, slot)
    for part <- List.wrap(handled), do: Sink.handled(sink, member, place, epoch, part)
    :ok
  end

  def handled(_message), do: :ok

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
      produced(history, place, low, high, Map.get(gaps, partition, []))
    end

    :ok
  end

  @doc "What the brokers have as committed, asked by a client that is not under test."
  @spec ask_committed(t(), Kafka.t(), String.t(), String.t(), pos_integer()) :: Kafka.offsets()
  def ask_committed(history, kafka, group, topic, partitions) do
    asked_at = System.os_time(:nanosecond)
    committed = Kafka.committed(kafka, group, topic, partitions)
    answered(history, asked_at, committed)
    committed
  end

  @doc "Asks it every `ms` from now on, to the end of the test, whenever a broker answers."
  @spec watch_committed(t(), Kafka.t(), String.t(), String.t(), pos_integer(), pos_integer()) ::
          :ok
  def watch_committed(history, kafka, group, topic, partitions, ms) do
    ask = fn ->
      {:ok, client} = TestClient.start(kafka.bootstrap)
      watch(history, client, group, Kafka.all(topic, partitions), ms)
    end

    ExUnit.Callbacks.start_supervised!(%{id: make_ref(), start: {Task, :start_link, [ask]}})
    :ok
  end

  @spec watch(t(), TestClient.t(), String.t(), [place()], pos_integer()) :: no_return()
  defp watch(history, client, group, places, ms) do
    asked_at = System.os_time(:nanosecond)

    with {:ok, committed} <- TestClient.committed(client, group, places),
         do: answered(history, asked_at, committed)

    Kafka.pass(ms)
    watch(history, client, group, places, ms)
  end

  # What was committed while it was asked may be in the answer or not.
  @spec answered(t(), integer(), Kafka.offsets()) :: :ok
  defp answered(history, asked_at, committed) do
    for {place, offset} <- committed,
        do: Sink.write(sink(history), {asked_at, nil, :broker, place, nil, offset})

    :ok
  end

  @doc "A topic is deleted and will be created again: from here on its offsets are others."
  @spec recreated(t(), String.t(), pos_integer()) :: :ok
  def recreated(history, topic, partitions) do
    for place <- Kafka.all(topic, partitions),
        do: put(history, nil, :recreated, place, nil, nil)

    :ok
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
