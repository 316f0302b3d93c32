defmodule OffBroadwayRustKafka.Stage do
  @moduledoc """
  A [GenStage](https://hexdocs.pm/gen_stage) producer of records, for pipelines that are not Broadway's,
  and for [Flow](https://hexdocs.pm/flow).

      {:ok, stage} =
        OffBroadwayRustKafka.Stage.start_link(
          hosts: "localhost:9092",
          group_id: "my-group",
          topics: ["orders"]
        )

      {:ok, _} = GenStage.sync_subscribe(MyApp.Consumer, to: stage, max_demand: 100)

  It is a member of the group, and emits each record as an `OffBroadwayRustKafka.Record`, to the
  subscriber that wants most. It takes records from the consumer in Rust when subscribers ask for them,
  never more than they asked for, so that none waits in GenStage's own buffer.

  `OffBroadwayRustKafka.Stage.Group` starts one of these, and a subscriber, for each partition.

  ## Options

  #{NimbleOptions.docs(OffBroadwayRustKafka.Options.Stage.schema())}

  All options are checked before anything starts; an `ArgumentError` says which one is wrong.

  ## Acknowledgement

  Demand proves nothing: a stage asks for more while it still works on what it has, and under Flow most
  of all. So a record counts as handled when it is acknowledged by `ack/1`, from whichever process:

      def handle_events(records, _from, state) do
        Enum.each(records, &MyApp.handle/1)
        :ok = OffBroadwayRustKafka.Stage.ack(records)
        {:noreply, [], state}
      end

  An offset is committed once its record and all delivered before it in its partition are acknowledged. A
  partition with `:max_in_flight` records that are not acknowledged gets no more until some are.

  What becomes of the offsets is the `:commit_strategy`:

    * `:async` - they are committed in the background, each `:commit_interval`, and as soon as
      `:commit_threshold` records were acknowledged since the last time. A clean stop commits the rest
    * `:sync` - so they are, and `ack/1` returns once what it has made committable is committed, or with
      the error for which it is not. Where older records of the partition are not acknowledged, that is
      nothing yet
    * `:none` - they are committed by `commit/3` only: not with an acknowledgement, not when a partition is
      revoked, not at the end. Nor is the start position of a partition without a committed offset,
      so that with `offset_reset_policy: :latest` a restart before the first commit starts at the end
      again

  ## When something goes down

  A subscriber that crashes or cancels its subscription leaves records that nobody acknowledges. All that
  is not acknowledged, also what other subscribers of this stage have, is delivered again, to those
  that are left, or to the next one that subscribes. Acknowledge before you cancel where that matters.
  What the one that is gone had asked for and not got is forgotten; the others lose nothing of theirs.

  A partition that moves to another member is drained first: what its subscribers have may be
  acknowledged, and committed, for `:drain_timeout` milliseconds. An acknowledgement that comes later changes
  nothing, and a commit then answers with `:stale_epoch`.

  A stage that is stopped commits what is acknowledged, unless commits are made by hand, and leaves the
  group within #{div(OffBroadwayRustKafka.Membership.stop_ms(), 1_000)} seconds; its child specification allows
  for that. When its member ends for good it stops with that `OffBroadwayRustKafka.Error`, and whoever
  supervises it starts another.

  ## Looking into it

  `OffBroadwayRustKafka.assignment/1`, `OffBroadwayRustKafka.lag/1`, `OffBroadwayRustKafka.offsets/1` and
  `OffBroadwayRustKafka.commit/1` take the name of a stage, or its pid, as they take that of a pipeline. Its events are those of
  `OffBroadwayRustKafka.Telemetry`, with this name (or its pid) as their `:name`.
  """

  use GenStage

  alias OffBroadwayRustKafka.{Commits, Error, Membership, Native, Options, Pull, Record}
  alias OffBroadwayRustKafka.Stage.Dispatcher

  # How soon a consumer that was busy is asked again.
  @again_ms 50

  @enforce_keys [:consumer, :strategy, :demand]
  defstruct @enforce_keys ++ [:membership, lane: 0, subscribers: 0, next: :demand]

  # What makes it pull again: demand, a wake-up, its own message; that it is attached anew; or nothing any
  # more.
  @typep next :: :demand | :wake | :pull | :attach | :never

  @typep t :: %__MODULE__{
           consumer: Native.consumer(),
           strategy: Commits.strategy(),
           demand: :counters.counters_ref(),
           membership: Membership.t() | nil,
           lane: non_neg_integer(),
           subscribers: non_neg_integer(),
           next: next()
         }

  @typedoc "The next offset to be read of a partition: that of the last handled record, and one."
  @type offset ::
          {topic :: String.t(), partition :: non_neg_integer(), offset :: non_neg_integer()}

  @doc false
  # Supervisors show what their children are started with, and options may hold secrets.
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: if(Keyword.keyword?(options), do: options[:name]) || __MODULE__,
      start: {__MODULE__, :start_link, [fn -> options end]},
      shutdown: Membership.stop_ms() + 1_000
    }
  end

  @doc """
  Starts a stage, linked to the calling process. `:name`, besides the options above, is that of the process.
  """
  @spec start_link(keyword() | (() -> keyword())) :: GenServer.on_start()
  def start_link(options) when is_function(options, 0), do: start_link(options.())

  def start_link(options) do
    options = Options.Stage.validate!(options)
    name = if options.name, do: [name: options.name], else: []
    GenStage.start_link(__MODULE__, options, name)
  end

  @doc """
  Acknowledges a record, or records, that stages or streams delivered. Idempotent, and cheap.

  With `commit_strategy: :sync` it waits up to five seconds for the commit; the error may be anything that
  `commit/3` answers. Otherwise it is `:ok`: one from before a rebalance changes nothing.
  """
  @spec ack(Record.t() | [Record.t()]) :: :ok | {:error, Error.t()}
  def ack(records), do: records |> List.wrap() |> Commits.ack("#{inspect(__MODULE__)}.ack/1")

  @doc """
  Commits what is given, and acknowledges all that was delivered of its partition up to there: a group
  that goes on there has handled it.

  It is a record, or records, of which the last in each partition counts; or a list of
  `{topic, partition, offset}`, each the next offset to be read, with the option `:stage`. With `:sync`
  it waits for the broker's answer, with `:async` for nothing: of commits that fail there is the event
  `[:off_broadway_rust_kafka, :commit_failed]`.

    * `:timeout` - how many milliseconds to wait for the answer, #{Commits.timeout_ms()} by default
    * `:stage` - the name or pid of the stage, or of the `OffBroadwayRustKafka.Stage.Group`, that offsets are of
    * `:rewind` - with `true` the committed offset goes back where it is higher. By default a commit
      of what is committed already is `:ok`, and changes nothing: records that are handled side by side are
      committed in any order. The stage itself goes on where it is

  Nothing is committed when one of them is refused. The errors, each an `OffBroadwayRustKafka.Error`:

    * `:stale_epoch` - the partition was revoked or sought since: another member will deliver the record, or did,
      or it comes again
    * `:not_assigned` - the partition is not this member's
    * `:not_delivered` - the offset is beyond what was delivered: records would be skipped
    * `:rewind` - it is to go back, and the strategy is not `:none`: what is acknowledged would be committed
      again at once
    * `:timed_out` - there was no answer in time, and it goes on trying while the partition is its own
      (`retryable?: true`)
    * `:closed` - the stage has stopped
    * the brokers' own, such as `:group_authorization_failed`, after which it goes on trying too
  """
  @spec commit(Record.t() | [Record.t()] | [offset()], :sync | :async, keyword()) ::
          :ok | {:error, Error.t()}
  def commit(records_or_offsets, mode \\ :sync, options \\ []),
    do: Commits.commit(records_or_offsets, mode, options, "#{inspect(__MODULE__)}.commit/3")

  @doc false
  # A stage of partitions that it claims of a member, which is somebody else's.
  @spec start_link_claimed(Native.consumer(), Native.claim(), Commits.strategy()) ::
          GenServer.on_start()
  def start_link_claimed(consumer, claim, strategy),
    do: GenStage.start_link(__MODULE__, {consumer, claim, strategy})

  @doc false
  # It emits nothing more.
  @spec drain(pid()) :: :ok
  def drain(stage) do
    send(stage, {:off_broadway_rust_kafka, :drain})
    :ok
  end

  @impl GenStage
  def init(options) when is_list(options), do: options |> Options.Stage.validate!() |> init()

  def init(%Options.Stage{member: member, name: name}) do
    with {:ok, membership} <- Membership.start_link(member, name || self()),
         state = new(membership.consumer, member.commit_strategy, 0),
         :ok <- attach(state) do
      {:producer, %{state | membership: membership},
       dispatcher: {Dispatcher, demand: state.demand}}
    else
      {:error, error} -> {:stop, error}
    end
  end

  def init({consumer, claim, strategy}) do
    Process.flag(:trap_exit, true)

    with {:ok, lane} <- Native.claim(consumer, claim, 1, nil),
         state = new(consumer, strategy, lane),
         :ok <- attach(state) do
      {:producer, state, dispatcher: {Dispatcher, demand: state.demand}}
    else
      {:error, %Error{} = error} -> {:stop, error}
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenStage
  def handle_subscribe(:consumer, _options, _from, state) do
    if state.next == :attach, do: tell_self(:attach)
    {:automatic, %{state | subscribers: state.subscribers + 1}}
  end

  # GenStage forgets the demand of the one that is gone after this.
  @impl GenStage
  def handle_cancel(_reason, _from, %{next: :never} = state), do: {:noreply, [], state}

  def handle_cancel(_reason, _from, state) do
    state = %{state | subscribers: state.subscribers - 1, next: :attach}
    if state.subscribers > 0, do: tell_self(:attach)
    {:noreply, [], state}
  end

  @impl GenStage
  def handle_demand(_demand, %{next: :demand} = state), do: pull(state)
  def handle_demand(_demand, state), do: {:noreply, [], state}

  @impl GenStage
  def handle_info({:off_broadway_rust_kafka, :wake}, %{next: next} = state)
      when next in [:demand, :wake],
      do: pull(state)

  def handle_info({:off_broadway_rust_kafka, :pull}, %{next: :pull} = state), do: pull(state)

  def handle_info({:off_broadway_rust_kafka, :attach}, %{next: :attach} = state) do
    case attach(state) do
      :ok ->
        {:noreply, [], pull_later(state)}

      {:error, _busy_or_closed} ->
        Process.send_after(self(), {:off_broadway_rust_kafka, :attach}, @again_ms)
        {:noreply, [], state}
    end
  end

  def handle_info({:off_broadway_rust_kafka, :drain}, state),
    do: {:noreply, [], %{state | next: :never}}

  def handle_info({:EXIT, owner, reason}, %{membership: %{owner: owner}} = state),
    do: {:stop, reason, state}

  def handle_info(_late_or_foreign, state), do: {:noreply, [], state}

  @impl GenStage
  def terminate(_reason, %{membership: nil} = state),
    do: Native.release(state.consumer, state.lane)

  def terminate(_reason, %{membership: membership}), do: Membership.stop(membership)

  @spec new(Native.consumer(), Commits.strategy(), non_neg_integer()) :: t()
  defp new(consumer, strategy, lane) do
    %__MODULE__{
      consumer: consumer,
      strategy: strategy,
      lane: lane,
      demand: Dispatcher.new_demand()
    }
  end

  # What was not acknowledged is delivered again.
  @spec attach(t()) :: :ok | {:error, Error.t()}
  defp attach(state) do
    with {:error, error} <- Native.attach(state.consumer, state.lane),
         do: {:error, Error.from_native(error)}
  end

  @spec pull(t()) :: {:noreply, [Record.t()], t()}
  defp pull(state) do
    case Dispatcher.demand(state.demand) do
      0 ->
        {:noreply, [], %{state | next: :demand}}

      demand ->
        {status, count, runs} = Pull.take(state.consumer, state.lane, demand)
        state = %{state | next: next(status, demand - count)}
        {:noreply, Commits.records(runs, state.consumer, state.strategy), state}
    end
  end

  @spec next(:more | :armed, non_neg_integer()) :: next()
  defp next(:armed, _demand), do: :wake
  defp next(:more, 0), do: :demand
  defp next(:more, _demand), do: later()

  @spec pull_later(t()) :: t()
  defp pull_later(state), do: %{state | next: later()}

  # Through the mailbox, so that GenStage hears of a subscriber that is gone before it dispatches again.
  @spec later() :: next()
  defp later do
    tell_self(:pull)
    :pull
  end

  @spec tell_self(:attach | :pull) :: term()
  defp tell_self(what), do: send(self(), {:off_broadway_rust_kafka, what})
end
