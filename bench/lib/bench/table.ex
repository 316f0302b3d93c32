defmodule Bench.Table do
  @moduledoc false
  # Markdown.

  @spec text(head :: [String.t()], rows :: [[String.t()]]) :: String.t()
  def text(head, rows) do
    rule = "|" <> String.duplicate("---|", length(head))
    Enum.join([line(head), rule | Enum.map(rows, &line/1)], "\n")
  end

  @spec whole(number() | nil) :: String.t()
  def whole(nil), do: "–"

  def whole(number) do
    number |> round() |> Integer.to_string() |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, " ")
  end

  @spec decimal(number() | nil) :: String.t()
  def decimal(nil), do: "–"
  def decimal(number), do: :erlang.float_to_binary(number * 1.0, decimals: 2)

  @spec line([String.t()]) :: String.t()
  defp line(cells), do: "| " <> Enum.join(cells, " | ") <> " |"
end
