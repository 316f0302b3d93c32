defmodule Bench.Topics do
  @moduledoc false
  # The topics that all connectors read, with random names; deleted in the end.

  alias Bench.{Command, Raw}
  alias OffBroadwayRustKafka.TestClient

  @load_ms 600_000
  # A batcher keeps its last, incomplete batch of each partition for a second.
  @spare_per_partition 1000

  @spec client(String.t()) :: TestClient.t()
  def client(brokers) do
    {:ok, client} = TestClient.start(brokers)
    client
  end

  @spec create(TestClient.t(), pos_integer()) :: String.t()
  def create(client, partitions) do
    topic = random("bench")
    :ok = TestClient.create_topic(client, topic, partitions: partitions)
    topic
  end

  @spec delete(TestClient.t(), String.t()) :: :ok
  def delete(client, topic) do
    _ = TestClient.delete_topic(client, topic)
    :ok
  end

  @doc "Fills a topic with records enough for every connector to handle `records` of them."
  @spec load(String.t(), String.t(), pos_integer(), Bench.Shape.t(), pos_integer()) :: :ok
  def load(brokers, topic, partitions, shape, records) do
    options = [
      brokers: brokers,
      topic: topic,
      partitions: partitions,
      bytes: shape.bytes,
      codec: shape.codec,
      records: records + partitions * @spare_per_partition
    ]

    case Command.run(Raw.command("load", options), @load_ms) do
      {:ok, _} -> :ok
      {:error, reason} -> raise "the topic could not be loaded: #{reason}"
    end
  end

  @doc "A new group."
  @spec group() :: String.t()
  def group, do: random("bench-group")

  @doc "A group that has read the topic up to where it ends now."
  @spec existing_group(TestClient.t(), String.t(), pos_integer()) :: String.t()
  def existing_group(client, topic, partitions) do
    group = group()

    offsets =
      for partition <- 0..(partitions - 1) do
        {:ok, {_low, high}} = TestClient.watermarks(client, topic, partition)
        {topic, partition, high}
      end

    :ok = TestClient.commit(client, group, offsets)
    group
  end

  @spec random(String.t()) :: String.t()
  defp random(prefix),
    do: prefix <> "-" <> Base.encode16(:crypto.strong_rand_bytes(6), case: :lower)
end
