defmodule Bench.Scale do
  @moduledoc false
  # Whether the cost of a record, and the memory, grow with the partitions, topics and producers.

  alias Bench.{Command, Figures, Raw, Topics}
  alias Bench.Scale.{Child, Plan, Report, Way}

  @spare_ms 90_000
  @load_ms 900_000

  @type result :: {Way.t(), Figures.t() | nil, failures :: [String.t()]}

  @doc "Started by bin/bench."
  @spec run() :: no_return()
  def run do
    ["--form", _, "--brokers", brokers, "--results", path] = System.argv()
    {:ok, _} = Application.ensure_all_started(:off_broadway_rust_kafka)
    results = measure(Plan.ways(), brokers)
    File.write!(path, Report.text(results))
    IO.puts(path)
    System.halt(if Enum.any?(results, &match?({_, _, [_ | _]}, &1)), do: 1, else: 0)
  end

  @doc "Measures each way in turn, as often as it wants, round by round; the median of each figure."
  @spec measure([Way.t()], String.t()) :: [result()]
  def measure(ways, brokers) do
    client = Topics.client(brokers)

    # What is compared is of one size; the topics of all sizes at once would take much room.
    for ways <- Enum.chunk_by(ways, & &1.bytes),
        result <- on_topics(client, brokers, ways),
        do: result
  end

  @spec on_topics(reference(), String.t(), [Way.t()]) :: [result()]
  defp on_topics(client, brokers, ways) do
    wanted =
      for {topics, ways} <- Enum.group_by(ways, &Way.topics/1),
          do: {topics, create(client, topics), ways}

    all = Enum.flat_map(wanted, &elem(&1, 1))
    {:ok, id} = System.trap_signal(:sigterm, fn -> delete(client, all) end)

    try do
      for {_, topics, ways} <- wanted, do: fill(brokers, topics, ways)
      topics = for {key, topics, _} <- wanted, into: %{}, do: {key, topics}

      runs =
        for round <- 1..(ways |> Enum.map(& &1.rounds) |> Enum.max()),
            way <- ways,
            round <= way.rounds do
          topics = Map.fetch!(topics, Way.topics(way))
          result = run(%{way: way, brokers: brokers, topics: topics, group: Topics.group()})
          IO.puts(:stderr, "bin/bench: #{way.title}: #{told(result)}")
          {way, result}
        end

      for way <- ways, do: sum_up(way, for({^way, result} <- runs, do: result))
    after
      System.untrap_signal(:sigterm, id)
      delete(client, all)
    end
  end

  @spec create(reference(), Way.topics()) :: [String.t()]
  defp create(client, {topics, partitions, _bytes}),
    do: for(_ <- 1..topics, do: Topics.create(client, div(partitions, topics)))

  # With as many records as the greediest of these ways reads.
  @spec fill(String.t(), [String.t()], [Way.t()]) :: :ok
  defp fill(brokers, topics, [%{partitions: partitions, bytes: bytes} | _] = ways) do
    records = ways |> Enum.map(& &1.records) |> Enum.max()
    count = length(topics)

    for topic <- topics,
        do: load(brokers, topic, div(partitions, count), bytes, div(records, count))

    :ok
  end

  @spec run(Child.job()) :: {:ok, Figures.t()} | {:error, String.t()}
  defp run(job), do: Command.run(Child.command(job), job.way.seconds * 1000 + @spare_ms)

  @spec load(String.t(), String.t(), pos_integer(), pos_integer(), non_neg_integer()) :: :ok
  defp load(_brokers, _topic, _partitions, _bytes, 0), do: :ok

  defp load(brokers, topic, partitions, bytes, records) do
    options = [brokers: brokers, topic: topic, partitions: partitions, bytes: bytes]

    case Command.run(Raw.command("load", options ++ [codec: "none", records: records]), @load_ms) do
      {:ok, _} -> :ok
      {:error, reason} -> raise "the topic could not be loaded: #{reason}"
    end
  end

  @spec delete(reference(), [String.t()]) :: :ok
  defp delete(client, topics), do: Enum.each(topics, &Topics.delete(client, &1))

  @spec sum_up(Way.t(), [{:ok, Figures.t()} | {:error, String.t()}]) :: result()
  defp sum_up(way, results) do
    figures = for {:ok, figures} <- results, do: figures
    {way, Figures.median(figures), for({:error, reason} <- results, do: reason)}
  end

  @spec told({:ok, Figures.t()} | {:error, String.t()}) :: String.t()
  defp told({:error, reason}), do: reason

  defp told({:ok, figures}),
    do: Enum.map_join(figures, ", ", fn {name, value} -> "#{name} #{Float.round(value, 2)}" end)
end
