defmodule Bench.Charts do
  @moduledoc false
  # The pictures beside bench/RESULTS.md.

  alias Bench.{Chart, Connector, Measure, Medians, Paced, Plan, Report, Shape}
  alias Bench.Connectors.{Nif, Ours}

  import Bench.Table, only: [decimal: 1, whole: 1]

  @doc "Each file beside `path`, and what goes into it."
  @spec files(Plan.t(), Measure.results(), Path.t()) :: [{Path.t(), iodata()}]
  def files(plan, results, path) do
    for {name, title, scale, rows} <- charts(plan, results),
        rows != [],
        do: {Path.join(Path.dirname(path), name), Chart.svg(title, scale, rows)}
  end

  @doc "Markdown that shows them."
  @spec links(Plan.t()) :: String.t()
  def links(plan) do
    Enum.map_join(charts(plan, %{}), "\n\n", fn {name, title, _scale, _rows} ->
      "![#{title}](#{name})"
    end)
  end

  @spec charts(Plan.t(), Measure.results()) :: [
          {String.t(), String.t(), :linear | :log, [Chart.row()]}
        ]
  defp charts(plan, results) do
    [{shape, _, _, ids} | _] = plan.reads
    readers = Plan.readers(plan, shape, ids)
    of = "#{Shape.title(shape)} records"

    [
      {"throughput.svg", "Records a second, #{of}", :linear,
       rows(results, shape, readers, "rate", &whole/1)},
      {"cpu.svg", "CPU time of a record in µs, #{of} (logarithmic)", :log,
       rows(results, shape, readers, "cpu_us", &decimal/1)}
    ] ++ Enum.map(Enum.take(plan.latencies, 1), &latency(plan, results, &1))
  end

  @spec latency(Plan.t(), Measure.results(), Plan.latency()) ::
          {String.t(), String.t(), :log, [Chart.row()]}
  defp latency(plan, results, {load, _rounds, _seconds}) do
    rows =
      for subject <- Plan.listeners(plan, load),
          name <- ["p50", "p99"],
          {label, value, shown, kind} <-
            rows(results, {:latency, load}, [subject], name <> "_ms", &decimal/1),
          do: {"#{label}, #{name}", value, shown, kind}

    {"latency.svg", "Latency in ms at #{Paced.title(load)} (logarithmic)", :log, rows}
  end

  @spec rows(
          Measure.results(),
          Measure.what(),
          [Measure.subject()],
          String.t(),
          (float() -> String.t())
        ) ::
          [Chart.row()]
  defp rows(results, what, subjects, name, shown) do
    for {connector, _} = subject <- subjects,
        %{^name => value} when value > 0 <- [Medians.of(results, what, subject)],
        do: {Report.name(subject), value, shown.(value), kind(connector)}
  end

  @spec kind(module()) :: :ours | :peer | :bound
  defp kind(connector) when connector in [Ours, Nif], do: :ours
  defp kind(connector), do: if(connector in Connector.peers(), do: :peer, else: :bound)
end
