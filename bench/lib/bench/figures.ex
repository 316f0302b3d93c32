defmodule Bench.Figures do
  @moduledoc false
  # What a measuring process prints, read back and summed up.

  @type t :: %{optional(name :: String.t()) => float()}

  @spec print([{atom() | String.t(), number()}]) :: :ok
  def print(figures) do
    for {name, value} <- figures, do: IO.puts("figure #{name} #{value}")
    :ok
  end

  @spec parse([line :: String.t()]) :: t()
  def parse(lines) do
    for "figure " <> rest <- lines,
        [name, value] <- [String.split(rest)],
        {number, ""} <- [Float.parse(value)],
        into: %{},
        do: {name, number}
  end

  @doc "The median of each figure by itself."
  @spec median([t()]) :: t() | nil
  def median([]), do: nil

  def median([first | _] = runs) do
    for name <- Map.keys(first), into: %{}, do: {name, middle(Enum.map(runs, & &1[name]))}
  end

  @spec middle([float()]) :: float()
  defp middle(values) do
    sorted = Enum.sort(values)
    at = div(length(sorted), 2)

    if rem(length(sorted), 2) == 1,
      do: Enum.at(sorted, at),
      else: (Enum.at(sorted, at - 1) + Enum.at(sorted, at)) / 2
  end
end
