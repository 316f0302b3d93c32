defmodule OffBroadwayRustKafka.TestCluster.Arguments do
  @moduledoc false
  # What calls of a test cluster are given, refused where it cannot be used.

  import OffBroadwayRustKafka.Bounds

  alias OffBroadwayRustKafka.Options.Types
  alias OffBroadwayRustKafka.{TestCluster, Topics}

  @timeout_ms 10_000
  @day_ms 86_400_000

  @spec topic!(String.t(), term()) :: :ok
  def topic!(call, topic) do
    if not Topics.name?(topic) do
      refuse!(
        call,
        "expected the name of a topic, of 1 to 249 letters, digits, dots, underscores and " <>
          "dashes, got: #{inspect(topic)}"
      )
    end

    :ok
  end

  @spec group!(String.t(), term()) :: :ok
  def group!(call, group) do
    with {:error, message} <- Types.group_id(group),
         do: refuse!(call, "invalid group: #{message}")

    :ok
  end

  @spec partitions!(String.t(), term()) :: :ok
  def partitions!(call, partitions) do
    with {:error, message} <- TestCluster.Options.partitions(partitions),
         do: refuse!(call, message)

    :ok
  end

  @doc "The options of a call that waits: its `:timeout`, and those of `more` that are given."
  @spec options!(String.t(), term(), [atom()]) :: keyword()
  def options!(call, options, more) do
    known = [:timeout | more]

    if not Keyword.keyword?(options) or Keyword.keys(options) -- known != [] do
      refuse!(
        call,
        "expected a keyword list of options out of #{inspect(known)}, got: #{inspect(options)}"
      )
    end

    options = Keyword.put_new(options, :timeout, @timeout_ms)

    with {:error, message} <- Types.integer(options[:timeout], 1, @day_ms, "milliseconds"),
         do: refuse!(call, "invalid value for :timeout option: #{message}")

    if not offsets?(options[:offsets]) do
      refuse!(
        call,
        "invalid value for :offsets option: expected a map of a partition to an offset, " <>
          "as %{0 => 5}, got: #{inspect(options[:offsets])}"
      )
    end

    options
  end

  @doc "The number by which the mock cluster knows a broker."
  @spec broker!(String.t(), term(), pos_integer()) :: integer()
  def broker!(_call, :all, _brokers), do: -1
  def broker!(_call, id, brokers) when is_integer(id) and id >= 1 and id <= brokers, do: id

  def broker!(call, id, brokers),
    do: refuse!(call, "expected a broker between 1 and #{brokers}, or :all, got: #{inspect(id)}")

  @spec broker_state!(String.t(), term()) :: :ok
  def broker_state!(_call, state) when state in [:up, :down], do: :ok
  def broker_state!(_call, {:rtt, ms}) when is_integer(ms) and ms in 0..@day_ms, do: :ok

  def broker_state!(call, state) do
    refuse!(
      call,
      "expected :up, :down or {:rtt, milliseconds between 0 and #{@day_ms}}, " <>
        "got: #{inspect(state)}"
    )
  end

  @spec refuse!(String.t(), String.t()) :: no_return()
  def refuse!(call, message),
    do: raise(ArgumentError, "invalid call of #{inspect(TestCluster)}.#{call}: #{message}")

  @spec offsets?(term()) :: boolean()
  defp offsets?(nil), do: true

  defp offsets?(%{} = offsets) when map_size(offsets) > 0 and not is_struct(offsets) do
    Enum.all?(offsets, fn {partition, offset} ->
      is_partition(partition) and is_offset(offset)
    end)
  end

  defp offsets?(_), do: false
end
