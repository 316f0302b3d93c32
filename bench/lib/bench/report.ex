defmodule Bench.Report do
  @moduledoc false
  # bench/RESULTS.md.

  alias Bench.{Bars, Machine, Measure, Medians, Plan, Shape, Variant}

  @spec text(Plan.t(), Measure.results()) :: String.t()
  def text(plan, results) do
    tables = for {shape, _, ids} <- plan.reads, do: throughput(plan, results, shape, ids)
    latency = if plan.latency_rate, do: [latency(plan, results)], else: []

    sections =
      [head(plan), bars(results)] ++ tables ++ latency ++ [settings(plan), versions(plan)]

    Enum.join(sections, "\n\n") <> "\n"
  end

  @spec head(Plan.t()) :: String.t()
  defp head(plan) do
    {_here, missing} = Plan.here(plan)

    """
    # Results

    Written by `bin/bench #{plan.form}` on #{Date.utc_today()}#{commit()}.

    #{Machine.description()}, shared with the one broker; load average before it began: \
    #{System.get_env("BENCH_LOAD", "unknown")}. One topic of \
    #{plan.partitions} partitions for each size: JSON, a key and two headers a record. All connectors in \
    turn, #{plan.rounds} rounds; each run in an OS process of its own, from the first record on, for \
    #{plan.seconds} s at most. The median of each figure, and the lowest and highest rate. CPU time is \
    that of the whole process.\
    """ <> stand_ins() <> skipped(missing)
  end

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

  @spec commit() :: String.t()
  defp commit do
    case System.get_env("BENCH_COMMIT", "") do
      "" -> ""
      commit -> ", commit #{commit}"
    end
  end

  @spec bars(Measure.results()) :: String.t()
  defp bars(results) do
    rows = for {text, measured, met} <- Bars.all(results), do: [text, measured, met]
    "## What we have set ourselves\n\n" <> table(["", "measured", ""], rows)
  end

  @spec throughput(Plan.t(), Measure.results(), Shape.t(), [atom()]) :: String.t()
  defp throughput(plan, results, shape, ids) do
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

    "## #{Shape.title(shape)} records\n\n" <> table(head, rows)
  end

  @spec latency(Plan.t(), Measure.results()) :: String.t()
  defp latency(plan, results) do
    head = ["", "p50, ms", "p99, ms", "start to first, ms"]

    rows =
      for subject <- Plan.listeners(plan) do
        case Medians.of(results, :latency, subject) do
          nil -> [name(subject), failure(results[{:latency, subject}]), "", ""]
          m -> [name(subject), decimal(m["p50_ms"]), decimal(m["p99_ms"]), whole(m["first_ms"])]
        end
      end

    "## Latency at #{plan.latency_rate} records a second\n\n" <>
      "From just before the record is produced to the handler; 100 B, an existing group, " <>
      "#{plan.latency_seconds} s a run after a warm-up of 2 s.\n\n" <> table(head, rows)
  end

  @spec settings(Plan.t()) :: String.t()
  defp settings(plan) do
    {here, _missing} = Plan.here(plan)

    rows =
      for connector <- here,
          variant <- connector.variants(),
          do: [name({connector, variant}), "`#{Variant.settings(variant)}`"]

    "## Settings\n\nBesides the broker, the group, the topic and `:earliest`:\n\n" <>
      table(["", "set"], rows)
  end

  @spec versions(Plan.t()) :: String.t()
  defp versions(plan) do
    {here, _missing} = Plan.here(plan)
    rows = for {name, version} <- Enum.flat_map(here, & &1.versions()), do: [name, version]
    rows = rows ++ for {name, version} <- Machine.versions(), do: [name, version]
    "## Versions\n\n" <> table(["", "version"], Enum.uniq(rows))
  end

  @spec failure([{:ok, map()} | {:error, String.t()}]) :: String.t()
  defp failure([{:error, reason} | _]),
    do: "failed: " <> (reason |> String.split("\n") |> List.first())

  @spec range([{:ok, map()} | {:error, String.t()}]) :: {float(), float()}
  defp range(runs), do: Enum.min_max(for {:ok, figures} <- runs, do: figures["rate"])

  @spec name(Measure.subject()) :: String.t()
  defp name({connector, variant}), do: "#{connector.title()}, #{variant.title}"

  @spec table([String.t()], [[String.t()]]) :: String.t()
  defp table(head, rows) do
    line = fn cells -> "| " <> Enum.join(cells, " | ") <> " |" end
    rule = "|" <> String.duplicate("---|", length(head))
    Enum.join([line.(head), rule | Enum.map(rows, line)], "\n")
  end

  @spec whole(float()) :: String.t()
  defp whole(number) do
    number |> round() |> Integer.to_string() |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, " ")
  end

  @spec decimal(float()) :: String.t()
  defp decimal(number), do: :erlang.float_to_binary(number * 1.0, decimals: 2)
end
