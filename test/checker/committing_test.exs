defmodule OffBroadwayRustKafka.Checker.CommittingTest do
  use ExUnit.Case, async: true

  import OffBroadwayRustKafka.History.MadeUp

  @b [by: "b#1"]

  describe "I1, nothing is committed beyond what is delivered and not acked:" do
    test "a hole is acked first" do
      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        handled(1, [0..4]),
        acked(1, [0, 1, 3, 4])
      ]

      assert_sound([begun, committed(2)])
      assert_sound([begun, acked(1, [2]), committed(5)])
      assert_caught(:I1, [begun, committed(5)], [2, 5])
      assert_caught(:I1, [begun, committed(5), acked(1, [2])], [2, 5])
    end

    test "not by the next owner either" do
      begun = [
        produced(9),
        alone(),
        done(1, [0..3]),
        delivered(1, [4..5]),
        handled(1, [4..5]),
        committed(4),
        revoked(1, 2),
        started("b#1")
      ]

      assert_sound([begun, assigned(1, 4, @b), done(1, [4..9], @b), committed(10, @b)])
      bad = [begun, assigned(1, 6, @b), done(1, [6..9], @b), committed(10, @b)]
      assert_caught(:I1, bad, [4, 10])
    end

    test "not after a position was reset, whose epoch no event tells of" do
      begun = [
        produced(9),
        alone(),
        done(1, [0..1]),
        of_place(:reset, {2, 4}),
        delivered(2, [4..6]),
        handled(2, [4..6])
      ]

      options = [from: :assigned]
      assert_sound([begun, acked(2, [4])], options)
      assert_caught(:I1, [begun, acked(2, [4, 6]), committed(7)], [5, 7], options)
    end
  end

  describe "I2, what is committed past was delivered:" do
    test "or a position was reset over it, though its commit is told before a record is" do
      begun = [produced(9), alone(), done(1, [0..1]), committed(2), of_place(:reset, {2, 6})]
      options = [from: %{place() => 6}]
      assert_sound([begun, committed(6), done(2, [6..9]), committed(10)], options)
      assert_caught(:I2, [begun, committed(8), done(2, [6..9])], [8, 6, 7], options)
    end

    test "all of it" do
      assert_sound([produced(9), alone(), done(1, [0..9]), committed(10)])
      assert_caught(:I2, [produced(9), alone(), done(1, [0..4, 6..9]), committed(10)], [5, 10])
    end

    test "from the first record on, or from where the group began" do
      begun = [produced(9), started(), assigned(1, 3), done(1, [3..9]), committed(10)]
      assert_caught(:I2, begun, [0, 2, 10])
      assert_sound(begun, from: :assigned)
      assert_sound(begun, from: %{place() => 3})
      assert_caught(:I2, begun, [2, 10], from: %{place() => 2})
    end

    test "but for offsets without records" do
      assert_sound([produced(9, [5]), alone(), done(1, [0..4, 6..9]), committed(10)])
      bad = [produced(9, [4]), alone(), done(1, [0..3, 6..9]), committed(10)]
      assert_caught(:I2, bad, [5, 10])
    end

    test "before it is committed" do
      begun = [produced(9), alone(), done(1, [0..4])]
      assert_sound([begun, committed(5), done(1, [5..9]), committed(10)])
      assert_caught(:I2, [begun, committed(10), done(1, [5..9])], [5, 9, 10])
    end

    test "as the brokers tell it" do
      begun = [produced(9), alone(), done(1, [0..4])]
      assert_sound([begun, of_place(:broker, 5)])
      assert_sound([begun, of_place(:broker, nil)])
      assert_caught(:I2, [begun, of_place(:broker, 6)], [5, 6])
    end

    test "and was produced" do
      assert_caught(:I2, [produced(9), alone(), done(1, [0..9]), committed(11)], [11, 10])
    end

    test "and was handled" do
      begun = [produced(9), alone(), done(1, [0..6]), delivered(1, [7..9]), acked(1, [7..9])]
      assert_sound([begun, handled(1, [7..9]), committed(10)])
      assert_caught(:lost, [begun, handled(1, [7, 9]), committed(10)], [8, 10])
    end
  end

  describe "I5, an ack of another epoch changes nothing:" do
    test "in the same member" do
      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        handled(1, [0..4]),
        revoked(1, 5),
        assigned(2, 0),
        delivered(2, [0..4])
      ]

      late = [acked(1, [0..4]), acked(2, [0..1])]
      assert_sound([begun, late, committed(2)])
      assert_caught(:I5, [begun, late, committed(5)], [2, 5])
    end

    test "in a member that was stopped while another was assigned the partition" do
      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        handled(1, [0..4]),
        started("b#1"),
        assigned(1, 0, @b)
      ]

      refused = of_place(:commit_failed, {5, :unknown_member_id})
      next = [done(1, [0..9], @b), committed(10, @b)]
      assert_sound([begun, acked(1, [0..4]), refused, next])
      # Sent before, and told late.
      assert_sound([begun, acked(1, [0..4]), committed(5, latency_us: 60_000), next])
      assert_caught(:I5, [begun, acked(1, [0..4]), committed(5), next], [5])
      assert_sound([begun, acked(1, [0..4]), committed(5), next], fencing: false)
    end

    test "in a member that was stopped before it could tell of its last commit" do
      begun = [produced(9), alone(), done(1, [0..4]), started("b#1")]
      # What the other one began with was committed before.
      assert_sound([begun, assigned(1, 5, @b), committed(5)])
      assert_caught(:I5, [begun, assigned(1, 4, @b), committed(5)], [5])
    end
  end

  test "I5: an assignment that was over when it was told takes nothing from its owner" do
    zombie = [started("b#1"), assigned(1, 0, @b), of_place(:lost, 0, by: "b#1", epoch: 1)]
    rest = [delivered(1, [5..9]), handled(1, [5..9]), acked(1, [5..9]), committed(10)]
    assert_sound([produced(9), alone(), done(1, [0..4]), zombie, rest])
  end

  describe "I6, acks change only what they are of:" do
    test "a second one nothing" do
      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        handled(1, [0..4]),
        acked(1, [0..1]),
        acked(1, [0..1])
      ]

      assert_sound([begun, committed(2)])
      assert_caught(:I6, [begun, committed(4)], [2, 4])
    end

    test "one of what was not delivered nothing" do
      begun = [produced(9), alone(), done(1, [0..4]), acked(1, [5])]
      assert_sound([begun, committed(5)])
      assert_caught(:I6, [begun, committed(6)], [5, 6])
    end
  end

  describe "I7, who stops has committed" do
    test "all that was acked" do
      begun = [produced(9), alone(), done(1, [0..4])]
      assert_sound([begun, committed(5), revoked(1, 0), stopped()])
      assert_caught(:I7, [begun, committed(4), stopped()], [4])
      assert_caught(:I7, [begun, stopped()], [4, 0])
    end

    test "it, if it says that it ended cleanly" do
      begun = [produced(9), alone(), done(1, [0..4]), committed(4)]
      [draining, clean, stopped] = stopped()
      unclean = told(:closed, :timed_out, by: "a#1")
      assert_sound([begun, draining, unclean, stopped])
      assert_caught(:I7, [begun, draining, clean, stopped], [4])
      # Too much is too much in any case.
      assert_caught(:I2, [begun, draining, committed(6), unclean, stopped], [5, 6])
    end

    test "it while it was stopping" do
      begun = [produced(9), alone(), done(1, [0..4])]
      [draining | stopped] = stopped()
      assert_sound([begun, draining, committed(5), revoked(1, 0), stopped])
      assert_caught(:I7, [begun, draining, committed(4), revoked(1, 0), stopped], [4])
      # A revoke that could not wait: what is acked later is not its own to commit.
      late = [delivered(1, [5]), handled(1, [5])]
      revoked = [committed(5), revoked(1, 1), acked(1, [5]), stopped]
      assert_sound([begun, late, draining, revoked])
      assert_caught(:I7, [begun, late, draining, tl(revoked)], [5])
      first = [delivered(1, [0]), handled(1, [0]), draining, revoked(1, 1), acked(1, [0])]
      assert_sound([produced(9), alone(), first, stopped])
      # What went to another member before, or was lost, is not its own to commit.
      assert_sound([begun, committed(4), revoked(1, 0), draining, stopped])
      assert_sound([begun, draining, of_place(:lost, 0, epoch: 1), stopped])
    end

    test "all that was delivered, when its stages ended in time" do
      begun = [produced(9), alone(), done(1, [0..4]), delivered(1, [5]), committed(5), stopped()]
      assert_caught(:I7, begun, [5])
      assert_caught(:I7, begun, [5], clean_stops: ["a"])
      assert_sound(begun, clean_stops: ["b"])
    end

    test "up to the lowest that was not acked, when they did not" do
      begun = [
        produced(9),
        alone(),
        delivered(1, [0..4]),
        handled(1, [0..4]),
        acked(1, [0..2, 4])
      ]

      assert_sound([begun, committed(3), stopped()], clean_stops: [])
      assert_caught(:I7, [begun, committed(2), stopped()], [3, 2], clean_stops: [])
    end
  end

  describe "nothing goes back:" do
    test "no committed offset of one member" do
      begun = [produced(9), alone(), done(1, [0..4])]
      assert_sound([begun, committed(3), committed(5)])
      assert_caught(:rewind, [begun, committed(5), committed(3)], [3, 5])
    end

    test "nor by what another commits late" do
      begun = [
        produced(9),
        alone(),
        done(1, [0..4]),
        revoked(1, 0),
        started("b#1"),
        assigned(1, 0, @b),
        done(1, [0..9], @b),
        committed(10, @b)
      ]

      assert_sound([begun, committed(5, latency_us: 60_000)])
      assert_caught(:rewind, [begun, committed(5)], [5, 10], fencing: false)
    end

    test "nor as the brokers tell it" do
      begun = [produced(9), alone(), done(1, [0..4]), committed(5)]
      assert_sound([begun, of_place(:broker, 5)])
      assert_caught(:rewind, [begun, of_place(:broker, 4)], [4, 5])

      assert_caught(
        :rewind,
        [produced(9), alone(), done(1, [0..4]), of_place(:broker, 5), of_place(:broker, 4)],
        [4, 5]
      )
    end

    test "no assignment below what is committed, unless its position is gone" do
      begun = [produced(9), alone(), done(1, [0..4]), committed(5)]
      assert_sound([begun, revoked(1, 0), assigned(2, 5)])
      assert_caught(:rewind, [begun, revoked(1, 0), assigned(2, 0)], [0, 5])
      assert_sound([begun, revoked(1, 0), of_place(:reset, {5, 0}), assigned(2, 0)])
    end

    test "nor is anything forgotten" do
      begun = [produced(9), alone(), done(1, [0..4])]
      assert_sound([begun, committed(0), of_place(:broker, nil)])
      assert_caught(:rewind, [begun, committed(5), of_place(:broker, nil)], [5])
    end

    test "unless the topic was created again" do
      begun = [produced(9), alone(), done(1, [0..9]), committed(10), of_place(:recreated, nil)]
      again = [of_place(:reset, {10, 0}), produced(4)]
      sound = [begun, again, done(2, [0..4]), committed(5)]
      report = assert_sound(sound, at_end: :all_committed)
      assert %{produced: 15, delivered: 15, redelivered: 0} = report
      assert_caught(:rewind, [sound, committed(4)], [4, 5])

      bad = [
        begun,
        again,
        delivered(2, [0..4]),
        handled(2, [0..4]),
        acked(2, [1..4]),
        committed(5)
      ]

      assert_caught(:I1, bad, [0, 5])
    end
  end
end
