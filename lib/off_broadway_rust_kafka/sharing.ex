defmodule OffBroadwayRustKafka.Sharing do
  @moduledoc false
  # The start of a pipeline that shares a member: what it reads of it, checked before anything starts.

  alias OffBroadwayRustKafka.{Consumer, InFlight, Lease, Member, Partition}
  alias OffBroadwayRustKafka.Options.Shared

  @type own :: %{
          child: {module(), Lease.arg()},
          message_format: OffBroadwayRustKafka.MessageFormat.name(),
          chunk_size: pos_integer() | nil,
          partition_by: (term() -> non_neg_integer()),
          shown: keyword()
        }

  @spec prepare(keyword(), keyword(), Consumer.table()) :: own()
  def prepare(given, broadway, table) do
    options = Shared.validate!(given)
    chunk_size = options |> members!() |> check_topics!(options) |> check_format!(options)

    lease = %{
      table: table,
      member: options.consumer,
      claim: options.claim,
      lanes: broadway[:producer][:concurrency] || 1,
      max_in_flight: options.max_in_flight || InFlight.default(broadway, chunk_size)
    }

    with {:error, error} <- Lease.check(lease), do: Shared.refuse!(error.message)

    %{
      child: {Lease, lease},
      message_format: options.message_format,
      chunk_size: chunk_size,
      partition_by: Partition.partition_by_rank(table),
      shown: [member: options.consumer, claim: options.claim]
    }
  end

  @typep about :: %{topics: [String.t()], chunk_size: pos_integer() | nil}

  @spec members!(Shared.t()) :: about()
  defp members!(options) do
    case Member.about(options.consumer) do
      {:ok, about} ->
        about

      {:error, error} ->
        Shared.refuse!(
          "#{error.message}: start an OffBroadwayRustKafka.SharedMember of that name before the " <>
            "pipeline, as a child of the same supervisor"
        )
    end
  end

  @spec check_topics!(about(), Shared.t()) :: about()
  defp check_topics!(about, %{claim: {:topics, topics}} = options) do
    case topics -- about.topics do
      [] ->
        about

      [topic | _] ->
        Shared.refuse!(
          "the member #{inspect(options.consumer)} does not read topic #{inspect(topic)}, but " <>
            "#{inspect(about.topics)}: add it to the :topics of the member"
        )
    end
  end

  defp check_topics!(about, _options), do: about

  @spec check_format!(about(), Shared.t()) :: pos_integer() | nil
  defp check_format!(%{chunk_size: size}, %{message_format: format})
       when size != nil and format != :value do
    Shared.refuse!(
      ":message_format of #{inspect(format)} and the member's :chunk_size contradict each other: a " <>
        "chunk's records are tuples, see OffBroadwayRustKafka.Chunk"
    )
  end

  defp check_format!(about, _options), do: about.chunk_size
end
