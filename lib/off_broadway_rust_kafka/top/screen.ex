defmodule OffBroadwayRustKafka.Top.Screen do
  @moduledoc false
  # Rows as text of a given width: the numbers always in full columns, names as far as there is room.

  alias OffBroadwayRustKafka.Top.Row

  # Title, key, width. Numbers stand to the right.
  @numbers [
    {"PART", :partition, 5},
    {"RATE/s", :rate, 6},
    {"LAG", :lag, 6},
    {"UNACKED", :unacked, 7},
    {"OLDEST", :unacked_ms, 6},
    {"COMMITTED", :committed, 11}
  ]
  @narrowest 6

  @doc "One line for the sum of all, one of titles, and the rows, no more than `lines` in all."
  @spec render([Row.t()], source :: String.t(), columns :: pos_integer(), lines :: pos_integer()) ::
          [String.t()]
  def render(rows, source, columns, lines \\ 1_000_000) do
    {topic, member} = names(rows, columns)
    shown = Enum.take(rows, max(lines - 2, 1))

    body = [
      line("TOPIC", "MEMBER", titles(), topic, member)
      | for(row <- shown, do: row(row, topic, member))
    ]

    for text <- [summary(rows, source) | body], do: clip(text, columns)
  end

  @doc "A count in at most six characters."
  @spec count(non_neg_integer() | nil) :: String.t()
  def count(nil), do: "-"
  def count(number) when number < 100_000, do: "#{number}"
  def count(number) when number < 1_000_000, do: "#{div(number, 1_000)}k"
  def count(number) when number < 1_000_000_000, do: scaled(number, 1_000_000, "M")
  def count(number) when number < 1_000_000_000_000, do: scaled(number, 1_000_000_000, "G")
  def count(number), do: scaled(number, 1_000_000_000_000, "T")

  @doc "An age in at most six characters, for some centuries."
  @spec age(non_neg_integer() | nil) :: String.t()
  def age(nil), do: "-"
  def age(ms) when ms < 1_000, do: "#{ms}ms"
  def age(ms) when ms < 120_000, do: "#{div(ms, 1_000)}s"
  def age(ms) when ms < 7_200_000, do: "#{div(ms, 60_000)}m"
  def age(ms) when ms < 172_800_000, do: "#{div(ms, 3_600_000)}h"
  def age(ms), do: "#{div(ms, 86_400_000)}d"

  @spec summary([Row.t()], String.t()) :: String.t()
  defp summary(rows, source) do
    groups = rows |> Enum.map(& &1.group) |> Enum.uniq() |> Enum.join(",")
    stuck = Enum.count(rows, &Row.stuck?/1)

    "#{length(rows)} partitions, rate #{count(sum(rows, :rate))}/s, lag #{count(sum(rows, :lag))}, " <>
      "unacked #{count(sum(rows, :unacked))}, #{stuck} stuck  #{source}  #{groups}"
  end

  @spec sum([Row.t()], atom()) :: non_neg_integer()
  defp sum(rows, key), do: rows |> Enum.map(&(Map.fetch!(&1, key) || 0)) |> Enum.sum()

  @spec titles() :: [String.t()]
  defp titles, do: for({title, _, _} <- @numbers, do: title)

  @spec row(Row.t(), pos_integer(), pos_integer()) :: String.t()
  defp row(row, topic, member) do
    numbers = for {_, key, width} <- @numbers, do: cell(row, key, width)
    line(row.topic, row.member || "-", numbers, topic, member)
  end

  @spec cell(Row.t(), atom(), pos_integer()) :: String.t()
  defp cell(%{paused: true}, :rate, _width), do: "paused"
  defp cell(row, key, width), do: number(key, Map.fetch!(row, key), width)

  @spec number(atom(), non_neg_integer() | nil, pos_integer()) :: String.t()
  defp number(:unacked_ms, ms, _width), do: age(ms)

  defp number(key, number, width) when key in [:partition, :committed] and number != nil do
    text = "#{number}"
    if String.length(text) <= width, do: text, else: count(number)
  end

  defp number(_key, number, _width), do: count(number)

  @spec line(String.t(), String.t(), [String.t()], pos_integer(), pos_integer()) :: String.t()
  defp line(topic, member, numbers, topic_width, member_width) do
    numbers =
      for {text, {_, _, width}} <- Enum.zip(numbers, @numbers),
          do: String.pad_leading(text, width)

    names = [pad(topic, topic_width) | numbers] ++ [clip(member, member_width)]
    names |> Enum.join(" ") |> String.trim_trailing()
  end

  # Each gets what it needs where there is room, and its share where there is not.
  @spec names([Row.t()], pos_integer()) :: {pos_integer(), pos_integer()}
  defp names(rows, columns) do
    taken = @numbers |> Enum.map(&(elem(&1, 2) + 1)) |> Enum.sum()
    room = max(columns - taken - 1, 2 * @narrowest)
    topic = longest(rows, :topic)
    member = longest(rows, :member)
    half = div(room, 2)

    cond do
      topic + member <= room -> {topic, room - topic}
      topic <= half -> {topic, room - topic}
      member <= half -> {room - member, member}
      true -> {half, room - half}
    end
  end

  @spec longest([Row.t()], atom()) :: pos_integer()
  defp longest(rows, key) do
    rows
    |> Enum.map(&String.length(Map.fetch!(&1, key) || "-"))
    |> Enum.max(fn -> 0 end)
    |> max(@narrowest)
  end

  @spec pad(String.t(), pos_integer()) :: String.t()
  defp pad(text, width), do: text |> clip(width) |> String.pad_trailing(width)

  @spec clip(String.t(), pos_integer()) :: String.t()
  defp clip(text, width) do
    if String.length(text) <= width, do: text, else: String.slice(text, 0, width - 1) <> "…"
  end

  @spec scaled(pos_integer(), pos_integer(), String.t()) :: String.t()
  defp scaled(number, unit, suffix) when number < 100 * unit do
    tenths = div(number * 10, unit)
    "#{div(tenths, 10)}.#{rem(tenths, 10)}#{suffix}"
  end

  defp scaled(number, unit, suffix), do: "#{div(number, unit)}#{suffix}"
end
