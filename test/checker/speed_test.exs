defmodule OffBroadwayRustKafka.Checker.SpeedTest do
  # Not beside other tests: it measures the time that the whole VM has had.
  use ExUnit.Case, async: false

  alias OffBroadwayRustKafka.Checker
  alias OffBroadwayRustKafka.History.Simulated

  @million 1_000_000
  # It takes three seconds; of the processor, as others may be using that too.
  @most_ms 20_000

  test "a million records are checked in seconds" do
    options = [partitions: 8, records: div(@million, 8), members: 3, run: 10, trouble: 0]
    events = Simulated.events(1, options)
    {before, _} = :erlang.statistics(:runtime)
    assert {:ok, report} = Checker.check(events, at_end: :all_committed)
    {now, _} = :erlang.statistics(:runtime)
    assert %{produced: @million, delivered: @million, handled: @million} = report
    IO.puts("#{@million} records, #{report.events} events, were checked in #{now - before} ms")
    assert now - before < @most_ms
  end
end
