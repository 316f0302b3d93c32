defmodule OffBroadwayRustKafka.AcknowledgerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Acknowledger, Chunk, Message, Native}

  @moduletag :capture_log

  defp messages(offsets, consumer) do
    Message.from_runs(
      [{"t", 0, 0, 1, for(offset <- offsets, do: {offset, nil, nil, "", []})}],
      consumer
    )
  end

  defp closed_consumer do
    {:ok, consumer} =
      Native.start(%{
        properties: [{"bootstrap.servers", "127.0.0.1:1"}, {"group.id", "acknowledger-test"}],
        topics: [{"t", :latest}],
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

    :ok = Native.close(consumer, 1_000)
    assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 10_000
    consumer
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
