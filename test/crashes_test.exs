defmodule OffBroadwayRustKafka.CrashesTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Crashes

  test "crashes count for as long as they are recent" do
    crashed = fn crashes, ms -> Crashes.add(crashes, 2, 5_000, ms) end
    {false, crashes} = crashed.([], 0)
    {false, crashes} = crashed.(crashes, 1_000)
    {false, later} = crashed.(crashes, 5_500)
    {true, _} = crashed.(crashes, 4_000)
    {true, _} = crashed.(crashes, 5_000)
    {true, _} = crashed.(later, 6_000)
  end
end
