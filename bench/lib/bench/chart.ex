defmodule Bench.Chart do
  @moduledoc false
  # Bars as SVG, readable on light and on dark backgrounds.

  @width 760
  @labels 330
  @values 90
  @row 22
  @bar 14
  @head 34
  # A bar of the least value on a logarithmic scale is still seen.
  @least 0.02

  @style """
  text{font:13px system-ui,sans-serif;fill:#6e7781}.title{font-weight:600}.ours{fill:#0969da}\
  .peer{fill:#8c959f}.bound{fill:#bf8700}\
  @media(prefers-color-scheme:dark){text{fill:#adbac7}.ours{fill:#4493f8}.bound{fill:#d29922}}\
  """

  @type row ::
          {label :: String.t(), value :: float(), shown :: String.t(), :ours | :peer | :bound}

  @doc "A chart of positive values."
  @spec svg(title :: String.t(), :linear | :log, [row()]) :: iodata()
  def svg(title, scale, rows) do
    height = @head + length(rows) * @row + 8
    {low, high} = rows |> Enum.map(&elem(&1, 1)) |> Enum.min_max()

    [
      ~s(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{@width} #{height}" width="#{@width}" ),
      ~s(role="img"><title>#{escaped(title)}</title><style>#{@style}</style>\n),
      ~s(<text class="title" x="4" y="20">#{escaped(title)}</text>\n),
      rows |> Enum.with_index() |> Enum.map(&row(&1, {scale, low, high})),
      "</svg>\n"
    ]
  end

  @spec row({row(), non_neg_integer()}, {:linear | :log, float(), float()}) :: iodata()
  defp row({{label, value, shown, kind}, index}, scale) do
    top = @head + index * @row
    length = Float.round((@width - @labels - @values) * share(value, scale), 1)
    base = top + @bar - 2

    [
      ~s(<text x="#{@labels - 8}" y="#{base}" text-anchor="end">#{escaped(label)}</text>),
      ~s(<rect class="#{kind}" x="#{@labels}" y="#{top}" width="#{length}" height="#{@bar}" rx="2"/>),
      ~s(<text x="#{Float.round(@labels + length + 6, 1)}" y="#{base}">#{escaped(shown)}</text>\n)
    ]
  end

  @spec share(float(), {:linear | :log, float(), float()}) :: float()
  defp share(value, {:linear, _low, high}), do: value / high
  defp share(_value, {:log, same, same}), do: 1.0

  defp share(value, {:log, low, high}),
    do: @least + (1 - @least) * :math.log(value / low) / :math.log(high / low)

  @spec escaped(String.t()) :: String.t()
  defp escaped(text) do
    text |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")
  end
end
