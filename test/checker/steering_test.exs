defmodule OffBroadwayRustKafka.Checker.SteeringTest do
  use ExUnit.Case, async: true

  import OffBroadwayRustKafka.History.MadeUp

  defp sought(from, to, epoch), do: of_place(:sought, {from, to}, epoch: epoch)
  defp paused(kind, paused), do: told(kind, paused, by: "a#1")

  test "after a seek back what was delivered comes again, and is committed again" do
    begun = [produced(9), alone(), done(1, [0..9]), committed(10), sought(10, 4, 2)]
    assert_sound([begun, committed(4), done(2, [4..9]), committed(10)])
    assert_caught(:I6, [begun, committed(6), done(2, [6..9])], [4, 5])
    assert_caught(:I3, [begun, done(2, [4..9]), delivered(2, [4..9])], [4])
  end

  test "after a seek ahead what was passed over need not come" do
    begun = [produced(9), alone(), done(1, [0..3]), committed(4)]
    rest = [committed(8), done(2, [8..9]), committed(10)]
    assert_sound([begun, sought(4, 8, 2), rest], at_end: :all_committed)
    assert_caught(:I2, [begun, sought(4, 7, 2), rest], [7])
  end

  test "an ack and a commit from before a seek are over with it" do
    begun = [produced(9), alone(), delivered(1, [0..4]), handled(1, [0..4]), sought(5, 0, 2)]
    late = [acked(1, [0..4]), committed(3, latency_us: 60_000), committed(0)]
    assert_sound([begun, late, done(2, [0..9]), committed(10)])
    assert_caught(:I6, [begun, acked(1, [0..4]), committed(3), done(2, [0..9])], [0, 3])
  end

  test "what is paused is not delivered, and need not be" do
    begun = [produced(9), alone(), demanded(20), done(1, [0..4])]

    for what <- [:all, "orders", {"orders", 0}] do
      pause = [begun, paused(:paused, [what]), pause(60_000)]
      assert_sound([pause, paused(:resumed, []), done(1, [5..9])])
      assert_caught(:paused, [pause, done(1, [5..9])], [5])
      # Told late.
      assert_sound([pause, done(1, [5..9]), paused(:resumed, [])])
      assert_caught(:paused, [pause, done(1, [5..9]), pause(2_000), paused(:resumed, [])], [5])
    end

    another = [begun, paused(:paused, ["bills", {"orders", 1}]), pause(60_000)]
    assert_sound([another, done(1, [5..9])])
    over = [begun, paused(:paused, [:all]), paused(:resumed, []), demanded(20), pause(60_000)]
    assert_caught(:I11, [over, done(1, [5..9])], [5])
  end
end
