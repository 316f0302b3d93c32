defmodule OffBroadwayRustKafka.Top.Group do
  @moduledoc false
  # What the brokers know of a group: what it has committed, where partitions end and whose they are.
  # That takes no membership, so that the group does not notice.

  alias OffBroadwayRustKafka.{Error, TestClient}
  alias OffBroadwayRustKafka.Top.{Owners, Row}

  @timeout_ms 10_000

  # Partitions whose leaders are asked at a time.
  @at_a_time 16

  @spec start(brokers :: String.t(), [{String.t(), String.t()}]) ::
          {:ok, TestClient.t()} | {:error, Error.t()}
  defdelegate start(brokers, config), to: TestClient

  @doc "A row for each partition that the group has committed an offset of."
  @spec sample(TestClient.t(), group :: String.t()) :: {:ok, [Row.t()]} | {:error, Error.t()}
  def sample(client, group) do
    with {:ok, topics} <- TestClient.topics(client, @timeout_ms),
         {:ok, committed} <-
           TestClient.committed(client, group, Map.keys(topics), @timeout_ms) do
      at = System.monotonic_time(:millisecond)
      owners = Owners.sample(client, group, @timeout_ms)

      rows =
        for {{topic, partition}, offset} when offset != nil <- committed do
          %Row{
            group: group,
            member: owners[{topic, partition}],
            topic: topic,
            partition: partition,
            at: at,
            committed: offset
          }
        end

      {:ok, with_ends(rows, client)}
    end
  end

  @spec with_ends([Row.t()], TestClient.t()) :: [Row.t()]
  defp with_ends(rows, client) do
    rows
    |> Task.async_stream(&with_end(&1, client),
      max_concurrency: @at_a_time,
      ordered: false,
      timeout: :infinity
    )
    |> Enum.map(fn {:ok, row} -> row end)
  end

  # A partition without a leader has no end to tell, which is no reason to show nothing of the others.
  @spec with_end(Row.t(), TestClient.t()) :: Row.t()
  defp with_end(row, client) do
    case TestClient.watermarks(client, row.topic, row.partition, @timeout_ms) do
      {:ok, {_low, high}} -> %{row | end: high, lag: max(high - row.committed, 0)}
      {:error, _} -> row
    end
  end
end
