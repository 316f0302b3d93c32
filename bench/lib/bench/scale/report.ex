defmodule Bench.Scale.Report do
  @moduledoc false
  # What was measured, as a table.

  alias Bench.{Figures, Machine, Scale}
  alias Bench.Scale.Plan

  @columns [
    {"records/s", "rate", 0},
    {"CPU µs", "cpu_us", 2},
    {"idle CPU %", "cpu_percent", 2},
    {"peak MiB", "peak_mib", 0},
    {"more than before MiB", "grown_mib", 0},
    {"connections", "sockets", 0}
  ]

  @spec text([Scale.result()]) :: String.t()
  def text(results) do
    """
    # Cost as the work grows

    `bin/bench scale` wrote this, on #{Machine.description()}, shared with the one broker; load average before it
    began: #{System.get_env("BENCH_LOAD", "unknown")}. 100 B records unless another size is named, four
    processors, `max_demand: 100`, all else at its default. The median of five rounds, in which all took turns; what is full was
    measured once. CPU is the whole process's, of each record, and
    beside it how many times that of "#{Plan.plainest()}" it is. Memory is the whole process's peak, and how
    much more that is than before the pipeline began.

    | | #{Enum.map_join(@columns, " | ", &elem(&1, 0))} | CPU × |
    |---|#{String.duplicate("---|", length(@columns) + 1)}
    #{Enum.map_join(results, "\n", &row(&1, plainest(results)))}
    """
  end

  @spec plainest([Scale.result()]) :: float() | nil
  defp plainest(results) do
    Enum.find_value(results, fn {way, figures, _} ->
      if way.title == Plan.plainest(), do: figures && figures["cpu_us"]
    end)
  end

  @spec row(Scale.result(), float() | nil) :: String.t()
  defp row({way, nil, [failure | _]}, _plainest),
    do: "| #{way.title} | failed: #{failure |> String.split("\n") |> hd()} |"

  defp row({way, figures, _failures}, plainest) do
    cells = for {_, name, digits} <- @columns, do: cell(figures[name], digits)
    "| #{Enum.join([way.title | cells] ++ [times(way, figures, plainest)], " | ")} |"
  end

  @spec cell(float() | nil, 0..2) :: String.t()
  defp cell(nil, _digits), do: "–"
  defp cell(value, 0), do: value |> round() |> to_string()
  defp cell(value, digits), do: :erlang.float_to_binary(value, decimals: digits)

  # Larger records cost more by themselves.
  @spec times(Scale.Way.t(), Figures.t(), float() | nil) :: String.t()
  defp times(%{mode: :read, bytes: 100}, figures, plainest) when is_float(plainest),
    do: cell(figures["cpu_us"] / plainest, 2)

  defp times(_way, _figures, _plainest), do: "–"
end
