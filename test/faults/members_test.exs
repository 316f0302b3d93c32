defmodule OffBroadwayRustKafka.Faults.MembersTest do
  # Not beside others, as it measures how long partitions wait.
  use OffBroadwayRustKafka.KafkaCase, async: false

  import OffBroadwayRustKafka.Members

  alias OffBroadwayRustKafka.{Churn, Feed, Gaps, Members}

  # How long members come and go under each protocol; more for a run by hand.
  @seconds "CHURN_SECONDS" |> System.get_env("20") |> String.to_integer()

  @moduletag :broker
  @moduletag timeout: 1_000 * @seconds + 240_000

  @partitions 50
  @feed_ms 20
  @quiet_ms 3_000

  # Sooner than by default, as the members of a test do not stay for long.
  @session ["session.timeout.ms": 6_000, "heartbeat.interval.ms": 500]
  @protocols [
    {"cooperative-sticky", [config: @session]},
    {"eager", [config: ["partition.assignment.strategy": "range"] ++ @session]},
    {"KIP-848", [group_protocol: :consumer]}
  ]

  for {protocol, producer} <- @protocols do
    @tag protocol: protocol
    test "members come and go all the time, and nothing is lost, under #{protocol}", context do
      %{protocol: protocol, kafka: kafka} = context
      seed = ExUnit.configuration()[:seed]
      IO.puts("#{protocol}: #{@seconds} s, seed #{seed}")
      own = Map.put(Members.context(kafka, @partitions), :producer, unquote(producer))

      # Before the members: a node is known to be up by what it has handled.
      feed = Feed.start(kafka, own.topic, @partitions, @feed_ms)
      churn = Churn.start(own, seed)
      await_progress(own)
      quiet_from = System.os_time(:nanosecond)
      churn = Churn.pass(churn, @quiet_ms)
      quiet = {quiet_from, System.os_time(:nanosecond)}
      churn = Churn.run(churn, @seconds * 1_000)
      times = Feed.stop(feed)
      await_all_committed(own, times)
      churn = Churn.stop(churn)

      IO.puts("#{protocol}: #{Churn.summary(churn)}")
      usual = gaps(own, times, [quiet])
      IO.puts("#{protocol}: while all stay, #{Gaps.summary(usual)}")
      waits = gaps(own, times, churn.windows)
      IO.puts("#{protocol}: while others move, #{Gaps.summary(waits)}")
      excess = for gap <- waits, do: %{gap | ms: max(gap.ms - Churn.drain(churn, gap.window), 0)}
      IO.puts("#{protocol}: of which beyond the drain, #{Gaps.summary(excess)}")
      assert_unmoved_go_on(protocol, excess, Gaps.percentile(usual, 100))
      assert_sound!(own, clean_stops: churn.clean)
    end
  end

  # Eager members give up all they have whenever the group changes.
  defp assert_unmoved_go_on("eager", _excess, _usual_ms), do: :ok

  # On a busy machine they wait for the processor too, as they do while all stay.
  defp assert_unmoved_go_on(_incremental, excess, usual_ms) do
    assert Gaps.percentile(excess, 50) <= 200 + usual_ms
    assert Gaps.percentile(excess, 90) <= 2 * (200 + usual_ms)
    assert Gaps.percentile(excess, 100) <= 3_000
  end
end
