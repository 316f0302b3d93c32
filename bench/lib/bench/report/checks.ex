defmodule Bench.Report.Checks do
  @moduledoc false
  # What is not about speed: how long calls last, who keeps a scheduler, many pipelines at once.

  alias Bench.{Measure, Medians, Plan, Report, Table}
  alias Bench.Runs.Calls

  import Bench.Table, only: [decimal: 1, whole: 1]

  @spec sections(Plan.t(), Measure.results()) :: [String.t()]
  def sections(plan, results) do
    for {kind, rounds, seconds} <- plan.checks,
        do: section(kind, plan, results) <> "\n\n#{seconds} s a run, rounds: #{rounds}."
  end

  @spec section(atom(), Plan.t(), Measure.results()) :: String.t()
  defp section(:calls, plan, results) do
    [subject] = Plan.subjects(plan, :calls)
    medians = Medians.of(results, :calls, subject) || %{}

    rows =
      for {name, title} <- Calls.calls() ++ Calls.besides() do
        figure = &medians["#{name}.#{&1}"]

        [title, whole(figure.("count")), decimal(figure.("p50_us")), decimal(figure.("p99_us"))] ++
          [decimal(figure.("max_us")), whole(figure.("long"))]
      end

    "## How long calls into the NIF take\n\n1 KiB records, one process, without Broadway; the median " <>
      "of each figure. The clock is the one on the wall: what the machine did meanwhile is in it.\n\n" <>
      Table.text(["", "calls", "p50, µs", "p99, µs", "longest, µs", "above 1 ms"], rows)
  end

  defp section(:schedules, plan, results) do
    rows =
      for subject <- Plan.subjects(plan, :schedules) do
        m = Medians.of(results, :schedules, subject) || %{}

        [Report.name(subject), decimal(m["ours"]), whole(m["longest_ms"])] ++
          [decimal(m["others"]), whole(m["others_longest_ms"])]
      end

    "## Who keeps a scheduler for more than a millisecond\n\nWhat `:erlang.system_monitor/2` tells " <>
      "(`long_schedule: 1`) while a pipeline reads 1 KiB records at full speed. The " <>
      "first are the producer's process, the consumer's, and any that was in a function of this project " <>
      "as it began or ended. The clock is the one on the wall here too.\n\n" <>
      Table.text(
        ["", "the producer's, a second", "longest, ms", "others, a second", "longest, ms"],
        rows
      )
  end

  defp section(:many, plan, results) do
    rows =
      for subject <- Plan.subjects(plan, :many) do
        m = Medians.of(results, :many, subject) || %{}

        [Report.name(subject), whole(m["rate"]), whole(m["slowest"]), whole(m["pause_ms"])]
      end

    "## Ten pipelines in one VM\n\nEach in a group of its own, 1 KiB records, all at full speed.\n\n" <>
      Table.text(
        ["", "records/s of all", "of the slowest", "longest pause of one, ms"],
        rows
      )
  end
end
