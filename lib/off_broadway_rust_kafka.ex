defmodule OffBroadwayRustKafka do
  @moduledoc """
  Kafka for [Broadway](https://hexdocs.pm/broadway), with the consumer-group member in Rust.

  A NIF on librdkafka owns the member, its fetching and rebalances, and what of its partitions was
  delivered, acknowledged and committed. On top of it `OffBroadwayRustKafka.Producer` emits a
  `Broadway.Message` for a record when the pipeline asks for one, and hands acknowledgements
  straight back. Offsets are committed in order, and only once everything before them is handled.

    * `__using__/1` - a pipeline for each partition or topic, started and stopped as they come and go
    * `OffBroadwayRustKafka.SharedMember` - one member for several pipelines
    * `OffBroadwayRustKafka.Producer` - how to use it in a pipeline, and its options
    * `OffBroadwayRustKafka.Chunk` - many records in a message, for pipelines that insert in bulk
    * `OffBroadwayRustKafka.Stage` - the same records for GenStage and Flow, with commits by hand where that
      is wanted, and `stream/1` for scripts, notebooks and IEx
    * `OffBroadwayRustKafka.Telemetry` - the events it emits
    * `OffBroadwayRustKafka.Error` - what it reports when something fails
    * `OffBroadwayRustKafka.TestCluster` - a Kafka for the tests of a pipeline

  ## Looking into a running pipeline

  `assignment/1`, `lag/1`, `offsets/1` and `statistics/1` answer for a pipeline of this node, by its name, which may
  be anything that Broadway takes for one, or by its pid:

      {:ok, partitions} = OffBroadwayRustKafka.lag(MyPipeline)
      Enum.sum(for %{lag: lag} when lag != nil <- partitions, do: lag)

  They ask none of the pipeline's processes, so that a busy pipeline answers as soon as an idle one,
  and ask no broker either. A partition that is being taken over or is given up already is not among
  those that are answered. On another node they are called by `:erpc.call/4`.

  ## Setting the pace

  `pause/2`, `resume/2` and `seek/2` change what a running pipeline is delivered, and `update_topics/2` which topics
  it reads; [Setting the pace](guides/setting_the_pace.md) is about them. Each does all that a call asks for, or
  nothing of it.

  ## Errors

  What is no name, and any other argument of a wrong shape, raises an `ArgumentError`. Any other failure is an `OffBroadwayRustKafka.Error`:

    * `:no_pipeline` - no process of that name runs on this node
    * `:no_member` - it is neither a pipeline whose producer is `OffBroadwayRustKafka.Producer` nor a stage, or
      has only begun to start
    * `:starting` - its member is being started (`retryable?: true`)
    * `:closed` - the pipeline is stopping, or starts its member anew (`retryable?: true`)
    * `:no_statistics` - no statistics came yet (`retryable?: true`)
    * `:timed_out` - no answer within a second (`retryable?: true`). A `pause/2` or `resume/2` may be done later all the
      same: it is safe to call again. `seek/2` and `update_topics/2`, which ask the brokers, have ten seconds, and
      are done in time or not at all
    * `:not_assigned` - a partition is not assigned to the pipeline, or about to be given up; or it does not
      subscribe to a topic
    * `:paused` - a partition cannot be resumed by itself, as it is paused with its topic or the whole pipeline
    * `:offset_out_of_range` - a partition has no such offset to seek to
    * `:unknown_topic_or_part` - a topic to subscribe to does not exist
  """

  alias OffBroadwayRustKafka.{Error, Member, Options, Pace, Reading}

  @doc """
  What the group's member is started with: the options of `OffBroadwayRustKafka.Producer`.

  It is given what `start_link/1` was. Called once, before anything starts: what it raises, and what is
  wrong with its answer, is what `start_link/1` answers.
  """
  @callback kafka_config(init_args :: term()) :: keyword()

  @doc """
  What a pipeline is started with: the options of `Broadway.start_link/2`.

  `opts` is what `start_link/1` was given. The topic is `nil` with `per: :group`, the partition unless
  it is `per: :partition`. Of `:producer` everything but its `:module` is the pipeline's own, as
  `producer: [concurrency: 2, rate_limiting: [allowed_messages: 11, interval: 1_000]]`; it may be left
  out. Without a `:name` the pipeline has one that says whose and what it is, as
  `:"MyApp.Orders.orders.3"`.
  """
  @callback broadway_config(
              opts :: term(),
              topic :: String.t() | nil,
              partition :: non_neg_integer() | nil
            ) :: keyword()

  @doc """
  Makes the module a group that has a Broadway pipeline for each partition that is assigned to it.

      defmodule MyApp.Orders do
        use OffBroadwayRustKafka, per: :partition

        @impl OffBroadwayRustKafka
        def kafka_config(_init_args),
          do: [hosts: "localhost:9092", group_id: "shop", topics: ["orders"]]

        @impl OffBroadwayRustKafka
        def broadway_config(_opts, _topic, _partition),
          do: [processors: [default: [concurrency: 1]]]

        @impl Broadway
        def handle_message(_processor, message, _context), do: message
      end

      children = [MyApp.Orders]

  It defines `start_link/1` and `child_spec/1`, which can be overridden. What is started is a supervisor
  under the name of the module, or the `:name` in a keyword list of `init_args`. The functions of
  `OffBroadwayRustKafka` answer for it by that name, and for each pipeline by the pipeline's.

  See [One pipeline per partition](guides/pipeline_per_partition.md).

  ## Options

    * `:per` - `:partition` (the default) for a pipeline for each partition, `:topic` for one for
      each topic, as long as it has a partition here, `:group` for one for all
    * `:broadway` - the module with Broadway's callbacks; this one by default
    * `:on_crash` - what happens when a pipeline crashed too often, or does not start. `:set_aside`, the
      default: its partitions are read by none until they are assigned anew, the others go on, and an
      event (`[:off_broadway_rust_kafka, :set_aside]`) and a log line say so. `:stop`: the group ends, by
      the reason `{:shutdown, %OffBroadwayRustKafka.Error{}}`
    * `:max_restarts` and `:max_seconds` - how many crashes of a pipeline within how many seconds are not
      too many. 3 within 5 seconds by default. They count ends of the pipeline as a whole, which is when
      its stages have crashed more often than its own, Broadway's, options of these names say
  """
  defmacro __using__(options) do
    quote do
      @behaviour OffBroadwayRustKafka

      alias OffBroadwayRustKafka.Group
      @off_broadway_rust_kafka Group.Uses.new!(unquote(options), __MODULE__)
      if @off_broadway_rust_kafka.broadway == __MODULE__, do: @behaviour(Broadway)

      @doc false
      @spec start_link(term()) :: Supervisor.on_start()
      def start_link(init_args),
        do: Group.start_link(__MODULE__, @off_broadway_rust_kafka, init_args)

      @doc false
      @spec child_spec(term()) :: Supervisor.child_spec()
      def child_spec(init_args), do: Group.child_spec(__MODULE__, init_args)

      defoverridable start_link: 1, child_spec: 1
    end
  end

  @typedoc "A pipeline of this node, or a member or a group that has pipelines: its name, or its pid."
  @type pipeline :: Broadway.name() | pid()

  @typedoc """
  A partition that is assigned to the pipeline.

    * `:epoch` - how many times this member was assigned it, or its position was set anew: by a seek, or as it
      was gone
    * `:start_offset` - where this assignment started
    * `:producer` - the index of the producer that serves it. Where a group or a shared member is asked,
      it is counted over all its pipelines, and `nil` for a partition that none reads
  """
  @type assigned :: %{
          topic: String.t(),
          partition: non_neg_integer(),
          epoch: pos_integer(),
          start_offset: non_neg_integer(),
          producer: non_neg_integer() | nil
        }

  @typedoc """
  How far a partition is behind its end. Both are `nil` before its first fetch.

    * `:lag` - records that are not committed, which is what Kafka's own tools call it
    * `:backlog` - records that are not delivered to the pipeline

  They are counted by offset, so that what compaction and transactions leave out counts too.
  """
  @type lag :: %{
          topic: String.t(),
          partition: non_neg_integer(),
          lag: non_neg_integer() | nil,
          backlog: non_neg_integer() | nil
        }

  @typedoc """
  The offsets of a partition, and how many records lie between them.

    * `:position` - the offset after the last delivered one
    * `:committable` - the offset up to which everything is acknowledged
    * `:committed` - the offset last committed, or `nil`
    * `:low_watermark`, `:high_watermark` - the offset of the partition's first record, and that
      after its last, as the last fetch saw them, or `nil` before the first
    * `:delivered`, `:acked` - how many records this assignment delivered, and how many of them were
      acknowledged
    * `:in_flight` - how many were delivered and not acknowledged
    * `:paused` - whether `pause/2` keeps its records back
    * `:unacked_ms` - how long the oldest of those has been the oldest, within a second or so. `nil` where
      there is none, or `:unacked_timeout` is `:infinity`
  """
  @type offsets :: %{
          topic: String.t(),
          partition: non_neg_integer(),
          position: non_neg_integer(),
          committable: non_neg_integer(),
          committed: non_neg_integer() | nil,
          low_watermark: non_neg_integer() | nil,
          high_watermark: non_neg_integer() | nil,
          delivered: non_neg_integer(),
          acked: non_neg_integer(),
          in_flight: non_neg_integer(),
          paused: boolean(),
          unacked_ms: non_neg_integer() | nil
        }

  @typedoc """
  The useful part of librdkafka's statistics, under librdkafka's own names and in its units, which
  its [STATISTICS.md](https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md)
  explains. `:time` is in seconds since the Unix epoch, ages and round trips are in microseconds, and
  `:throttle` in milliseconds.
  """
  @type statistics :: %{
          time: integer(),
          age: integer(),
          replyq: integer(),
          tx: integer(),
          tx_bytes: integer(),
          rx: integer(),
          rx_bytes: integer(),
          rxmsgs: integer(),
          rxmsg_bytes: integer(),
          cgrp:
            %{
              state: String.t(),
              join_state: String.t(),
              rebalance_age: integer(),
              rebalance_cnt: integer(),
              rebalance_reason: String.t(),
              assignment_size: integer()
            }
            | nil,
          brokers: [
            %{
              nodeid: integer(),
              name: String.t(),
              state: String.t(),
              stateage: integer(),
              outbuf_cnt: integer(),
              waitresp_cnt: integer(),
              tx: integer(),
              txbytes: integer(),
              txerrs: integer(),
              txretries: integer(),
              rx: integer(),
              rxbytes: integer(),
              rxerrs: integer(),
              req_timeouts: integer(),
              connects: integer() | nil,
              disconnects: integer() | nil,
              rtt: window() | nil,
              throttle: window() | nil
            }
          ],
          partitions: [
            %{
              topic: String.t(),
              partition: non_neg_integer(),
              leader: integer(),
              fetch_state: String.t(),
              fetchq_cnt: integer(),
              fetchq_size: integer(),
              rxmsgs: integer(),
              rxbytes: integer()
            }
          ]
        }

  @typedoc "What was measured since the statistics before."
  @type window :: %{
          min: integer(),
          avg: integer(),
          p50: integer(),
          p99: integer(),
          max: integer(),
          cnt: integer()
        }

  @typedoc """
  Where one assigned partition stands.

    * `:slot`, `:epoch`, `:lane` - its small number for the life of the member, the count of its
      assignments, and the index of the producer that serves it; of a member that pipelines share, the
      lane of one of them, or `nil` where none reads it
    * `:start` - the offset this assignment started at
    * `:next` - the offset after the last delivered one
    * `:acked` - how many records were acknowledged in this assignment
    * `:in_flight` - how many are delivered and not acknowledged
    * `:committable` - the offset up to which everything is acknowledged
    * `:committed` - the offset last committed, or `nil`
    * `:low_watermark` - the offset of the partition's first record, or `nil` before the first
      fetch
    * `:high_watermark` - the offset after the partition's last record, or `nil` before the first
      fetch; less `:committed`, it is the lag
    * `:paused` - whether `pause/2` keeps its records back
    * `:unacked_ms` - how long the oldest unacknowledged record has been the oldest, or `nil`
  """
  @type progress :: %{
          topic: String.t(),
          partition: non_neg_integer(),
          slot: non_neg_integer(),
          epoch: non_neg_integer(),
          lane: non_neg_integer() | nil,
          start: integer(),
          next: integer(),
          acked: non_neg_integer(),
          in_flight: non_neg_integer(),
          committable: integer(),
          committed: integer() | nil,
          low_watermark: integer() | nil,
          high_watermark: integer() | nil,
          paused: boolean(),
          unacked_ms: non_neg_integer() | nil
        }

  @doc "The partitions that are assigned to a pipeline."
  @spec assignment(pipeline()) :: {:ok, [assigned()]} | {:error, Error.t()}
  def assignment(pipeline) do
    each(pipeline, "assignment/1", fn it ->
      it
      |> Map.take([:topic, :partition, :epoch])
      |> Map.merge(%{start_offset: it.start, producer: it.lane})
    end)
  end

  @doc "How far each partition that is assigned to a pipeline is behind its end."
  @spec lag(pipeline()) :: {:ok, [lag()]} | {:error, Error.t()}
  def lag(pipeline), do: each(pipeline, "lag/1", &Member.lag/1)

  @doc "The offsets of each partition that is assigned to a pipeline."
  @spec offsets(pipeline()) :: {:ok, [offsets()]} | {:error, Error.t()}
  def offsets(pipeline) do
    each(pipeline, "offsets/1", fn it ->
      it
      |> Map.take([:topic, :partition, :committable, :committed, :low_watermark, :high_watermark])
      |> Map.merge(Map.take(it, [:acked, :in_flight, :paused, :unacked_ms]))
      |> Map.merge(%{position: it.next, delivered: it.acked + it.in_flight})
    end)
  end

  @doc """
  The last statistics that librdkafka gave of a pipeline's member.

  It gives some when the pipeline's `:config` has a `"statistics.interval.ms"`; until then the error is
  `:no_statistics`.
  """
  @spec statistics(pipeline()) :: {:ok, statistics()} | {:error, Error.t()}
  def statistics(pipeline),
    do: Member.statistics(pipeline, "#{inspect(__MODULE__)}.statistics/1")

  @typedoc "What is paused and resumed together: everything, or topics and partitions."
  @type partitions ::
          :all | [String.t() | {topic :: String.t(), partition :: non_neg_integer()}, ...]

  @typedoc "Where a partition goes on: an offset that it has or ends at, one of its ends, or the first record since then."
  @type position ::
          (offset :: non_neg_integer())
          | :beginning
          | :end
          | {:timestamp, milliseconds :: non_neg_integer()}

  @doc """
  Delivers nothing more of these partitions, until they are resumed.

  Nothing is taken from Kafka's client for them once this has returned. What the pipeline has been given before is handled,
  acknowledged and committed as ever. The pipeline stays in its group and keeps its partitions; what was prefetched is
  kept, within `:max_buffered_bytes`.

  With `:all` everything is paused, and so is what is assigned later. With a topic all its partitions are, and so are those
  that are assigned later. A partition stays paused when the group takes it away and gives it back, when its member
  is started anew, and after a `seek/2`. Other members of the group know nothing of it: a partition that moves to
  one of them is handled there. Pausing what is paused changes nothing.

  Of a pipeline that shares a member, all is what it reads of that, and the rest is not its own (`:not_assigned`). A
  group, a shared member and a stage are paused by their names.
  """
  @spec pause(pipeline(), partitions()) :: :ok | {:error, Error.t()}
  def pause(pipeline, partitions \\ :all), do: Pace.pause(pipeline, partitions)

  @doc """
  Delivers these partitions again, where they stopped and in order.

  With `:all` nothing is paused any more, and with a topic nothing of it. What is paused as a part of more is not
  resumed by itself: that is a `:paused` error. Resuming what is not paused changes nothing.
  """
  @spec resume(pipeline(), partitions()) :: :ok | {:error, Error.t()}
  def resume(pipeline, partitions \\ :all), do: Pace.resume(pipeline, partitions)

  @doc """
  Goes on at other offsets, back or ahead.

      :ok = OffBroadwayRustKafka.seek(MyPipeline, [{"orders", 0, 4711}, {"orders", 1, :end}])

  What was prefetched of the partitions is dropped, and the first record that is delivered after this has returned is at
  the new position, which is committed as a start position is: a restart goes on there too. With
  `commit_strategy: :none` it is not, and the next `OffBroadwayRustKafka.Stage.commit/3` may go below what was committed
  before. It begins a new epoch. Messages that the pipeline has been given before are handled still, but their acknowledgements change nothing: where the
  position is below them, they come again. A partition that is paused stays so. One that was stopped before a batch it could not
  read goes on behind it this way.

  The brokers are asked for the positions, so this may take as long as they do, up to ten seconds.
  """
  @spec seek(pipeline(), [{String.t(), non_neg_integer(), position()}, ...]) ::
          :ok | {:error, Error.t()}
  def seek(pipeline, positions), do: Pace.seek(pipeline, positions)

  @doc """
  Subscribes to these topics in place of those before, given as in the producer's option `:topics`.

      :ok = OffBroadwayRustKafka.update_topics(MyPipeline, ["orders", [name: "refunds", offset_reset_policy: :earliest]])

  New topics have to exist, of which the brokers are asked. It returns when the subscription is changed, and the rebalance that follows is the group's: partitions of topics that
  are left are drained and committed like others that go, and those of new topics start at their committed offset, or
  by their policy (that of the pipeline, where they have none). Partitions of topics that stay are not touched under the
  default assignor. What is paused of a topic that is left is forgotten. The topics stay when the member is started
  anew; a pipeline that is restarted begins with its own options. The topics of a member that pipelines share are given
  by its name, not by one of theirs (`:no_member`).
  """
  @spec update_topics(pipeline(), [String.t() | keyword(), ...]) :: :ok | {:error, Error.t()}
  def update_topics(pipeline, topics), do: Pace.update_topics(pipeline, topics)

  @doc """
  Commits now what may be committed of every partition that is assigned to a pipeline, or to a stage, and
  waits up to five seconds for the answer.

  Of a pipeline that shares a member, it commits for all that do. What is committed is the offset up to which
  everything is acknowledged; with `commit_strategy: :none` as well. There is
  no need to call it: it is for those who are about to do something that should not see records again.
  """
  @spec commit(pipeline()) :: :ok | {:error, Error.t()}
  def commit(pipeline), do: Member.commit(pipeline, "#{inspect(__MODULE__)}.commit/1")

  @doc """
  A stream of records, for scripts, notebooks and IEx.

      [hosts: "localhost:9092", group_id: "look", topics: ["orders"], offset_reset_policy: :earliest]
      |> OffBroadwayRustKafka.stream()
      |> Stream.map(& &1.value)
      |> Enum.take(10)

  Each element is an `OffBroadwayRustKafka.Record`. Whoever enumerates it becomes a member of the group, and
  leaves it when the enumeration ends, halts or raises, or its process exits. Until then it waits for more.

  An element is acknowledged when the next one is asked for, or when it is said to be enough: of
  `Enum.take(stream, 10)` all ten are, and the next enumeration goes on with the eleventh. One whose
  handling raises is not, nor is one that was taken and not handed on, as where `Stream.zip/2` finds the
  other side at its end. What collects elements before it handles them, such as
  `Stream.chunk_every/2`, has asked for the next one: there use `commit_strategy: :none`, and
  `OffBroadwayRustKafka.Stage.commit/3` for each chunk.

  An error after which the member cannot go on is raised, as an `OffBroadwayRustKafka.Error`. Everything else
  is as with `OffBroadwayRustKafka.Stage`.

  ## Options

  #{NimbleOptions.docs(OffBroadwayRustKafka.Options.Stage.stream_schema())}
  """
  @spec stream(keyword()) :: Enumerable.t()
  def stream(options) do
    {member, idle_ms} = Options.Stage.stream!(options)
    fn acc, fun -> Reading.reduce(member, idle_ms, acc, fun) end
  end

  @spec each(pipeline(), String.t(), (progress() -> map())) ::
          {:ok, [map()]} | {:error, Error.t()}
  defp each(pipeline, function, map) do
    with {:ok, progress} <- Member.progress(pipeline, "#{inspect(__MODULE__)}.#{function}"),
         do: {:ok, Enum.map(progress, map)}
  end

  @doc """
  Where each partition that is assigned to the pipeline `broadway` stands.

  `broadway` is the name of a running pipeline whose producer is `OffBroadwayRustKafka.Producer`.
  Exits if there is none. Empty while its member is being started or closed.
  """
  @spec progress(pipeline()) :: [progress()]
  def progress(broadway) do
    case Member.progress(broadway, "#{inspect(__MODULE__)}.progress/1") do
      {:ok, progress} -> progress
      {:error, %{code: code}} when code in [:starting, :closed] -> []
      {:error, error} -> exit({error, {__MODULE__, :progress, [broadway]}})
    end
  end
end
