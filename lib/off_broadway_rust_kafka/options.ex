defmodule OffBroadwayRustKafka.Options do
  @moduledoc false
  # One schema: it validates, it documents, and its result is trusted from then on.

  alias OffBroadwayRustKafka.{Hosts, Native, Properties, Topics}

  @producer "OffBroadwayRustKafka.Producer"
  @day 86_400_000

  # librdkafka's default of max.poll.interval.ms.
  @poll_interval 300_000

  @enforce_keys [:hosts, :group_id, :topics, :commit_interval, :drain_timeout, :properties]
  @derive {Inspect, except: [:properties]}
  defstruct @enforce_keys ++ [:max_in_flight]

  @type t :: %__MODULE__{
          hosts: [String.t(), ...],
          group_id: String.t(),
          topics: [{String.t(), Native.policy()}, ...],
          commit_interval: non_neg_integer(),
          drain_timeout: non_neg_integer(),
          max_in_flight: pos_integer() | nil,
          properties: Native.properties()
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
      before the first acknowledgement skips nothing. Once the group consumes, partitions that
      are added to a topic start at their first record.
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
      only. Set it when `:batch_size` is a function.
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

    case NimbleOptions.validate(options, @schema) do
      {:ok, options} -> options |> build() |> validate_drain!()
      {:error, error} -> refuse!(Exception.message(error))
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

  @spec build(keyword()) :: t()
  defp build(options) do
    default = options[:offset_reset_policy]

    %__MODULE__{
      hosts: options[:hosts],
      group_id: options[:group_id],
      topics: for({name, policy} <- options[:topics], do: {name, policy || default}),
      commit_interval: options[:commit_interval],
      drain_timeout: options[:drain_timeout],
      max_in_flight: options[:max_in_flight],
      properties: options[:config]
    }
  end

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
  @spec poll_interval(Native.properties()) :: integer()
  defp poll_interval(properties) do
    with {_, value} <- List.keyfind(properties, "max.poll.interval.ms", 0),
         {interval, ""} <- Integer.parse(value) do
      interval
    else
      _ -> @poll_interval
    end
  end
end
