defmodule Bench.Report do
  @moduledoc false
  # bench/RESULTS.md.

  alias Bench.{Bars, Charts, Machine, Measure, Medians, Paced, Plan, Profile, Shape, Variant}
  alias Bench.Report.Checks

  import Bench.Table, only: [decimal: 1, whole: 1]

  @spec text(Plan.t(), Measure.results()) :: String.t()
  def text(plan, results) do
    reads = for {shape, _, rounds, ids} <- plan.reads, do: read(plan, results, shape, rounds, ids)
    latencies = for latency <- plan.latencies, do: latency(plan, results, latency)

    sections =
      [head(plan), bars(results), Charts.links(plan)] ++
        reads ++
        latencies ++
        Checks.sections(plan, results) ++
        [Profile.section(), settings(plan), versions(plan)]

    (sections |> Enum.reject(&is_nil/1) |> Enum.join("\n\n")) <> "\n"
  end

  @doc "How a connector, set up in one way, is called."
  @spec name(Measure.subject()) :: String.t()
  def name({connector, variant}), do: "#{connector.title()}, #{variant.title}"

  @spec head(Plan.t()) :: String.t()
  defp head(plan) do
    {_here, missing} = Plan.here(plan)

    """
    # Results

    Written by `bin/bench #{plan.form}` on #{Date.utc_today()}#{Machine.commit()}.

    #{Machine.description()}, shared with the one broker; load average before it began: \
    #{System.get_env("BENCH_LOAD", "unknown")}. One topic of \
    #{plan.partitions} partitions for each size: JSON, a key and two headers a record. All connectors in \
    turn, round by round; each run in an OS process of its own, from the first record on, for \
    #{plan.seconds} s at most. The median of each figure, and the lowest and highest rate. CPU time is \
    that of the whole process.\
    """ <> noise() <> stand_ins() <> skipped(missing)
  end

  @spec noise() :: String.t()
  defp noise, do: if(noise = Machine.noise(), do: "\n\n**#{noise}**", else: "")

  @spec stand_ins() :: String.t()
  defp stand_ins do
    if Machine.stand_ins?(),
      do:
        "\n\n**Not the real Broadway, but the stand-ins in offline/: these figures say nothing about " <>
          "Broadway.**",
      else: ""
  end

  @spec skipped([String.t()]) :: String.t()
  defp skipped([]), do: ""
  defp skipped(missing), do: "\n\nNot here, so not measured: #{Enum.join(missing, ", ")}."

  @spec bars(Measure.results()) :: String.t()
  defp bars(results) do
    rows = for {text, measured, met} <- Bars.all(results), do: [text, measured, met]

    "## What we have set ourselves\n\n" <>
      Bench.Table.text(["", "measured", ""], rows) <>
      "\n\n[Why some of it is not met](WHY.md), and where the time goes instead."
  end

  @spec read(Plan.t(), Measure.results(), Shape.t(), pos_integer(), [atom()]) :: String.t()
  defp read(plan, results, shape, rounds, ids) do
    head = ["", "records/s", "lowest – highest", "CPU of a record, µs", "peak memory, MiB"]

    rows =
      for subject <- Plan.readers(plan, shape, ids) do
        case Medians.of(results, shape, subject) do
          nil ->
            [name(subject), failure(results[{shape, subject}]), "", "", ""]

          m ->
            {low, high} = range(results[{shape, subject}])

            [name(subject), whole(m["rate"]), "#{whole(low)} – #{whole(high)}"] ++
              [decimal(m["cpu_us"]), whole(m["peak_mib"])]
        end
      end

    "## #{Shape.title(shape)} records\n\nRounds: #{rounds}.\n\n" <> Bench.Table.text(head, rows)
  end

  @spec latency(Plan.t(), Measure.results(), Plan.latency()) :: String.t()
  defp latency(plan, results, {load, rounds, seconds}) do
    head = ["", "p50, ms", "p99, ms", "records/s: sent", "received", "start to first, ms"]

    rows =
      for subject <- Plan.listeners(plan, load) do
        case Medians.of(results, {:latency, load}, subject) do
          nil ->
            [name(subject), failure(results[{{:latency, load}, subject}]), "", "", "", ""]

          m ->
            [name(subject), decimal(m["p50_ms"]), decimal(m["p99_ms"])] ++
              [whole(m["sent"]), whole(m["received"]), whole(m["first_ms"])]
        end
      end

    "## Latency at #{Paced.title(load)}\n\n" <>
      "From just before the record is produced to the handler; #{Paced.bytes()} B, an existing group, " <>
      "#{seconds} s a run after a warm-up of #{Paced.warm_up(load)} s, rounds: #{rounds}.#{whose(load)}\n\n" <>
      Bench.Table.text(head, rows)
  end

  @spec whose(Plan.load()) :: String.t()
  defp whose(rate) when is_integer(rate), do: ""

  defp whose(_share),
    do:
      " The rate is ours at our defaults, 100 B; the records' source takes its share of the same cores."

  @spec settings(Plan.t()) :: String.t()
  defp settings(plan) do
    {here, _missing} = Plan.here(plan)

    rows =
      for connector <- here,
          variant <- connector.variants(),
          do: [name({connector, variant}), "`#{Variant.settings(variant)}`"]

    "## Settings\n\nBesides the broker, the group, the topic and `:earliest`:\n\n" <>
      Bench.Table.text(["", "set"], rows)
  end

  @spec versions(Plan.t()) :: String.t()
  defp versions(plan) do
    {here, _missing} = Plan.here(plan)
    rows = for {name, version} <- Enum.flat_map(here, & &1.versions()), do: [name, version]
    rows = rows ++ for {name, version} <- Machine.versions(), do: [name, version]
    "## Versions\n\n" <> Bench.Table.text(["", "version"], Enum.uniq(rows))
  end

  @spec failure([Measure.result()] | nil) :: String.t()
  defp failure([{:error, reason} | _]),
    do: "failed: " <> (reason |> String.split("\n") |> List.first())

  defp failure(nil), do: "not measured"

  @spec range([Measure.result()]) :: {float(), float()}
  defp range(runs), do: Enum.min_max(for {:ok, figures} <- runs, do: figures["rate"])
end
