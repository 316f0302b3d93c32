defmodule OffBroadwayRustKafka.TestCluster.Committed do
  @moduledoc false
  # What a group has committed of a topic, read from the brokers, and waiting for it.

  alias OffBroadwayRustKafka.{Error, TestClient, TestCluster}

  # The brokers tell nobody of a commit.
  @poll_ms 10

  @typep committed :: %{non_neg_integer() => non_neg_integer() | nil}

  @spec read(TestClient.t(), String.t(), String.t(), pos_integer()) ::
          {:ok, committed()} | {:error, Error.t()}
  def read(client, group, topic, timeout) do
    deadline = now() + timeout

    with {:ok, places} <- places(client, topic, timeout),
         do: read_until(client, group, places, deadline)
  end

  @spec await(TestClient.t(), String.t(), String.t(), keyword()) ::
          {:ok, TestCluster.offsets()} | {:error, Error.t()}
  def await(client, group, topic, options) do
    timeout = options[:timeout]
    deadline = now() + timeout

    with {:ok, places} <- places(client, topic, timeout),
         {:ok, wanted} <- wanted(options[:offsets], client, places, deadline) do
      subject = %{group: group, topic: topic, timeout: timeout, wanted: wanted}
      nothing = Map.new(places, fn {_topic, partition} -> {partition, nil} end)
      await_until(client, subject, places, deadline, nothing)
    end
  end

  @spec await_until(TestClient.t(), map(), list(), integer(), last :: committed()) ::
          {:ok, TestCluster.offsets()} | {:error, Error.t()}
  defp await_until(client, subject, places, deadline, last) do
    case read_until(client, subject.group, places, deadline) do
      {:ok, committed} ->
        if reached?(committed, subject.wanted),
          do: {:ok, committed},
          else: await_more(client, subject, places, deadline, committed)

      {:error, %Error{code: :timed_out}} ->
        {:error, too_late(subject, last)}

      error ->
        error
    end
  end

  @spec await_more(TestClient.t(), map(), list(), integer(), last :: committed()) ::
          {:ok, TestCluster.offsets()} | {:error, Error.t()}
  defp await_more(client, subject, places, deadline, committed) do
    if now() >= deadline do
      {:error, too_late(subject, committed)}
    else
      receive do
      after
        @poll_ms -> await_until(client, subject, places, deadline, committed)
      end
    end
  end

  @spec read_until(TestClient.t(), String.t(), list(), integer()) ::
          {:ok, committed()} | {:error, Error.t()}
  defp read_until(client, group, places, deadline) do
    with {:ok, offsets} <- TestClient.committed(client, group, places, left(deadline)),
         do: {:ok, Map.new(offsets, fn {{_topic, partition}, at} -> {partition, at} end)}
  end

  @spec places(TestClient.t(), String.t(), pos_integer()) ::
          {:ok, [{String.t(), non_neg_integer()}]} | {:error, Error.t()}
  defp places(client, topic, timeout) do
    with {:ok, count} <- TestClient.partitions(client, topic, timeout),
         do: {:ok, for(partition <- 0..(count - 1)//1, do: {topic, partition})}
  end

  @spec wanted(TestCluster.offsets() | nil, TestClient.t(), list(), integer()) ::
          {:ok, TestCluster.offsets()} | {:error, Error.t()}
  defp wanted(nil, client, places, deadline) do
    Enum.reduce_while(places, {:ok, %{}}, fn {topic, partition}, {:ok, ends} ->
      case TestClient.watermarks(client, topic, partition, left(deadline)) do
        {:ok, {_low, next}} -> {:cont, {:ok, Map.put(ends, partition, next)}}
        error -> {:halt, error}
      end
    end)
  end

  defp wanted(offsets, _client, _places, _deadline), do: {:ok, offsets}

  # Also of a partition that is empty: by its commit a pipeline shows that it has it.
  @spec reached?(committed(), TestCluster.offsets()) :: boolean()
  defp reached?(committed, wanted) do
    Enum.all?(wanted, fn {partition, offset} ->
      at = committed[partition]
      at != nil and at >= offset
    end)
  end

  @spec too_late(map(), committed()) :: Error.t()
  defp too_late(%{topic: topic} = subject, committed) do
    %Error{
      code: :timed_out,
      message:
        "after #{subject.timeout} ms group #{inspect(subject.group)} has committed " <>
          "#{inspect(committed)}, expected #{inspect(subject.wanted)} or more",
      retryable?: true,
      topic: topic
    }
  end

  @spec left(integer()) :: pos_integer()
  defp left(deadline), do: max(deadline - now(), 1)

  @spec now() :: integer()
  defp now, do: System.monotonic_time(:millisecond)
end
