defmodule OffBroadwayRustKafka.Top.Owners do
  @moduledoc false
  # Whose a group's partitions are, as its coordinator has it: each member's assignment is in the encoding
  # that assignors of consumer groups share.

  alias OffBroadwayRustKafka.Native

  @type place :: {topic :: String.t(), partition :: non_neg_integer()}

  @doc "A member's host and id by partition; none where the brokers do not tell."
  @spec sample(Native.client(), group :: String.t(), timeout_ms :: pos_integer()) ::
          %{place() => String.t()}
  def sample(client, group, timeout_ms) do
    case Native.client_members(client, group, timeout_ms) do
      {:ok, members} -> by_place(members)
      {:error, _} -> %{}
    end
  end

  @doc false
  @spec by_place([{id :: String.t(), host :: String.t(), binary()}]) :: %{place() => String.t()}
  def by_place(members) do
    for {id, host, assignment} <- members,
        place <- decode(assignment),
        into: %{},
        do: {place, "#{String.trim_leading(host, "/")} #{id}"}
  end

  # What follows the topics is the assignor's own.
  @spec decode(binary()) :: [place()]
  defp decode(<<_version::16, topics::32, rest::binary>>), do: topics(topics, rest)
  defp decode(_of_another_kind), do: []

  @spec topics(integer(), binary()) :: [place()]
  defp topics(left, <<size::16, topic::binary-size(size), count::32, rest::binary>>)
       when left > 0 do
    bytes = 4 * count

    case rest do
      <<partitions::binary-size(bytes), rest::binary>> ->
        for(<<partition::32 <- partitions>>, do: {topic, partition}) ++ topics(left - 1, rest)

      _cut_short ->
        []
    end
  end

  defp topics(_left, _rest), do: []
end
