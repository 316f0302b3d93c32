defmodule OffBroadwayRustKafka.BatchKeyTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.BatchKey

  setup do
    topic = "t#{System.unique_integer([:positive])}"

    %{
      topic: topic,
      kept: fn -> for({{BatchKey, ^topic, _}, _} <- :persistent_term.get(), do: 1) end
    }
  end

  test "a batch key says its topic and partition, kept or not", %{topic: topic} do
    for partition <- [0, 1, 63, 64, 65, 127, 128, 9_999], _first_and_again <- 1..2 do
      assert BatchKey.literal(topic, partition) == {topic, partition}
      assert BatchKey.plain(topic, partition) == {topic, partition}
    end
  end

  test "the batch keys of a topic are as few persistent terms as there are blocks of partitions",
       %{topic: topic, kept: kept} do
    for _ <- 1..3, partition <- 0..129, do: BatchKey.literal(topic, partition)
    assert length(kept.()) == 3
  end

  test "a batch key that is kept is sent without being copied", %{topic: topic} do
    BatchKey.literal(topic, 7)

    for {make, same?} <- [{&BatchKey.literal/2, true}, {&BatchKey.plain/2, false}] do
      owner = self()
      key = make.(topic, 7)
      spawn_link(fn -> send(owner, {:key, make.(topic, 7)}) end)
      assert_receive {:key, sent}
      assert sent == key
      assert :erts_debug.same(sent, key) == same?
    end
  end
end
