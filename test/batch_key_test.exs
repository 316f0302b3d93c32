defmodule OffBroadwayRustKafka.BatchKeyTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{BatchKey, Peer}

  setup do
    %{topic: "t#{System.unique_integer([:positive])}"}
  end

  test "a batch key says its topic and partition, kept or not", %{topic: topic} do
    for partition <- [0, 1, 63, 64, 65, 127, 128, 9_999], _first_and_again <- 1..2 do
      assert BatchKey.literal(topic, partition) == {topic, partition}
      assert BatchKey.plain(topic, partition) == {topic, partition}
    end
  end

  test "the batch keys of a topic are as few persistent terms as there are blocks of partitions",
       %{topic: topic} do
    for _ <- 1..3, partition <- 0..129, do: BatchKey.literal(topic, partition)
    kept = for {{BatchKey, ^topic, block}, _keys} <- :persistent_term.get(), do: block
    assert Enum.sort(kept) == [0, 1, 2]
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

  test "a VM with thousands of persistent terms gets none more, and the batch keys are the same" do
    {peer, _node} = Peer.start()
    literal = fn -> Peer.call(peer, BatchKey, :literal, ["orders", 7]) end
    count = fn -> Peer.call(peer, :persistent_term, :info, []).count end

    others = "for other <- 1..4_096, do: :persistent_term.put({:other, other}, other)"
    Peer.call(peer, Code, :eval_string, [others])
    before = count.()
    assert literal.() == {"orders", 7}
    assert count.() == before

    for other <- 1..200, do: Peer.call(peer, :persistent_term, :erase, [{:other, other}])
    assert literal.() == {"orders", 7}
    assert count.() == before - 200 + 1
  end
end
