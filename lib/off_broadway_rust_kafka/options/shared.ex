defmodule OffBroadwayRustKafka.Options.Shared do
  @moduledoc false
  # What a pipeline is given that shares a member: whose, what of it, and how it takes it.

  alias OffBroadwayRustKafka.{Member, MessageFormat, Native, Options, Topics}
  alias OffBroadwayRustKafka.Options.{Schema, Types}

  @producer "OffBroadwayRustKafka.Producer"

  # `:claim` is for pipelines that are started by this library.
  @schema NimbleOptions.new!(
            consumer: [required: true, type: {:custom, __MODULE__, :member, []}],
            topics: [type: {:custom, __MODULE__, :topics, []}],
            claim: [type: {:custom, __MODULE__, :claim, []}],
            message_format: [type: {:custom, MessageFormat, :parse, []}, default: :value],
            max_in_flight: [type: {:custom, Types, :integer, [1, 100_000_000, "records"]}]
          )

  @enforce_keys [:consumer, :claim, :message_format]
  defstruct @enforce_keys ++ [:max_in_flight]

  @type t :: %__MODULE__{
          consumer: Member.pipeline(),
          claim: Native.claim(),
          message_format: MessageFormat.name(),
          max_in_flight: pos_integer() | nil
        }

  @spec validate!(keyword()) :: t()
  def validate!(options) do
    refuse_members!(options)

    case NimbleOptions.validate(options, @schema) do
      {:ok, options} ->
        %__MODULE__{
          consumer: options[:consumer],
          claim: options[:claim] || {:topics, topics!(options[:topics])},
          message_format: options[:message_format],
          max_in_flight: options[:max_in_flight]
        }

      {:error, error} ->
        refuse!(Exception.message(error))
    end
  end

  @spec refuse!(String.t()) :: no_return()
  def refuse!(message), do: Options.refuse!(message, @producer)

  @doc false
  @spec member(term()) :: {:ok, Member.pipeline()} | {:error, String.t()}
  def member(member) do
    if is_pid(member) or Member.name?(member) do
      {:ok, member}
    else
      {:error,
       "expected the name of an OffBroadwayRustKafka.SharedMember, got: #{inspect(member)}"}
    end
  end

  @doc false
  @spec claim(Native.claim()) :: {:ok, Native.claim()}
  def claim(claim), do: {:ok, claim}

  @doc false
  @spec topics(term()) :: {:ok, [String.t(), ...]} | {:error, String.t()}
  def topics(topics) do
    with {:ok, topics} <- Topics.parse(topics) do
      case for({name, policy} <- topics, policy != nil, do: name) do
        [] ->
          {:ok, for({name, nil} <- topics, do: name)}

        [name | _] ->
          {:error,
           "where to start in #{inspect(name)} is the member's to know: give its " <>
             ":offset_reset_policy in the :topics of the SharedMember"}
      end
    end
  end

  @spec topics!([String.t()] | nil) :: [String.t(), ...]
  defp topics!(nil),
    do: refuse!("required :topics option not found: which of the member's topics")

  defp topics!(topics), do: topics

  @spec refuse_members!(keyword()) :: :ok
  defp refuse_members!(options) do
    members = Keyword.keys(Schema.producer().schema) -- Keyword.keys(@schema.schema)

    for key <- Keyword.keys(options), key in members do
      refuse!(
        "#{inspect(key)} belongs to the member that the pipeline shares: give it to " <>
          "{OffBroadwayRustKafka.SharedMember, name: #{inspect(options[:consumer])}, …}, or leave " <>
          ":consumer out for a member of the pipeline's own"
      )
    end

    :ok
  end
end
