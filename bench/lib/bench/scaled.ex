defmodule Bench.Scaled do
  @moduledoc false
  # Cost and memory as the work grows take a measurement of their own, which leaves a table in SCALE.md:
  # its figures, for the bars that are about them.

  @file_name Path.expand("../../SCALE.md", __DIR__)

  @doc "The figures of a column, of the rows whose title has `row` in it; none where nothing was measured."
  @spec figures(column :: String.t(), row :: String.t()) :: [float()]
  def figures(column, row \\ "") do
    with {:ok, text} <- File.read(@file_name),
         [head, _rule | rows] <- for("|" <> cells <- String.split(text, "\n"), do: cells(cells)),
         at when at != nil <- Enum.find_index(head, &(&1 == column)) do
      for [title | _] = cells <- rows,
          String.contains?(title, row),
          {figure, ""} <- [cells |> Enum.at(at, "") |> Float.parse()],
          do: figure
    else
      _ -> []
    end
  end

  @doc "Where the table is, for a reader of the results."
  @spec link() :: String.t()
  def link, do: if(File.exists?(@file_name), do: "[SCALE.md](SCALE.md)", else: "not yet there")

  @spec cells(String.t()) :: [String.t()]
  defp cells(line), do: line |> String.split("|") |> Enum.map(&String.trim/1)
end
