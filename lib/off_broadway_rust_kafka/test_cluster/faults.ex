defmodule OffBroadwayRustKafka.TestCluster.Faults do
  @moduledoc false
  # Kafka's requests and errors by their names, which the mock cluster knows by numbers.

  alias OffBroadwayRustKafka.Native
  alias OffBroadwayRustKafka.TestCluster.Arguments

  # Those that the mock answers with the errors it is given.
  @requests [
    produce: 0,
    fetch: 1,
    list_offsets: 2,
    offset_commit: 8,
    offset_fetch: 9,
    find_coordinator: 10,
    join_group: 11,
    heartbeat: 12,
    leave_group: 13,
    sync_group: 14,
    init_producer_id: 22,
    offset_for_leader_epoch: 23,
    add_partitions_to_txn: 24,
    add_offsets_to_txn: 25,
    end_txn: 26,
    txn_offset_commit: 28,
    consumer_group_heartbeat: 68
  ]

  # Errors of brokers are numbers from here on; of what librdkafka finds itself, the mock cluster
  # plays only this one.
  @unknown -1
  @transport -195

  @spec requests() :: [atom(), ...]
  def requests, do: Keyword.keys(@requests)

  @spec request!(String.t(), term()) :: non_neg_integer()
  def request!(call, request) do
    case List.keyfind(@requests, request, 0) do
      {_, key} ->
        key

      nil ->
        refuse!(call, "expected a request out of #{inspect(requests())}", request)
    end
  end

  @spec codes!(String.t(), term()) :: [integer()]
  def codes!(call, errors) do
    if not is_list(errors) or List.improper?(errors) do
      refuse!(call, "expected a list of errors, as [:not_coordinator]", errors)
    end

    known = known()

    for error <- errors do
      case is_atom(error) and known[Atom.to_string(error)] do
        code when is_integer(code) -> code
        _ -> refuse!(call, "expected an error of Kafka's#{alike(error, known)}", error)
      end
    end
  end

  @spec known() :: %{String.t() => integer()}
  defp known do
    for {name, code} <- Native.mock_error_codes(),
        code >= @unknown or code == @transport,
        into: %{},
        do: {name, code}
  end

  @spec alike(term(), %{String.t() => integer()}) :: String.t()
  defp alike(error, known) do
    name = if is_atom(error) or is_binary(error), do: to_string(error), else: inspect(error)
    nearest = Enum.max_by(Map.keys(known), &String.jaro_distance(&1, String.downcase(name)))
    ", such as :#{nearest}"
  end

  @spec refuse!(String.t(), String.t(), term()) :: no_return()
  defp refuse!(call, expected, got),
    do: Arguments.refuse!(call, "#{expected}, got: #{inspect(got)}")
end
