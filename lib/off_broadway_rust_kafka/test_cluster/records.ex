defmodule OffBroadwayRustKafka.TestCluster.Records do
  @moduledoc false
  # Records as a test writes them down, to the rows that the NIF takes. A bad one is refused before
  # any is produced.

  import OffBroadwayRustKafka.Bounds

  alias OffBroadwayRustKafka.TestCluster

  @fields [:partition, :key, :value, :headers, :ts]

  @type row ::
          {partition :: non_neg_integer() | nil, key :: binary() | nil, value :: binary() | nil,
           OffBroadwayRustKafka.Native.headers(), ts :: pos_integer() | nil}

  @doc "Of one record, or a list of them."
  @spec rows_of!(String.t(), term()) :: [row()]
  def rows_of!(call, records) do
    cond do
      records == [] -> []
      not is_list(records) or Keyword.keyword?(records) -> rows!(call, [records])
      List.improper?(records) -> refuse!(call, "expected a list of records", records)
      true -> rows!(call, records)
    end
  end

  @spec rows!(String.t(), [TestCluster.record()]) :: [row()]
  def rows!(call, records), do: Enum.map(records, &row!(call, &1))

  @spec row!(String.t(), term()) :: row()
  defp row!(_call, value) when is_binary(value) or is_nil(value), do: {nil, nil, value, [], nil}

  defp row!(call, record) do
    fields = fields!(call, record)
    [key, value] = [fields[:key], fields[:value]]
    [partition, ts] = [fields[:partition], fields[:ts]]
    headers = Map.get(fields, :headers, [])

    cond do
      not binary?(key) ->
        refuse!(call, "expected a binary or nil as the :key of a record", record)

      not binary?(value) ->
        refuse!(call, "expected a binary or nil as the :value of a record", record)

      not (is_nil(partition) or is_partition(partition)) ->
        refuse!(call, "expected a number from 0 on as the :partition of a record", record)

      not (is_nil(ts) or (is_timestamp(ts) and ts > 0)) ->
        refuse!(call, "expected milliseconds above 0 as the :ts of a record", record)

      not headers?(headers) ->
        refuse!(call, ~s(expected [{"name", binary or nil}] as the :headers of a record), record)

      true ->
        {partition, key, value, headers, ts}
    end
  end

  @spec fields!(String.t(), term()) :: map()
  defp fields!(call, record) do
    fields? = (is_map(record) and not is_struct(record)) or Keyword.keyword?(record)

    if not fields? do
      refuse!(call, "expected a record to be its value, a map or a keyword list", record)
    end

    # Not Map.new/1 alone: of a key that is there twice it keeps the last, a keyword list the first.
    fields = Enum.to_list(record)
    keys = Enum.map(fields, &elem(&1, 0))

    if keys -- @fields != [],
      do:
        refuse!(
          call,
          "expected a record to have each of #{inspect(@fields)} at most once",
          record
        )

    Map.new(fields)
  end

  @spec binary?(term()) :: boolean()
  defp binary?(term), do: is_binary(term) or is_nil(term)

  @spec headers?(term()) :: boolean()
  defp headers?(headers) do
    is_list(headers) and not List.improper?(headers) and
      Enum.all?(headers, fn header ->
        match?({_, _}, header) and name?(elem(header, 0)) and binary?(elem(header, 1))
      end)
  end

  # librdkafka's is a C string.
  @spec name?(term()) :: boolean()
  defp name?(name), do: is_binary(name) and String.valid?(name) and not (name =~ <<0>>)

  @spec refuse!(String.t(), String.t(), term()) :: no_return()
  defp refuse!(call, expected, got),
    do: raise(ArgumentError, "invalid call of #{call}: #{expected}, got: #{inspect(got)}")
end
