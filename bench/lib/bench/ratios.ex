defmodule Bench.Ratios do
  @moduledoc false
  # Ours by the side of what bounds it, measured in the same minutes: that stays, whatever machine it
  # is, and falls when the hot path gets worse. `ratios.exs` holds what it was. The best run counts, as
  # a busy machine only ever makes them worse.

  alias Bench.{Machine, Measure, Medians, Shape}
  alias Bench.Connectors.{BroadwayAlone, Ours, Raw}

  @file_name Path.expand("../../ratios.exs", __DIR__)
  @least 2 / 3

  @type t :: %{optional(atom()) => float()}

  @spec measured(Measure.results(), Shape.t()) :: t()
  def measured(results, shape) do
    for {name, {id, kind}} <- names(), into: %{}, do: {name, ratio(kind, results, shape, id)}
  end

  @doc "What was committed, for Broadway or for the stand-ins."
  @spec committed() :: t()
  def committed do
    {all, _} = Code.eval_file(@file_name)
    Map.fetch!(all, which())
  end

  @spec which() :: :broadway | :stand_ins
  def which, do: if(Machine.stand_ins?(), do: :stand_ins, else: :broadway)

  @doc "Prints each ratio; false when one fell by more than a third."
  @spec hold?(t(), t()) :: boolean()
  def hold?(measured, committed) do
    lines =
      for {name, was} <- Enum.sort(committed) do
        is = Map.fetch!(measured, name)
        fine? = is != nil and is >= was * @least

        {fine?,
         "#{if fine?, do: "holds", else: "FELL "}  #{name}: #{shown(is)}, was #{shown(was)}"}
      end

    IO.puts("In terms of bench/ratios.exs (#{which()}):")
    for {_, line} <- lines, do: IO.puts(line)
    Enum.all?(lines, &elem(&1, 0))
  end

  @spec names() :: [{atom(), {variant :: atom(), :rate | :cpu}}]
  defp names do
    [
      rate_to_broadway: {:tuned, :rate},
      floor_to_cpu: {:tuned, :cpu},
      defaults_rate_to_broadway: {:defaults, :rate},
      defaults_floor_to_cpu: {:defaults, :cpu}
    ]
  end

  @spec ratio(:rate | :cpu, Measure.results(), Shape.t(), atom()) :: float() | nil
  defp ratio(:rate, results, shape, id) do
    broadway = best(results, shape, BroadwayAlone, id, "rate", &Enum.max/1)
    ours = best(results, shape, Ours, id, "rate", &Enum.max/1)
    broadway && ours && ours / broadway
  end

  defp ratio(:cpu, results, shape, id) do
    raw = best(results, shape, Raw, :defaults, "cpu_us", &Enum.min/1)
    broadway = best(results, shape, BroadwayAlone, id, "cpu_us", &Enum.min/1)
    ours = best(results, shape, Ours, id, "cpu_us", &Enum.min/1)
    raw && broadway && ours && (raw + broadway) / ours
  end

  @spec best(
          Measure.results(),
          Shape.t(),
          module(),
          atom(),
          String.t(),
          ([float()] -> float())
        ) :: float() | nil
  defp best(results, shape, connector, id, name, choose) do
    figures = for run <- Medians.runs(results, shape, connector, id), do: run[name]
    if figures != [], do: choose.(figures)
  end

  @spec shown(float() | nil) :: String.t()
  defp shown(nil), do: "not measured"
  defp shown(number), do: :erlang.float_to_binary(number * 1.0, decimals: 3)
end
