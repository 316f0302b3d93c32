defmodule OffBroadwayRustKafka.ErrorLogTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.Log

  defp error(code, topic \\ nil),
    do: {:error, {code, "something is wrong", true, false, topic, nil}}

  # Writes the events one after another, each at its time, and returns the log lines.
  defp lines(events) do
    log =
      capture_log(fn ->
        Enum.reduce(events, Log.new(MyPipeline), fn {now_ms, event}, log ->
          Log.write(log, event, now_ms)
        end)
      end)

    for line <- String.split(log, "\n"), line =~ "MyPipeline", do: line
  end

  test "an error that repeats is written once in ten seconds, with the count of those left out" do
    assert [first, second] =
             lines([
               {0, error(:all_brokers_down)},
               {1, error(:all_brokers_down)},
               {9_999, error(:all_brokers_down)},
               {10_000, error(:all_brokers_down)}
             ])

    assert first =~ "all_brokers_down: something is wrong"
    refute first =~ "more like it"
    assert second =~ "all_brokers_down: something is wrong (and 2 more like it)"
  end

  test "the count starts anew after each line" do
    assert [_, two, none] =
             lines([
               {0, error(:transport)},
               {1, error(:transport)},
               {2, error(:transport)},
               {10_000, error(:transport)},
               {20_000, error(:transport)}
             ])

    assert two =~ "2 more like it"
    refute none =~ "more like it"
  end

  test "errors of different codes or topics do not hide one another" do
    assert length(
             lines([
               {0, error(:transport)},
               {0, error(:resolve)},
               {0, error(:unknown_topic_or_part, "a")},
               {0, error(:unknown_topic_or_part, "b")}
             ])
           ) == 4
  end

  test "failed commits and librdkafka's own warnings are limited too" do
    failed = {:commit_failed, {:not_coordinator, "moved", true, false, nil, nil}, [{"t", 0, 1}]}

    assert [commit, warning, again] =
             lines([
               {0, failed},
               {0, failed},
               {0, {:log, 4, "FAIL", "connection refused"}},
               {0, {:log, 3, "FAIL", "connection refused"}},
               {10_000, {:log, 4, "FAIL", "connection refused"}}
             ])

    assert commit =~ "[warning]" or commit =~ "[warn]"
    assert commit =~ "commit failed: not_coordinator: moved"
    assert warning =~ "FAIL: connection refused"
    assert again =~ "FAIL: connection refused (and 1 more like it)"
  end

  test "of what librdkafka says for information ten lines of a facility are written in ten seconds" do
    told = for n <- 1..12, do: {0, {:log, 6, "CONFWARN", "number #{n}"}}
    other = {0, {:log, 5, "HEARTBEAT", "lost"}}
    later = {10_000, {:log, 6, "CONFWARN", "number 13"}}
    lines = lines(told ++ [other, later])
    assert length(lines) == 12
    for line <- lines, do: assert(line =~ "[info]")
    assert Enum.at(lines, 9) =~ "CONFWARN: number 10"
    assert Enum.at(lines, 10) =~ "HEARTBEAT: lost"
    assert Enum.at(lines, 11) =~ "CONFWARN: number 13 (and 2 more like it)"
  end

  test "what the property debug asks for is written without a limit" do
    told = for n <- 1..100, do: {0, {:log, 7, "FETCH", "number #{n}"}}
    assert length(lines(told)) == 100
  end

  test "librdkafka's lines have their level, their facility and the pipeline's name" do
    for {level, name} <- [{0, "error"}, {3, "error"}, {4, "warn"}, {5, "info"}, {7, "debug"}] do
      assert [line] = lines([{0, {:log, level, "FACILITY", "something"}}])
      assert line =~ ~r/\[#{name}(ing)?\].*Kafka consumer of MyPipeline: FACILITY: something/
    end
  end

  test "an error that stops the member is an error, one that passes a warning" do
    fatal = {:error, {:fenced_instance_id, "fenced", false, true, nil, nil}}
    assert [line] = lines([{0, fatal}])
    assert line =~ "[error]"

    assert [line] = lines([{0, error(:transport)}])
    refute line =~ "[error]"
  end

  test "assignments, losses, stalls, redeliveries and resets are written with their partitions" do
    assert [assigned, revoked, lost, stalled, redelivered, reset] =
             lines([
               {0, {:assigned, [{"t", 0, 0, 1, 5}, {"t", 1, 1, 1, 0}]}},
               {0, {:revoked, [{"t", 0, 0, 1, 0}], 12}},
               {0, {:lost, [{"t", 1, 1, 1, 3}]}},
               {0, {:stalled, [{"t", 0, 0, 1, 5, 3, 900}, {"t", 1, 1, 1, 8, 1, 1000}]}},
               {0, {:redelivered, [{"t", 0, 0, 1, 5, 3}, {"t", 1, 1, 1, 8, 1}]}},
               {0, {:reset, "t", 2, 9, 4}}
             ])

    assert assigned =~ "assigned t/0, t/1"
    assert revoked =~ "revoked t/0 after 12 ms"
    refute revoked =~ "unacknowledged"
    assert lost =~ "lost t/1, 3 records unacknowledged"
    assert stalled =~ "t/0 at offset 5 for 900 ms (3 in flight), t/1 at offset 8 for 1000 ms"
    assert stalled =~ "[warning]"
    assert redelivered =~ "delivered again: 3 of t/0 from offset 5, 1 of t/1 from offset 8"
    assert reset =~ "offset 9 of t/2 does not exist, it goes on at 4"
  end

  test "what happens all the time is not written at all" do
    assert lines([{0, {:committed, [{"t", 0, 1}], 900}}, {0, {:closed, :ok}}]) == []
  end
end
