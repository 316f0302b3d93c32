defmodule Bench.Medians do
  @moduledoc false
  # Looks a figure up in the results: the median of its runs.

  alias Bench.{Figures, Measure}

  @spec of(Measure.results(), Measure.what(), Measure.subject()) :: Figures.t() | nil
  def of(results, what, subject) do
    Figures.median(succeeded(results, what, subject))
  end

  @doc "The figures of each run of a connector's variant that did not fail."
  @spec runs(Measure.results(), Measure.what(), module(), atom()) :: [Figures.t()]
  def runs(results, what, connector, id) do
    # Without such a variant there is nothing under nil.
    variant = Enum.find(connector.variants(), &(&1.id == id))
    succeeded(results, what, {connector, variant})
  end

  @doc "The figure of a connector's variant; `nil` when it was not measured."
  @spec figure(Measure.results(), Measure.what(), module(), atom(), String.t()) ::
          float() | nil
  def figure(results, what, connector, id, name) do
    figures = results |> runs(what, connector, id) |> Figures.median()
    figures && figures[name]
  end

  @doc "The best of the peers, by `choose` (`&Enum.max/1` or `&Enum.min/1`)."
  @spec best_peer(
          Measure.results(),
          Measure.what(),
          atom(),
          String.t(),
          ([float()] -> float())
        ) :: float() | nil
  def best_peer(results, what, id, name, choose) do
    figures =
      for peer <- Bench.Connector.peers(),
          figure = figure(results, what, peer, id, name),
          do: figure

    if figures != [], do: choose.(figures)
  end

  @spec succeeded(Measure.results(), Measure.what(), Measure.subject()) :: [Figures.t()]
  defp succeeded(results, what, subject),
    do: for({:ok, figures} <- Map.get(results, {what, subject}, []), do: figures)
end
