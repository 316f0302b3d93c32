defmodule OffBroadwayRustKafka.Producer do
  @moduledoc """
  A Broadway producer that reads Kafka topics as a member of a consumer group.

      Broadway.start_link(MyPipeline,
        name: MyPipeline,
        producer: [
          module:
            {OffBroadwayRustKafka.Producer,
             hosts: "localhost:9092", group_id: "my-group", topics: ["orders"]}
        ],
        processors: [default: [concurrency: 10]],
        batchers: [default: [batch_size: 100, concurrency: 5]]
      )

  The member itself lives in Rust, on librdkafka: it fetches, remembers what was delivered and
  acknowledged, and commits. This producer takes records from it when the processors ask for them,
  never more than they asked for, and is woken when there are some.

  ## Options

  #{NimbleOptions.docs(OffBroadwayRustKafka.Options.Schema.producer())}

  All options are checked before anything starts; an `ArgumentError` says which one is wrong.

  Those of broadway_kafka and off_broadway_klife are taken as they are: see
  [Moving here](guides/migration.md) for what each of them becomes.

  ## Messages

  The data of a `Broadway.Message` is the record's value: `nil` for a tombstone, `""` for an empty
  value. Its metadata is

    * `:topic`, a string, and `:partition` and `:offset`, integers
    * `:key` - the record's key, a binary or `nil`
    * `:ts` - the record's timestamp in milliseconds since the Unix epoch, or `nil`
    * `:headers` - a list of `{name, value}` in the record's order; names may repeat, and a value
      may be `nil`. With `headers: false` it is empty

  and its batch key is `{topic, partition}`. With a `:message_format` the data is a struct.

  With a `:chunk_size` a message carries many records in place of one: see
  `OffBroadwayRustKafka.Chunk`.

  ## Order and concurrency

  Unless the pipeline sets `:partition_by` itself, all messages of a partition go through the same
  processor and the same batch processor, in the order of their offsets, and different partitions
  run side by side. There is no use in more processors than partitions. A message that came from
  elsewhere, as from `Broadway.test_message/3`, goes to the first processor if its metadata names no
  topic and partition.

  However many producers the pipeline has (`:concurrency`), it is one member of the group, and each
  partition is served by one of them. One is enough for most.

  ## A member that is shared

  With `:consumer` in place of the options of a member, a pipeline reads some topics of one that
  others read too, an `OffBroadwayRustKafka.SharedMember`:

      module: {OffBroadwayRustKafka.Producer, consumer: MyApp.Kafka, topics: ["orders"]}

  It may have a `:message_format` and a `:max_in_flight` besides; all else is the member's. For a pipeline
  for each partition, see `OffBroadwayRustKafka.__using__/1`.

  ## Acknowledgement

  A record's offset is committed once it and all delivered before it in its partition are
  acknowledged, whether they succeeded or failed: handle failures in `c:Broadway.handle_failed/2`.
  Delivery is at least once. When the pipeline stops and all its stages end within Broadway's
  `:shutdown`, the committed offset is exactly the next record after the last handled one. Where the
  brokers do not answer, a stop waits for them until `:shutdown` and two seconds are over, and no
  longer than ten seconds; that the last commit was not confirmed is logged, and told by
  `OffBroadwayRustKafka.Telemetry` as `:closed`.
  """

  use GenStage

  alias OffBroadwayRustKafka.{BatchKey, Consumer, Error, InFlight, MemberSpec, Message}
  alias OffBroadwayRustKafka.{MessageFormat, Native, Options, Partition, Pull, Sharing, Stages}

  @behaviour Broadway.Producer

  @enforce_keys [:table, :consumer, :lane, :stages, :batch_key, :format]
  defstruct @enforce_keys ++ [few: 0, demand: 0, next: :stages, lost?: false]

  # How soon to look again for stages that start.
  @watch_ms 5

  # A demand for less is joined by those of other processors, which are in the mailbox already.
  @worth_a_pull 50

  # Broadway's default.
  @shutdown_ms 30_000

  # What makes it pull again: its stages being up, demand, a wake-up, its own message, or nothing
  # any more.
  @typep next :: :stages | :demand | :wake | :pull | :never
  @typep t :: %__MODULE__{
           table: Consumer.table(),
           consumer: Native.consumer(),
           lane: non_neg_integer(),
           stages: Stages.t(),
           batch_key: (String.t(), non_neg_integer() -> BatchKey.t()),
           format: MessageFormat.t(),
           few: non_neg_integer(),
           lost?: boolean(),
           demand: non_neg_integer(),
           next: next()
         }

  @impl Broadway.Producer
  def prepare_for_start(module, broadway) do
    {__MODULE__, given} = broadway[:producer][:module]
    table = Consumer.new_table()

    own =
      if Keyword.keyword?(given) and Keyword.has_key?(given, :consumer),
        do: Sharing.prepare(given, broadway, table),
        else: own(given, broadway, table)

    options = [
      consumer: table,
      stages: Stages.names(module, broadway),
      few: div(Pull.few(), own.chunk_size || 1),
      batch_key: batch_key(broadway),
      message_format: own.message_format
    ]

    {[own.child], rewrite(broadway, options ++ own.shown, own.partition_by)}
  end

  @spec own(term(), keyword(), Consumer.table()) :: map()
  defp own(given, broadway, table) do
    options = Options.validate!(given)

    place = %{
      table: table,
      name: broadway[:name],
      lanes: broadway[:producer][:concurrency] || 1,
      max_in_flight: options.max_in_flight || InFlight.default(broadway, options.chunk_size),
      shutdown_ms: broadway[:shutdown] || @shutdown_ms
    }

    case MemberSpec.new(options, place) do
      {:ok, consumer} ->
        %{
          child: {Consumer, consumer},
          message_format: options.message_format,
          chunk_size: options.chunk_size,
          partition_by: Partition.partition_by(table),
          shown: [hosts: options.hosts, group_id: options.group_id, topics: options.topics]
        }

      {:error, message} ->
        Options.refuse!(message)
    end
  end

  @impl GenStage
  def init(options) do
    table = options[:consumer]
    {:ok, consumer} = Consumer.fetch(table)
    lane = first_lane(table) + options[:broadway][:index]
    stages = Stages.new(options[:stages])

    state = %__MODULE__{
      table: table,
      consumer: consumer,
      lane: lane,
      stages: stages,
      batch_key: options[:batch_key],
      format: MessageFormat.new(options[:message_format]),
      few: options[:few]
    }

    case Native.attach(consumer, state.lane) do
      :ok -> {:producer, watch_later(state)}
      # Busy: it is asked again, as for stages that are gone.
      {:error, {_, _, true, _, _, _}} -> {:producer, watch_later(%{state | lost?: true})}
      {:error, error} -> raise Error.from_native(error)
    end
  end

  @impl GenStage
  def handle_demand(demand, state) do
    state = %{state | demand: state.demand + demand}

    cond do
      state.next != :demand -> {:noreply, [], state}
      state.demand < @worth_a_pull -> {:noreply, [], pull_later(state)}
      true -> pull(state)
    end
  end

  @impl GenStage
  def handle_info({:off_broadway_rust_kafka, :wake}, %{next: next} = state)
      when next in [:demand, :wake],
      do: pull(state)

  def handle_info({:off_broadway_rust_kafka, :pull}, %{next: :pull} = state), do: pull(state)
  def handle_info({:off_broadway_rust_kafka, :watch}, %{next: :stages} = state), do: watch(state)

  def handle_info({:DOWN, ref, :process, pid, _}, %{next: next} = state) when next != :never do
    case Stages.down(state.stages, ref, pid) do
      {:ok, stages} when next == :stages -> {:noreply, [], %{state | stages: stages, lost?: true}}
      {:ok, stages} -> {:noreply, [], watch_later(%{state | stages: stages, lost?: true})}
      :error -> {:noreply, [], state}
    end
  end

  def handle_info(_late_or_foreign, state), do: {:noreply, [], state}

  @impl Broadway.Producer
  def prepare_for_draining(state) do
    Consumer.draining(state.table)
    {:noreply, [], %{state | next: :never}}
  end

  # Without batchers it would cost more than it saves.
  @spec batch_key(keyword()) :: (String.t(), non_neg_integer() -> BatchKey.t())
  defp batch_key(broadway) do
    if Keyword.get(broadway, :batchers, []) == [],
      do: &BatchKey.plain/2,
      else: &BatchKey.literal/2
  end

  # Those of a member that is shared were claimed.
  @spec first_lane(Consumer.table()) :: non_neg_integer()
  defp first_lane(table), do: (Consumer.lanes(table) || 0..0).first

  # While a stage is down nothing is pulled: what Broadway dispatched to it would be lost. Once all
  # are up again, what the dead ones held and did not acknowledge is delivered anew.
  @spec watch(t()) :: {:noreply, [], t()}
  defp watch(state) do
    case Stages.watch(state.stages) do
      {:all_up, stages} -> {:noreply, [], redeliver(%{state | stages: stages})}
      {:some_down, stages} -> {:noreply, [], watch_later(%{state | stages: stages})}
    end
  end

  @spec watch_later(t()) :: t()
  defp watch_later(state) do
    Process.send_after(self(), {:off_broadway_rust_kafka, :watch}, @watch_ms)
    %{state | next: :stages}
  end

  # A consumer that is busy, or closed, is asked again.
  @spec redeliver(t()) :: t()
  defp redeliver(%{lost?: true} = state) do
    case Native.attach(state.consumer, state.lane) do
      :ok -> pull_later(%{state | lost?: false})
      {:error, _} -> watch_later(state)
    end
  end

  defp redeliver(state), do: pull_later(state)

  @spec pull(t()) :: {:noreply, [Broadway.Message.t()], t()}
  defp pull(%{demand: 0} = state), do: {:noreply, [], %{state | next: :demand}}

  defp pull(%{consumer: consumer, lane: lane, demand: demand} = state) do
    {status, count, runs} = Pull.take(consumer, lane, demand, state.few)
    state = %{state | demand: demand - count, next: next(status, demand - count)}
    messages = Message.from_runs(runs, consumer, state.batch_key)
    {:noreply, MessageFormat.put(messages, state.format), state}
  end

  @spec pull_later(t()) :: t()
  defp pull_later(state), do: %{state | next: later()}

  @spec next(:more | :armed, non_neg_integer()) :: next()
  defp next(:armed, _demand), do: :wake
  defp next(:more, 0), do: :demand
  defp next(:more, _demand), do: later()

  # Through the mailbox: a long backlog does not keep demand and shutdown waiting, and GenStage hears
  # of a stage that is gone before it dispatches again.
  @spec later() :: next()
  defp later do
    send(self(), {:off_broadway_rust_kafka, :pull})
    :pull
  end

  # Broadway puts these options into telemetry and crash reports: no property is left in them.
  @spec rewrite(keyword(), keyword(), (term() -> non_neg_integer())) :: keyword()
  defp rewrite(broadway, options, partition_by) do
    broadway
    |> put_in([:producer, :module], {__MODULE__, options})
    |> Keyword.update!(:processors, &put_partition_by(&1, partition_by))
    |> Keyword.update(:batchers, [], &put_partition_by(&1, partition_by))
  end

  @spec put_partition_by(keyword(), (term() -> non_neg_integer())) :: keyword()
  defp put_partition_by(stages, partition_by) do
    for {key, options} <- stages, do: {key, Keyword.put_new(options, :partition_by, partition_by)}
  end
end
