defmodule OffBroadwayRustKafka.AcknowledgerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Acknowledger, Chunk, Message, Native, TestCluster}

  @moduletag :capture_log

  defp messages(offsets, consumer) do
    Message.from_runs(
      [{"t", 0, 0, 1, for(offset <- offsets, do: {offset, nil, nil, "", []})}],
      consumer
    )
  end

  defp consumer(bootstrap) do
    {:ok, consumer} =
      Native.start(%{
        properties: [{"bootstrap.servers", bootstrap}, {"group.id", "acknowledger-test"}],
        topics: [{"t", :earliest}],
        lanes: 1,
        commit_interval: 200,
        commit_threshold: nil,
        commit_by_hand: false,
        drain_timeout: 1_000,
        max_in_flight: 1_000,
        max_buffered_bytes: 64_000_000,
        chunk_size: nil,
        headers: true,
        unacked_timeout: nil,
        paused: {false, []}
      })

    consumer
  end

  defp closed_consumer do
    consumer = consumer("127.0.0.1:1")
    :ok = Native.close(consumer, 1_000)
    assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 10_000
    consumer
  end

  defp delivered(consumer, count, messages \\ []) do
    {status, taken, runs} = Native.pull(consumer, 0, count)
    messages = messages ++ Message.from_runs(runs, consumer)

    cond do
      taken == count -> messages
      status == :more -> delivered(consumer, count - taken, messages)
      status == :armed -> await_wake() && delivered(consumer, count - taken, messages)
    end
  end

  defp await_wake, do: assert_receive({:off_broadway_rust_kafka, :wake}, 10_000)

  # By partition, what is delivered and not acknowledged: how many, and from where on a commit would go.
  defp left(consumer) do
    {:ok, progress} = Native.progress(consumer)

    for %{partition: n, in_flight: many, committable: from} <- progress,
        many > 0,
        do: {n, many, from}
  end

  defp left_of(messages) do
    messages
    |> Enum.group_by(& &1.metadata.partition, & &1.metadata.offset)
    |> Enum.map(fn {partition, offsets} -> {partition, length(offsets), Enum.min(offsets)} end)
  end

  test "each message counts for itself, in whatever order and company it is acknowledged" do
    :rand.seed(:exsss, ExUnit.configuration()[:seed])
    cluster = start_supervised!({TestCluster, topics: [{"t", 3}]})
    records = for n <- 0..599, do: %{partition: rem(n, 3), value: "#{n}"}
    TestCluster.produce(cluster, "t", records)
    consumer = consumer(TestCluster.bootstrap(cluster))
    :ok = Native.attach(consumer, 0)

    left =
      Enum.reduce(1..20, delivered(consumer, 600), fn _round, messages ->
        {failed, successful} = messages |> some() |> Enum.split(:rand.uniform(5))
        :ok = Acknowledger.ack(consumer, successful, failed)
        # Once more changes nothing.
        :ok = Acknowledger.ack(consumer, failed, Enum.take(successful, 1))
        messages = messages -- (failed ++ successful)
        assert Enum.sort(left(consumer)) == Enum.sort(left_of(messages))
        messages
      end)

    :ok = Acknowledger.ack(consumer, left, [])
    assert left(consumer) == []
    :ok = Native.close(consumer, 1_000)
    assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 10_000
  end

  # A run of them as they came, or any.
  defp some(messages) do
    if :rand.uniform(2) == 1,
      do: Enum.slice(messages, :rand.uniform(length(messages)) - 1, 30),
      else: Enum.take_random(messages, 12)
  end

  test "an ack of any size is harmless, also after the consumer is closed" do
    consumer = closed_consumer()

    for {successful, failed} <- [{[], []}, {0..0, []}, {0..499, []}, {0..499, 500..1234}] do
      assert Acknowledger.ack(
               consumer,
               messages(successful, consumer),
               messages(failed, consumer)
             ) ==
               :ok
    end
  end

  test "acks of chunks of any size, and of their parts, are harmless too" do
    consumer = closed_consumer()

    for {size, count} <- [{1, 1}, {500, 3}, {500, 200}, {5_000, 20}] do
      chunks = for n <- 1..count, do: chunk(n * size, (n + 1) * size - 1, consumer)
      assert Acknowledger.ack(consumer, chunks, []) == :ok
      assert Acknowledger.ack(consumer, [], chunks) == :ok

      {even, odd} =
        chunks
        |> Enum.map(&Chunk.split(&1, fn {o, _, _, _, _} -> rem(o, 2) == 0 end))
        |> Enum.unzip()

      assert Acknowledger.ack(consumer, Enum.concat(even), Enum.concat(odd)) == :ok
    end
  end

  defp chunk(first, last, consumer) do
    records = for offset <- first..last, do: {offset, nil, nil, "", []}

    [chunk] =
      Message.from_runs([{"t", 0, 0, 1, first, last, last - first + 1, records}], consumer)

    chunk
  end

  test "an ack that makes no sense is logged and does not raise" do
    [message] = messages([0], :no_consumer)

    assert capture_log(fn -> assert Acknowledger.ack(:no_consumer, [message], []) == :ok end) =~
             "messages could not be acknowledged"
  end

  test "there is nothing to configure, and a try says so" do
    assert Acknowledger.configure(make_ref(), {0, 1, 2}, []) == {:ok, {0, 1, 2}}

    assert_raise ArgumentError, ~r/no options to configure, got: \[on_failure: :ack\]/, fn ->
      Acknowledger.configure(make_ref(), {0, 1, 2}, on_failure: :ack)
    end
  end
end
