defmodule Soak.Tally do
  @moduledoc false
  # What all rounds come to.

  alias OffBroadwayRustKafka.Checker.Violation
  alias Soak.{Judge, Screen}

  @numbers [:records, :faults, :redelivered, :had_to, :lost, :stuck, :violations]
  defstruct Enum.map(@numbers, &{&1, 0})

  @type t :: %__MODULE__{}

  @spec add(t(), Judge.verdict()) :: t()
  def add(tally, verdict) do
    for number <- @numbers, reduce: tally do
      tally -> Map.update!(tally, number, &(&1 + value(verdict[number])))
    end
  end

  @spec value(non_neg_integer() | list()) :: non_neg_integer()
  defp value(list) when is_list(list), do: length(list)
  defp value(number), do: number

  @spec sound?(t()) :: boolean()
  def sound?(tally), do: tally.lost == 0 and tally.stuck == 0 and tally.violations == 0

  @doc "The summary."
  @spec line(t(), seconds :: non_neg_integer(), seed :: non_neg_integer()) :: String.t()
  def line(tally, seconds, seed) do
    minutes = :erlang.float_to_binary(seconds / 60, decimals: 1)
    [records, faults, redelivered, had_to, lost, stuck, violations] = numbers(tally)

    "soak: #{minutes} min, seed #{seed}, #{records} records, #{faults} faults, " <>
      "#{redelivered} redelivered (of #{had_to} that had to be), #{lost} lost, #{stuck} stuck, " <>
      "#{violations} violations"
  end

  @spec numbers(t()) :: [String.t()]
  defp numbers(tally),
    do: for(number <- @numbers, do: tally |> Map.fetch!(number) |> Screen.number())

  @doc "Of a round, for a reader; and, where it is not as it should be, what there is to know, kept."
  @spec tell(Judge.verdict(), round :: pos_integer(), dir :: Path.t()) :: :ok
  def tell(verdict, round, dir) do
    [records, redelivered, had_to] =
      for number <- [:records, :redelivered, :had_to], do: Screen.number(verdict[number])

    Screen.say(
      "-- round #{round}: #{records} records, #{verdict.faults} faults, #{redelivered} redelivered " <>
        "of #{had_to} that had to be, #{verdict.lost} lost, #{length(verdict.stuck)} stuck, " <>
        "#{verdict.violations} violations; #{length(verdict.events)} events, #{memory()} MB"
    )

    case texts(verdict) do
      [] -> :ok
      texts -> keep(texts, verdict.events, round, dir)
    end
  end

  @spec texts(Judge.verdict()) :: [String.t()]
  defp texts(verdict) do
    stuck =
      for {place, committed, next} <- verdict.stuck,
          do:
            "stuck: #{Violation.place_text(place)} is committed to #{committed || "nothing"} of #{next}"

    lost = if verdict.lost > 0, do: ["lost: #{verdict.lost} records were never handled"], else: []
    stuck ++ lost ++ verdict.texts
  end

  @spec keep([String.t()], [tuple()], pos_integer(), Path.t()) :: :ok
  defp keep(texts, events, round, dir) do
    text = Enum.join(texts, "\n\n") <> "\n"
    IO.write(:stderr, text)
    File.write!(Path.join(dir, "violations-#{round}.txt"), text)

    File.write!(
      Path.join(dir, "history-#{round}.etf"),
      :erlang.term_to_binary(events, [:compressed])
    )
  end

  # What the operating system counts for this VM, Rust's included.
  @spec memory() :: non_neg_integer()
  defp memory do
    with {:ok, status} <- File.read("/proc/self/status"),
         [_, kilobytes] <- Regex.run(~r/VmRSS:\s+(\d+)/, status) do
      div(String.to_integer(kilobytes), 1024)
    else
      _ -> div(:erlang.memory(:total), 1024 * 1024)
    end
  end
end
