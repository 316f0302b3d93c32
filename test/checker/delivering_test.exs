defmodule OffBroadwayRustKafka.Checker.DeliveringTest do
  use ExUnit.Case, async: true

  import OffBroadwayRustKafka.History.MadeUp

  describe "I3, within an epoch offsets come once and in order:" do
    test "once" do
      assert_sound([produced(9), alone(), delivered(1, [0..4]), delivered(1, [5..9])])
      assert_caught(:I3, [produced(9), alone(), delivered(1, [0..4]), delivered(1, [4..9])], [4])
    end

    test "in order from one delivery to the next" do
      assert_sound([produced(9), alone(), delivered(1, [0..4, 7..9])])
      bad = [produced(9), alone(), delivered(1, [0..4, 7..9]), delivered(1, [5..6])]
      assert_caught(:I3, bad, [5, 9])
    end

    test "in order within one delivery" do
      assert_sound([produced(9), alone(), delivered(1, [0..1, 2..3])])
      assert_caught(:I3, [produced(9), alone(), delivered(1, [2..3, 0..1])], [0, 3])
    end

    test "from where the assignment starts" do
      begun = [produced(9), started(), assigned(1, 3)]
      assert_sound([begun, delivered(1, [3..4])])
      assert_caught(:I3, [begun, delivered(1, [2..4])], [2])
    end

    test "again in another epoch" do
      assert_sound([
        produced(9),
        alone(),
        delivered(1, [0..4]),
        revoked(1, 5),
        assigned(2, 0),
        delivered(2, [0..4])
      ])
    end

    test "again after a fault, if they are not acked" do
      begun = [produced(9), alone(), delivered(1, [0..4]), acked(1, [0..1])]
      fault = [pause(2_000), told(:fault, "a processor is killed")]
      assert_sound([begun, fault, delivered(1, [2..5])])
      assert_caught(:I3, [begun, delivered(1, [2..5])], [2, 4])
      assert_caught(:I3, [begun, fault, delivered(1, [1..5])], [1])
    end

    test "again once for each fault" do
      down = told(:down, "a stage", by: "a#1")

      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        down,
        delivered(1, [0..4]),
        pause(2_000)
      ]

      assert_sound([begun, down, delivered(1, [0..4])])
      assert_caught(:I3, [begun, delivered(1, [0..4])], [0, 4])
    end
  end

  describe "I4, a lane emits no more than it was asked for:" do
    test "in all" do
      assert_sound([
        produced(9),
        alone(),
        demanded(6),
        emitted(1, [0..3]),
        demanded(4),
        emitted(1, [4..9])
      ])

      bad = [
        produced(9),
        alone(),
        demanded(5),
        emitted(1, [0..3]),
        demanded(4),
        emitted(1, [4..9])
      ]

      assert_caught(:I4, bad, [4, 9, 1])
    end

    test "since its producer started" do
      anew = told(:lane, 0, by: "a#1")
      assert_sound([produced(9), alone(), demanded(5), anew, demanded(5), emitted(1, [0..4])])
      assert_caught(:I4, [produced(9), alone(), demanded(5), anew, emitted(1, [0..4])], [0, 4, 5])
    end

    test "unless the run does not say what was asked for" do
      assert_sound([produced(9), alone(), emitted(1, [0..4])], demand: false)
    end
  end

  describe "I8 and I9, what is measured:" do
    test "no more is queued than may be" do
      assert_sound([told(:queued, {100, 10, {100, 10}})])
      assert_caught(:I8, [told(:queued, {101, 10, {100, 10}})], [101])
      assert_caught(:I8, [told(:queued, {100, 11, {100, 10}})], [11])
    end

    test "calls return within a millisecond" do
      assert_sound([told(:called, {:ack, 1_000})])
      assert_caught(:I9, [told(:called, {:ack, 1_001})], [1_001])
      assert_sound([told(:called, {:ack, 1_001})], call_us: 2_000)
    end
  end

  describe "I10, a partition is on one lane:" do
    test "and on no other" do
      begun = [produced(9), alone(), told(:lane, 1, by: "a#1"), delivered(1, [0..4])]
      assert_sound([begun, delivered(1, [5..9])])
      assert_caught(:I10, [begun, delivered(1, [5..9], lane: 1)], [5, 1, 0])
    end

    test "and on another when the pipeline has stopped that had it, and not on both" do
      begun = [produced(9), alone(), told(:lane, "b", by: "a#1"), delivered(1, [0..4])]
      next = [told(:draining, 0, by: "a#1"), delivered(1, [5..6], lane: "b")]
      assert_sound([begun, next, delivered(1, [7..9], lane: "b")])
      assert_caught(:I10, [begun, next, delivered(1, [7..9])], [7, 0])
      back = [told(:lane, 0, by: "a#1"), delivered(1, [7..9])]
      assert_caught(:I10, [begun, next, back], [7, 0])
    end

    test "and on none when it was given up" do
      begun = [produced(9), alone(), delivered(1, [0..4]), revoked(1, 5)]
      # On a busy machine the revoke may be told first.
      assert_sound([begun, delivered(1, [5..9])])
      assert_caught(:I10, [begun, pause(2_000), delivered(1, [5..9])], [5])
    end
  end

  describe "I11, what has records and demand is served:" do
    test "in time" do
      waits = [
        produced(9),
        alone(),
        demanded(20),
        done(1, [0..4]),
        pause(60_000),
        done(1, [5..9])
      ]

      assert_caught(:I11, waits, [5])
      assert_sound(waits, stall: 100_000)
      assert_sound(waits, stall: :infinity)
    end

    test "unless nothing was asked for" do
      assert_sound([produced(9), alone(), done(1, [0..4]), pause(60_000), done(1, [5..9])])
    end

    test "unless it has records in flight" do
      begun = [produced(9), alone(), demanded(20), delivered(1, [0..4])]
      assert_sound([begun, pause(60_000), acked(1, [0..4]), done(1, [5..9])])
      assert_caught(:I11, [begun, acked(1, [0..4]), pause(60_000), done(1, [5..9])], [5])
    end

    test "unless there are no records" do
      begun = [produced(4), alone(), demanded(20), done(1, [0..4])]
      assert_sound([begun, pause(60_000), produced(9), done(1, [5..9])])
      assert_caught(:I11, [begun, produced(9), pause(60_000), done(1, [5..9])], [5])
      # What comes last is a mark of a transaction.
      assert_sound([
        produced(5, [5]),
        alone(),
        demanded(20),
        done(1, [0..4]),
        pause(60_000),
        demanded(1)
      ])
    end

    test "unless a fault lasts" do
      [begins, ends] = for kind <- [:fault_begins, :fault_ends], do: told(kind, "no broker")
      begun = [produced(9), alone(), demanded(20)]
      assert_sound([begun, begins, pause(60_000), ends, done(1, [0..9])])
      assert_caught(:I11, [begun, begins, ends, pause(60_000), done(1, [0..9])], [0])
    end

    test "unless another member has it now" do
      begun = [produced(9), alone(), demanded(20), done(1, [0..4]), committed(5)]
      next = [started("b#1"), assigned(1, 5, by: "b#1"), done(1, [5..9], by: "b#1")]
      assert_sound([begun, next, pause(60_000), told(:fault, "none")])
      assert_caught(:I11, [begun, pause(60_000), next], [5])
    end

    test "by the end of the history too" do
      assert_caught(:I11, [produced(9), alone(), demanded(20), pause(60_000), demanded(1)], [0])
    end

    test "and all is committed at the end" do
      options = [at_end: :all_committed]
      assert_sound([produced(9), alone(), done(1, [0..9]), committed(10)], options)
      assert_sound([produced(9, [9]), alone(), done(1, [0..8]), committed(9)], options)
      assert_sound([produced(9, [9]), alone(), done(1, [0..8]), committed(10)], options)
      assert_caught(:I11, [produced(9), alone(), done(1, [0..9]), committed(9)], [9], options)
      assert_caught(:I11, [produced(9), alone()], [0, 9], options)
      assert_caught(:I11, [produced(9)], [9], options)
    end
  end

  describe "what is delivered again:" do
    test "what is acked only while it comes again had to come" do
      hang = [produced(9), alone(), delivered(1, [0..4]), told(:stalled, 0, by: "a#1")]
      report = assert_sound([hang, acked(1, [0..4]), delivered(1, [0..4])])
      assert %{redelivered: 5, had_to: 5} = report
    end

    test "is what was above the committed offset" do
      begun = [
        produced(9),
        alone(),
        done(1, [0..4]),
        delivered(1, [5..7]),
        handled(1, [5]),
        committed(5)
      ]

      next = [told(:gone, "SIGKILL", by: "a"), started("b#1")]
      b = [by: "b#1"]
      report = assert_sound([begun, next, assigned(1, 5, b), done(1, [5..9], b)])
      assert %{redelivered: 3, had_to: 3, handled_twice: 1} = report
      bad = [begun, next, assigned(1, 0, b), done(1, [0..9], b)]
      assert_caught(:again, bad, [8, 3], fencing: false)
    end

    test "also of a member that does not know yet that it lost the partition" do
      b = [by: "b#1"]
      begun = [produced(9), alone(), delivered(1, [0..4]), started("b#1"), assigned(1, 0, b)]
      report = assert_sound([begun, delivered(1, [5..6]), done(1, [0..9], b), committed(10, b)])
      assert %{redelivered: 7, had_to: 7} = report
    end

    test "is no more than a number" do
      again = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        revoked(1, 5),
        assigned(2, 0),
        delivered(2, [0..4])
      ]

      assert_sound(again, redelivered: 5)
      assert_caught(:again, again, [5, 4], redelivered: 4)
    end
  end

  test "what is no record is not delivered" do
    assert_sound([produced(9, [5]), alone(), delivered(1, [0..4, 6..9])])
    assert_caught(:ghost, [produced(9, [5]), alone(), delivered(1, [0..9])], [5])
  end

  test "records of a partition are handled in order, where that is promised" do
    begun = [produced(9), alone(), delivered(1, [0..4])]

    assert %{order_breaks: 0} =
             assert_sound([begun, handled(1, [0]), handled(1, [1])], order: true)

    bad = [begun, handled(1, [1]), handled(1, [0])]
    assert %{order_breaks: 1} = assert_sound(bad)
    assert_caught(:order, bad, [0, 1], order: true)
  end
end
