defmodule OffBroadwayRustKafka.Options do
  @moduledoc false
  # One schema: it validates, it documents, and its result is trusted from then on.

  alias OffBroadwayRustKafka.{Hosts, MessageFormat, Migration, Native, Properties, Topics}

  @producer "OffBroadwayRustKafka.Producer"
  @day 86_400_000

  # librdkafka's default of max.poll.interval.ms.
  @poll_interval 300_000

  # What KIP-848 leaves to the broker; librdkafka refuses the rest of such a member's start.
  @set_by_broker ~w(session.timeout.ms heartbeat.interval.ms partition.assignment.strategy
                    group.protocol.type)

  @enforce_keys [:hosts, :group_id, :topics, :commit_interval, :drain_timeout, :properties] ++
                  [:on_unacked, :headers, :message_format]
  @derive {Inspect, except: [:properties]}
  defstruct @enforce_keys ++ [:max_in_flight, :chunk_size, :unacked_timeout]

  @type t :: %__MODULE__{
          hosts: [String.t(), ...],
          group_id: String.t(),
          topics: [{String.t(), Native.policy()}, ...],
          commit_interval: non_neg_integer(),
          drain_timeout: non_neg_integer(),
          max_in_flight: pos_integer() | nil,
          chunk_size: pos_integer() | nil,
          headers: boolean(),
          message_format: MessageFormat.name(),
          unacked_timeout: pos_integer() | nil,
          on_unacked: :report | :redeliver | :stop,
          properties: [{String.t(), Properties.value()}]
        }

  @options [
    hosts: [
      required: true,
      type: {:custom, Hosts, :parse, []},
      type_doc: "`t:term/0`",
      doc: """
      The brokers to ask for the cluster first. Any of `"kafka-1:9092,kafka-2:9092"`,
      `["kafka-1:9092", "kafka-2"]`, `[{"kafka-1", 9092}]` and `[localhost: 9092]`; a host may
      be a string, an atom, a charlist or an `:inet` address, an IPv6 address in a string stands
      in brackets, and the port is 9092 when none is given.
      """
    ],
    group_id: [
      required: true,
      type: {:custom, __MODULE__, :group_id, []},
      type_doc: "`t:String.t/0`",
      doc: "The consumer group whose member this pipeline is."
    ],
    topics: [
      required: true,
      type: {:custom, Topics, :parse, []},
      type_doc: "list of `t:String.t/0` or `t:keyword/0`",
      doc: """
      The topics to read. Each is a name, or a keyword list of `:name` (or `:topic`) and options
      of that topic alone: `[name: "orders", offset_reset_policy: :earliest]`.
      """
    ],
    offset_reset_policy: [
      type: {:custom, Topics, :policy, []},
      type_doc: "`:earliest`, `:latest` or `{:timestamp, milliseconds}`",
      default: :latest,
      doc: """
      Where a partition starts that the group has no committed offset for, or whose committed
      offset is gone: its first record, its end, or its first record at or after a time (in
      milliseconds since the Unix epoch). The start is committed at once, so that a restart
      before the first acknowledgement skips nothing. Where retention has overtaken a slow or stopped
      group, `:latest` passes over the records that are left: use `:earliest` where each counts.
      What appears while the pipeline runs starts at its first record under every policy: partitions
      that are added, a topic that is created later, or deleted and created again. It is noticed
      within librdkafka's `topic.metadata.refresh.interval.ms`, 10 seconds unless `:config` says
      otherwise.
      """
    ],
    commit_interval: [
      type: {:custom, __MODULE__, :integer, [0, @day, "milliseconds"]},
      type_doc: "`t:non_neg_integer/0`",
      default: 200,
      doc: """
      Milliseconds between commits: what a `kill -9` may deliver again. With 0 an offset is
      committed as soon as all before it are acknowledged. There is never more than one commit
      under way.
      """
    ],
    drain_timeout: [
      type: {:custom, __MODULE__, :integer, [0, @day, "milliseconds"]},
      type_doc: "`t:non_neg_integer/0`",
      default: 10_000,
      doc: """
      Milliseconds that a partition which moves to another member may wait for its messages in
      flight; those still unacknowledged then are delivered again by its next owner. At most half
      of librdkafka's `max.poll.interval.ms` (300000 by default), past which the group would
      expel the member.
      """
    ],
    max_in_flight: [
      type: {:custom, __MODULE__, :integer, [1, 100_000_000, "records"]},
      type_doc: "`t:pos_integer/0`",
      doc: """
      How many records of one partition may be delivered and not acknowledged. A partition at its
      limit waits, and leaves the demand to the others. The default comes from the pipeline: what
      one processor asks for and half of what the others do, or, if that is more, what one
      processor asks for and two batches of every batcher. As long as it is below what all
      processors ask for together (their `:concurrency` times `:max_demand`), one slow partition
      does not stop the others; below two batches, batches may leave by their `:batch_timeout`
      only. Set it when `:batch_size` is a function. With a `:chunk_size` the default is as many times
      that, and a partition has no more chunks in flight, full or not, than records by this limit
      would fill.
      """
    ],
    chunk_size: [
      type: {:custom, __MODULE__, :integer, [1, 5_000, "records"]},
      type_doc: "`t:pos_integer/0`",
      doc: """
      Makes each message a chunk: a list of up to so many records of one partition, acknowledged as
      one. For pipelines that insert in bulk anyway; it takes many times the records per second. A few
      hundred are enough. `:max_demand`, `:batch_size` and `:rate_limiting` then count chunks. See
      `OffBroadwayRustKafka.Chunk`. By default a message is a record.
      """
    ],
    headers: [
      type: {:in, [true, false]},
      type_doc: "`t:boolean/0`",
      default: true,
      doc: """
      Whether records have their headers. In a chunk those of a small record take as much CPU time as all
      the rest of it: where they are not needed `false` saves that.
      """
    ],
    message_format: [
      type: {:custom, MessageFormat, :parse, []},
      type_doc: "`:value`, `:record` or `:klife`",
      default: :value,
      doc: """
      What the data of a message is: the record's value, as in broadway_kafka; an
      `t:OffBroadwayRustKafka.Record.t/0`; or the `Klife.Record` that off_broadway_klife has, with empty
      metadata, where klife is there. With a `:chunk_size` there is no choice.
      """
    ],
    unacked_timeout: [
      type: {:custom, __MODULE__, :timeout, []},
      type_doc: "`t:pos_integer/0` or `:infinity`",
      default: 60_000,
      doc: """
      Milliseconds that the oldest unacknowledged record of a partition may stay the same before
      `:on_unacked` happens, and again after as many more. Until it is acknowledged nothing more of
      its partition is committed. A handler that hangs, and a `c:Broadway.handle_batch/4` that
      returns fewer messages than it got, are seen by this; a stage that crashes needs no
      timeout, what it held is delivered again at once. The default is twice the time that Broadway gives a
      stage to shut down: longer than most handlers take, short enough to be told of before a
      queue is long. Set it above the longest `:batch_timeout` and, under `:rate_limiting`, above the
      time that one processor's `:max_demand` takes.
      """
    ],
    on_unacked: [
      type: {:in, [:report, :redeliver, :stop]},
      type_doc: "`:report`, `:redeliver` or `:stop`",
      default: :report,
      doc: """
      What happens to a partition past its `:unacked_timeout`. `:report`, the default, emits the
      telemetry event `[:off_broadway_rust_kafka, :stalled]` and logs a warning: only you know how long your
      handlers may take, and to deliver again what is merely slow would do its work twice.
      `:redeliver` also delivers the unacknowledged records of that partition again: for handlers that
      may lose messages. They come to the same processor, so it does not help one that hangs.
      `:stop` also restarts the pipeline's stages, within the limits of Broadway's `:max_restarts`,
      from the committed offsets: for handlers that may hang.
      """
    ],
    group_protocol: [
      type: {:in, [:classic, :consumer]},
      type_doc: "`:classic` or `:consumer`",
      default: :classic,
      doc: """
      How the group rebalances. `:classic` works with every broker, with the cooperative-sticky
      assignor unless `"partition.assignment.strategy"` in `:config` says otherwise. `:consumer` is
      the protocol of KIP-848, for Kafka 4.0 and later: there the broker decides on the session
      timeout, the heartbeat interval and the assignor, and those properties are refused.
      """
    ],
    instance_id: [
      type: {:custom, __MODULE__, :instance_id, []},
      type_doc: "`t:String.t/0`",
      doc: """
      Makes the pipeline a static member of its group: one that comes back under the same name within
      the session timeout gets its partitions again, and none moves meanwhile. It must differ for each
      running instance. Of two with the same the older is fenced: it gives up its partitions, says so
      by an `:error` event, and stays out. Under `group_protocol: :consumer` it is the newer that waits,
      until the older has stopped or, where it was killed, until its session has ended.
      """
    ],
    config: [
      type: {:custom, Properties, :parse, []},
      type_doc: "`t:keyword/0`, `t:map/0` or list of `{name, value}`",
      default: [],
      doc: """
      Any librdkafka property by its own name, as in `["security.protocol": "ssl"]` or
      `%{"session.timeout.ms" => 10_000}`; see its
      [list of properties](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md).
      Those that the options above stand for, or that the consumer needs as they are, are refused.
      Values never appear in errors where they may be secret, in logs, in telemetry or in the state
      of a process.
      """
    ]
  ]

  @schema NimbleOptions.new!(@options)

  @spec schema() :: NimbleOptions.t()
  def schema, do: @schema

  @spec validate!(term()) :: t()
  def validate!(options) do
    if not Keyword.keyword?(options) do
      raise ArgumentError, "#{@producer} expects a keyword list of options, got another term"
    end

    case Migration.translate(options) do
      {:ok, options, properties} -> validate!(options, properties)
      {:error, message} -> refuse!(message)
    end
  end

  @spec validate!(keyword(), [{String.t(), Properties.value()}]) :: t()
  defp validate!(options, properties) do
    case NimbleOptions.validate(options, @schema) do
      {:ok, options} ->
        options
        |> build(properties)
        |> validate_drain!()
        |> validate_protocol!()
        |> validate_format!()

      {:error, error} ->
        refuse!(Exception.message(error))
    end
  end

  @spec refuse!(String.t()) :: no_return()
  def refuse!(message),
    do: raise(ArgumentError, "invalid options given to #{@producer}: #{message}")

  @doc false
  @spec group_id(term()) :: {:ok, String.t()} | {:error, String.t()}
  def group_id(id) do
    if is_binary(id) and id != "" and String.printable?(id),
      do: {:ok, id},
      else: {:error, "expected a non-empty string, got: #{inspect(id)}"}
  end

  @doc false
  @spec integer(term(), integer(), integer(), String.t()) ::
          {:ok, integer()} | {:error, String.t()}
  def integer(value, min, max, _unit)
      when is_integer(value) and value >= min and value <= max,
      do: {:ok, value}

  def integer(value, min, max, unit),
    do: {:error, "expected #{unit} between #{min} and #{max}, got: #{inspect(value)}"}

  @doc false
  @spec timeout(term()) :: {:ok, pos_integer() | nil} | {:error, String.t()}
  def timeout(:infinity), do: {:ok, nil}

  def timeout(value) do
    with {:error, _} <- integer(value, 1, @day, "milliseconds") do
      {:error,
       "expected milliseconds between 1 and #{@day}, or :infinity, got: #{inspect(value)}"}
    end
  end

  @doc false
  @spec instance_id(term()) :: {:ok, String.t()} | {:error, String.t()}
  def instance_id(id) do
    if Topics.name?(id) do
      {:ok, id}
    else
      {:error,
       "expected a name of 1 to 249 letters, digits, '.', '_' and '-', got: #{inspect(id)}"}
    end
  end

  @spec build(keyword(), [{String.t(), Properties.value()}]) :: t()
  defp build(options, properties) do
    default = options[:offset_reset_policy]

    %__MODULE__{
      hosts: options[:hosts],
      group_id: options[:group_id],
      topics: for({name, policy} <- options[:topics], do: {name, policy || default}),
      commit_interval: options[:commit_interval],
      drain_timeout: options[:drain_timeout],
      max_in_flight: options[:max_in_flight],
      chunk_size: options[:chunk_size],
      headers: options[:headers],
      message_format: options[:message_format],
      unacked_timeout: options[:unacked_timeout],
      on_unacked: options[:on_unacked],
      properties: membership(options) ++ options[:config] ++ properties
    }
  end

  @spec membership(keyword()) :: Native.properties()
  defp membership(options) do
    protocol = if options[:group_protocol] == :consumer, do: [{"group.protocol", "consumer"}]
    instance = if id = options[:instance_id], do: [{"group.instance.id", id}]
    List.wrap(protocol) ++ List.wrap(instance)
  end

  @spec validate_protocol!(t()) :: t()
  defp validate_protocol!(%{properties: [{"group.protocol", "consumer"} | rest]} = options) do
    for {name, _} <- rest, name in @set_by_broker do
      refuse!(
        "property #{inspect(name)} cannot be set with group_protocol: :consumer, under which the " <>
          "broker decides it: remove it, or set it for the group on the broker"
      )
    end

    options
  end

  defp validate_protocol!(options), do: options

  @spec validate_format!(t()) :: t()
  defp validate_format!(%{chunk_size: size, message_format: format})
       when size != nil and format != :value do
    refuse!(
      ":message_format of #{inspect(format)} and :chunk_size contradict each other: a chunk's records " <>
        "are tuples, see OffBroadwayRustKafka.Chunk"
    )
  end

  defp validate_format!(options), do: options

  @spec validate_drain!(t()) :: t()
  defp validate_drain!(options) do
    interval = poll_interval(options.properties)

    if 2 * options.drain_timeout > interval do
      refuse!(
        "invalid value for :drain_timeout option: expected at most half of the " <>
          "max.poll.interval.ms of #{interval}, got: #{options.drain_timeout}"
      )
    end

    options
  end

  # What is no number is librdkafka's to refuse.
  @spec poll_interval([{String.t(), Properties.value()}]) :: integer()
  defp poll_interval(properties) do
    with {_, value} <- List.keyfind(properties, "max.poll.interval.ms", 0),
         {interval, ""} <- Integer.parse(value) do
      interval
    else
      _ -> @poll_interval
    end
  end
end
