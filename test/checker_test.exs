defmodule OffBroadwayRustKafka.CheckerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import OffBroadwayRustKafka.History.MadeUp

  alias OffBroadwayRustKafka.Checker
  alias OffBroadwayRustKafka.Checker.Violation
  alias OffBroadwayRustKafka.History.Simulated

  @simulated [partitions: 6, records: 300, members: 3, run: 8, trouble: 15]

  test "a run that is sound is told in one line" do
    steps = [produced(9), alone(), done(1, [0..9]), committed(10), told(:fault, "none")]
    line = capture_io(fn -> Checker.assert_sound!(events(steps)) end)

    assert line =~ "1 members, 1 faults; 10 records, delivered 10, redelivered 0 of 0"
    assert line =~ "handled 10, twice 0, out of order 0; 0 violations"
    assert length(String.split(line, "\n", trim: true)) == 1
  end

  test "one that is not fails its test, with the history that shows why" do
    steps = [produced(9), alone(), done(1, [0..3, 5..9]), committed(10)]

    {message, line} =
      with_io(fn ->
        assert_raise(ExUnit.AssertionError, fn -> Checker.assert_sound!(events(steps)) end).message
      end)

    assert line =~ "1 violations"

    assert String.split(message, "\n", trim: true) |> Enum.map(&String.trim/1) == [
             "I2 of orders/0: 10 is committed, and 4 (1) was never delivered",
             "+0.000 ms  a#1  assigned  orders/0  epoch 1  from 0",
             "+2.000 ms  a#1  delivered  orders/0  epoch 1  0..3, 5..9 on lane 0",
             "+5.000 ms  a#1  committed  orders/0  10"
           ]
  end

  test "a history that does not say what there is cannot be checked" do
    assert_raise ArgumentError, ~r"orders/0.*ask_produced", fn ->
      Checker.check(events([alone(), done(1, [0..9])]))
    end
  end

  test "an option that there is not is refused" do
    assert_raise ArgumentError, ~r/at_the_end/, fn -> Checker.check([], at_the_end: :all) end
  end

  test "of an offset that came again and again only the first and last are shown" do
    again =
      for epoch <- 1..50, do: [assigned(epoch, 0), delivered(epoch, [0..4]), revoked(epoch, 5)]

    steps = [produced(9), started(), again, committed(5)]

    assert {:error, [violation | _]} = steps |> events() |> Checker.check()
    assert %Violation{invariant: :I1, offset: 0} = violation

    assert length(violation.slice) == 10
    assert {_, _, :assigned, _, 1, _} = hd(violation.slice)
    assert {_, _, :committed, _, _, _} = List.last(violation.slice)
  end

  for seed <- 1..20 do
    test "members that share, die and tell late are sound: #{seed}" do
      events = Simulated.events(unquote(seed), @simulated)
      assert {:ok, report} = Checker.check(events, at_end: :all_committed)
      assert report.produced == 1_800
      assert report.redelivered > 0
    end

    test "and are caught when one event of it is false: #{seed}" do
      events = Simulated.events(unquote(seed), @simulated)

      for {what, expected, bad} <- falsified(events) do
        assert {:error, violations} = Checker.check(bad, at_end: :all_committed), what
        invariants = for %{invariant: invariant} <- violations, do: invariant
        assert Enum.any?(invariants, &(&1 in expected)), "#{what}: #{inspect(invariants)}"
        for violation <- violations, do: assert(length(violation.slice) in 1..10)
      end
    end
  end

  # Each with what may be said of it.
  defp falsified(events) do
    indexed = Enum.with_index(events)

    changed = fn kind, change ->
      {event, index} = indexed |> Enum.filter(&(elem(elem(&1, 0), 2) == kind)) |> Enum.random()

      event
      |> change.()
      |> List.wrap()
      |> Enum.reduce(List.delete_at(events, index), &List.insert_at(&2, index, &1))
    end

    beyond = fn {time, member, kind, place, epoch, {offset, latency}} ->
      {time, member, kind, place, epoch, {offset + 400, latency}}
    end

    back = fn {time, member, kind, place, epoch, {offset, latency}} = event ->
      [{time, member, kind, place, epoch, {max(offset - 1, 0), latency}}, event]
    end

    once_more = fn event -> [event, event] end

    [
      {"a commit beyond all", [:I1, :I2, :I6, :rewind], changed.(:committed, beyond)},
      {"a commit that goes back", [:rewind], changed.(:committed, back)},
      {"a delivery twice", [:I3, :I4], changed.(:delivered, once_more)},
      {"demand that was not", [:I4], changed.(:demanded, fn _ -> [] end)}
    ]
  end
end
