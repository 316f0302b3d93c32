defmodule OffBroadwayRustKafka.Top.JSON do
  @moduledoc false
  # Rows as a line of JSON. Elixir 1.14 has no encoder, and what there is to encode is little.

  alias OffBroadwayRustKafka.Top.Row

  @keys [:group, :member, :topic, :partition, :rate, :lag, :unacked, :unacked_ms] ++
          [:position, :committed, :end, :paused]

  @spec line([Row.t()], source :: String.t()) :: iodata()
  def line(rows, source) do
    rows = for row <- rows, do: object(for key <- @keys, do: {key, Map.fetch!(row, key)})
    ["{", pair({:source, source}), ~s(,"partitions":[), Enum.intersperse(rows, ","), "]}"]
  end

  @spec object([{atom(), term()}]) :: iodata()
  defp object(pairs), do: ["{", pairs |> Enum.map(&pair/1) |> Enum.intersperse(","), "}"]

  @spec pair({atom(), String.t() | integer() | boolean() | nil}) :: iodata()
  defp pair({key, value}), do: [string("#{key}"), ":", value(value)]

  @spec value(String.t() | integer() | boolean() | nil) :: iodata()
  defp value(nil), do: "null"
  defp value(flag) when is_boolean(flag), do: Atom.to_string(flag)
  defp value(number) when is_integer(number), do: Integer.to_string(number)
  defp value(text) when is_binary(text), do: string(text)

  @spec string(String.t()) :: iodata()
  defp string(text), do: [?", for(<<char::utf8 <- text>>, do: escaped(char)), ?"]

  @spec escaped(char()) :: iodata()
  defp escaped(char) when char in [?", ?\\], do: [?\\, char]

  defp escaped(char) when char < 0x20,
    do: ["\\u", char |> Integer.to_string(16) |> String.pad_leading(4, "0")]

  defp escaped(char), do: <<char::utf8>>
end
