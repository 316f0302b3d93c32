defmodule OffBroadwayRustKafka.Top.Row do
  @moduledoc false
  # A partition as `mix off_broadway_rust_kafka.top` shows it. What a source does not know is `nil`.

  @enforce_keys [:group, :member, :topic, :partition, :at]
  defstruct @enforce_keys ++
              [:position, :committed, :end, :lag, :unacked, :unacked_ms, :rate, :paused]

  @type t :: %__MODULE__{
          group: String.t(),
          member: String.t() | nil,
          topic: String.t(),
          partition: non_neg_integer(),
          at: integer(),
          position: non_neg_integer() | nil,
          committed: non_neg_integer() | nil,
          end: non_neg_integer() | nil,
          lag: non_neg_integer() | nil,
          unacked: non_neg_integer() | nil,
          unacked_ms: non_neg_integer() | nil,
          rate: non_neg_integer() | nil,
          paused: boolean() | nil
        }

  @doc "Adds to each row its rate since the sample before, in records a second."
  @spec rates([t()], before :: [t()]) :: [t()]
  def rates(rows, before) do
    before = Map.new(before, &{key(&1), &1})
    for row <- rows, do: %{row | rate: rate(row, before[key(row)])}
  end

  @doc """
  The worst first: what is behind and does not move, then by lag, then by the age of the oldest
  unacknowledged record.
  """
  @spec by_trouble([t()]) :: [t()]
  def by_trouble(rows) do
    Enum.sort_by(rows, fn row ->
      {not stuck?(row), -(row.lag || 0), -(row.unacked_ms || 0), row.group, row.topic,
       row.partition}
    end)
  end

  @doc "Whether a partition is behind and does not move, though it is not paused."
  @spec stuck?(t()) :: boolean()
  def stuck?(%__MODULE__{paused: true}), do: false
  def stuck?(%__MODULE__{rate: 0, lag: lag}) when is_integer(lag) and lag > 0, do: true
  def stuck?(_row), do: false

  # One member may have taken a partition over from another between two samples.
  @spec key(t()) :: term()
  defp key(row), do: {row.group, row.topic, row.partition}

  @spec rate(t(), t() | nil) :: non_neg_integer() | nil
  defp rate(_row, nil), do: nil

  defp rate(row, before) do
    {now, then} = {place(row), place(before)}

    if now != nil and then != nil and row.at > before.at,
      do: round(max(now - then, 0) * 1_000 / (row.at - before.at))
  end

  # A broker knows no position.
  @spec place(t()) :: non_neg_integer() | nil
  defp place(%{position: nil, committed: committed}), do: committed
  defp place(%{position: position}), do: position
end
