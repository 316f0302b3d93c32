defmodule Demo.Report do
  @moduledoc false
  # The table, its legend, and the one line that says whether it is exact.

  alias Demo.{Latency, Ledger, Outcome, Pipeline, Screen, Source}

  @columns [
    partition: "partition",
    first: "first",
    last: "last delivered",
    acked: "acked",
    committed: "committed",
    lag: "lag",
    p50: "p50 ms",
    p99: "p99 ms"
  ]

  @most_problems 8

  @doc "Prints it all; whether it is exact."
  @spec print(Outcome.t(), records_per_s :: non_neg_integer()) :: boolean()
  def print(outcome, rate) do
    rows = Outcome.rows(outcome)
    Screen.say(["\n", table(rows ++ [totals(rows, outcome)]), legend(outcome)])

    Screen.say("About #{rate} records/s through the backlog, processors and batcher included.\n")

    problems =
      for row <- rows, problem <- row.problems, do: "partition #{row.partition}: #{problem}"

    Screen.say(verdict(problems, outcome))
    problems == []
  end

  @spec totals([Outcome.row()], Outcome.t()) :: map()
  defp totals(rows, %{ledger: ledger, source: source}) do
    waits = ledger.waits[Source.since(source)]

    [p50, p99] =
      for share <- [0.5, 0.99], do: Latency.percentile(waits, Ledger.partitions(ledger), share)

    [acked, lag] = for key <- [:acked, :lag], do: rows |> Enum.map(& &1[key]) |> Enum.sum()

    %{partition: "total", acked: acked, lag: lag, first: "", last: "", committed: ""}
    |> Map.merge(%{p50: p50, p99: p99})
  end

  @spec table([map()]) :: iodata()
  defp table(rows) do
    cells = for row <- rows, do: for({key, _} <- @columns, do: cell(row[key]))
    lines = [Keyword.values(@columns) | cells]

    widths =
      lines
      |> Enum.zip_with(& &1)
      |> Enum.map(&(&1 |> Enum.map(fn s -> String.length(s) end) |> Enum.max()))

    for line <- lines, do: [line(line, widths), "\n"]
  end

  @spec line([String.t()], [non_neg_integer()]) :: String.t()
  defp line(cells, widths),
    do:
      [cells, widths]
      |> Enum.zip_with(fn [c, w] -> String.pad_leading(c, w) end)
      |> Enum.join("  ")

  @spec cell(term()) :: String.t()
  defp cell(nil), do: "-"
  defp cell(ms) when is_float(ms), do: :erlang.float_to_binary(ms, decimals: 1)
  defp cell(value), do: to_string(value)

  @spec legend(Outcome.t()) :: iodata()
  defp legend(%{ledger: ledger, source: source}) do
    [
      """

      acked: records below the offset a stop committed: a member commits only those.
      committed, lag: as the broker says, after the last stop.
      """,
      waits(source, ledger),
      """
      The batcher's wait for more records, up to #{Pipeline.batch_timeout_ms()} ms, is part of it.
      """,
      mock(source)
    ]
  end

  # An ack is taken to be where handle_batch returns: see the pipeline.
  @spec waits(Source.t(), Ledger.t()) :: iodata()
  defp waits(source, ledger) do
    if Source.ours?(source) do
      """
      p50, p99: from arrival to ack, of the #{source.live} records produced live, while the
      pipeline ran; arrival is just before they were handed to the producing client,
      #{percentiles(source.produced, [0])} before it heard that the broker has them.
      Of the #{source.backlog} from before: #{percentiles(ledger.waits.delivery, Ledger.partitions(ledger))} from handle_message to ack.
      """
    else
      """
      p50, p99: from delivery (handle_message) to ack; all records were there before.
      """
    end
  end

  @spec mock(Source.t()) :: String.t()
  defp mock(%{mode: :mock}) do
    """
    So are up to #{Pipeline.mock_fetch_wait_ms()} ms of the mock cluster, which lets an empty fetch wait so long.
    """
  end

  defp mock(_source), do: ""

  @spec percentiles(Latency.t(), Enumerable.t()) :: String.t()
  defp percentiles(latency, partitions) do
    [p50, p99] = for share <- [0.5, 0.99], do: Latency.percentile(latency, partitions, share)
    "p50 #{cell(p50)}, p99 #{cell(p99)}"
  end

  @spec verdict([String.t()], Outcome.t()) :: String.t()
  defp verdict([], %{ledger: ledger, source: source}) do
    "exact: #{Ledger.count(ledger)} records, each handled once, in order, across the restart, committed" <>
      no_record(Outcome.gaps(ledger, source))
  end

  defp verdict(problems, _outcome) do
    {shown, rest} = Enum.split(problems, @most_problems)
    more = if rest == [], do: "", else: "; and #{length(rest)} more"
    "NOT exact: " <> Enum.join(shown, "; ") <> more
  end

  @spec no_record(non_neg_integer()) :: String.t()
  defp no_record(0), do: ""

  defp no_record(gaps),
    do: "; #{gaps} offsets hold no record for a consumer, nor did they in a second reading"
end
