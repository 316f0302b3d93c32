defmodule OffBroadwayRustKafka.Options.Stage do
  @moduledoc false
  # What a stage, and a stream, are given: a member's options, and what becomes of offsets.

  alias OffBroadwayRustKafka.Options
  alias OffBroadwayRustKafka.Options.{Schema, Types}

  @day 86_400_000

  # GenStage asks for a thousand, and Flow for as many in each of its stages.
  @max_in_flight 10_000

  @commits [
    commit_strategy: [
      type: {:in, [:async, :sync, :none]},
      type_doc: "`:async`, `:sync` or `:none`",
      default: :async,
      doc: """
      How acknowledged offsets are committed: in the background, before `ack/1` returns, or by
      `commit/3` only.
      """
    ],
    commit_threshold: [
      type: {:custom, Types, :integer, [1, 1_000_000_000, "records"]},
      type_doc: "`t:pos_integer/0`",
      doc: """
      How many records may be acknowledged since the last commit before there is another, though the
      `:commit_interval` is not over. By default the interval alone counts.
      """
    ]
  ]

  @in_flight [
    type: {:custom, Types, :integer, [1, 100_000_000, "records"]},
    type_doc: "`t:pos_integer/0`",
    default: @max_in_flight,
    doc: """
    How many records of one partition may be delivered and not acknowledged. A partition at its
    limit waits, and leaves the demand to the others.
    """
  ]

  @name [
    name: [
      type: {:custom, Types, :name, []},
      type_doc: "`t:GenServer.name/0`",
      doc: "The name of the process."
    ]
  ]

  @idle [
    idle_timeout: [
      type: {:custom, Types, :integer_or_infinity, [1, @day]},
      type_doc: "`t:pos_integer/0` or `:infinity`",
      default: :infinity,
      doc: """
      Milliseconds without a record after which the stream ends, as a list does. By default it waits for
      ever.
      """
    ]
  ]

  @group [
    subscriber: [
      required: true,
      type: {:custom, Types, :subscriber, []},
      type_doc: "`t:module/0`",
      doc: """
      The module whose `start_link/1` is called for each partition, with
      `{producer, topic, partition, extra_args}`.
      """
    ],
    extra_args: [
      type: {:custom, Types, :any, []},
      type_doc: "`t:term/0`",
      default: [],
      doc: "What subscribers are given besides."
    ]
  ]

  @member Schema.member() |> Keyword.put(:max_in_flight, @in_flight)
  @stage NimbleOptions.new!(@name ++ @member ++ @commits)
  @group_schema NimbleOptions.new!(@name ++ @group ++ @member ++ @commits)
  @strategy Keyword.merge(@commits[:commit_strategy],
              type: {:in, [:async, :none]},
              type_doc: "`:async` or `:none`",
              doc: """
              How acknowledged offsets are committed: in the background, or by
              `OffBroadwayRustKafka.Stage.commit/3` only.
              """
            )
  @stream NimbleOptions.new!(
            @idle ++ @member ++ Keyword.put(@commits, :commit_strategy, @strategy)
          )

  @enforce_keys [:member, :name]
  defstruct @enforce_keys ++ [:subscriber, :extra_args]

  @type t :: %__MODULE__{
          member: Options.t(),
          name: GenServer.name() | nil,
          subscriber: module() | nil,
          extra_args: term()
        }

  @spec schema() :: NimbleOptions.t()
  def schema, do: @stage

  @spec stream_schema() :: NimbleOptions.t()
  def stream_schema, do: @stream

  @spec validate!(term()) :: t()
  def validate!(options) do
    {member, options} = checked!(options, @stage, "OffBroadwayRustKafka.Stage")
    %__MODULE__{member: member, name: options[:name]}
  end

  @spec group_schema() :: NimbleOptions.t()
  def group_schema, do: @group_schema

  @spec group!(term()) :: t()
  def group!(options) do
    {member, options} = checked!(options, @group_schema, "OffBroadwayRustKafka.Stage.Group")

    %__MODULE__{
      member: member,
      name: options[:name],
      subscriber: options[:subscriber],
      extra_args: options[:extra_args]
    }
  end

  @doc "The member of a stream, and after how many milliseconds without a record it ends."
  @spec stream!(term()) :: {Options.t(), timeout()}
  def stream!(options) do
    {member, options} = checked!(options, @stream, "OffBroadwayRustKafka.stream/1")
    {member, options[:idle_timeout]}
  end

  @spec checked!(term(), NimbleOptions.t(), String.t()) :: {Options.t(), keyword()}
  defp checked!(options, schema, who) do
    if not Keyword.keyword?(options) do
      raise ArgumentError, "#{who} expects a keyword list of options, got another term"
    end

    {member, checked} = Options.validate_member!(options, schema, who)

    if member.commit_strategy == :none and member.commit_threshold != nil do
      Options.refuse!(
        ":commit_threshold and commit_strategy: :none contradict each other: nothing is committed but by " <>
          "OffBroadwayRustKafka.Stage.commit/3",
        who
      )
    end

    {member, checked}
  end
end
