defmodule Mix.Tasks.OffBroadwayRustKafka.Top do
  @shortdoc "Shows the partitions of running pipelines, or of a consumer group, live"

  @moduledoc """
  Shows the partitions of a running node's pipelines, or of a consumer group, the worst first.

      mix off_broadway_rust_kafka.top --node app@host [--cookie COOKIE]
      mix off_broadway_rust_kafka.top --brokers kafka-1:9092 --group orders [--config NAME=VALUE]...
          [--command-config FILE]

  For each partition: the records a second since the last look, the lag (records that are not
  committed), how many records are delivered and not acknowledged, how long the oldest of these has been the
  oldest, the committed offset and whose it is. Those that are behind and do not move come first, then
  those with the most lag.

  The brokers know only what is committed: of a group the rate is that of commits, and what is
  unacknowledged is not shown. Whose a partition is they tell of groups of the classic protocol, by
  host and member id.

    * `--node` - the node to look into. It is asked by a hidden node, which is started for that; it must
      have this library
    * `--cookie` - its cookie; by default the environment's `RELEASE_COOKIE`, else this user's own
    * `--brokers`, `--group` - the brokers to ask, and for which group
    * `--config` - a property of librdkafka's for the connection to them, as in
      `--config security.protocol=ssl`; any number of them
    * `--command-config` - a file of such properties, `NAME=VALUE` on each line, as Kafka's own tools have
      it: for a password, which others on this machine see in a command
    * `--interval` - seconds between two looks, 1 by default; they may have a fraction
    * `--once` - print once, after two looks, and end
    * `--format` - `table`, the default, or `json`: an object a line

  On a terminal the table is as wide and as high as that and renews itself; Ctrl-C ends it. Elsewhere it
  is as wide as the environment's `COLUMNS`, or 80 columns, and is printed again each time.
  """

  use Mix.Task

  alias OffBroadwayRustKafka.Top.{Group, JSON, Remote, Row, Screen}

  @requirements ["loadpaths"]

  @switches [node: :string, cookie: :string, brokers: :string, group: :string] ++
              [
                config: :keep,
                command_config: :string,
                interval: :float,
                once: :boolean,
                format: :string
              ]

  @columns 80

  @typep look :: (() -> {:ok, [Row.t()]} | {:error, String.t()})

  @impl Mix.Task
  def run(argv) do
    options = options!(argv)
    {source, look} = source!(options)
    interval_ms = max(round(Keyword.get(options, :interval, 1.0) * 1_000), 1)
    put = output(options, source)

    before = rows!(look)
    pause(interval_ms)

    if options[:once],
      do: look |> rows!() |> Row.rates(before) |> Row.by_trouble() |> put.(),
      else: watch(look, before, interval_ms, put)

    :ok
  end

  @spec options!([String.t()]) :: keyword()
  defp options!(argv) do
    {options, rest, wrong} = OptionParser.parse(argv, strict: @switches)
    wrong = for({name, _} <- wrong, do: name) ++ rest

    if wrong != [],
      do: Mix.raise("#{Enum.join(wrong, ", ")}: see mix help off_broadway_rust_kafka.top")

    if options[:format] not in [nil, "table", "json"],
      do: Mix.raise("--format is table or json, got: #{options[:format]}")

    options
  end

  @spec source!(keyword()) :: {String.t(), look()}
  defp source!(options) do
    case {options[:node], options[:brokers], options[:group]} do
      {node, nil, nil} when node != nil ->
        target = ok!(Remote.connect(node, options[:cookie] || System.get_env("RELEASE_COOKIE")))
        {node, fn -> Remote.sample(target) end}

      {nil, brokers, group} when brokers != nil and group != nil ->
        client = ok!(Group.start(brokers, config!(options)))
        {brokers, fn -> Group.sample(client, group) end}

      _ ->
        Mix.raise("give either --node, or --brokers and --group")
    end
  end

  @spec config!(keyword()) :: [{String.t(), String.t()}]
  defp config!(options) do
    given =
      for given <- Keyword.get_values(options, :config),
          # It may be a secret.
          do: property(given) || Mix.raise("--config is NAME=VALUE")

    file!(options[:command_config]) ++ given
  end

  @spec file!(Path.t() | nil) :: [{String.t(), String.t()}]
  defp file!(nil), do: []

  defp file!(path) do
    case File.read(path) do
      {:ok, text} ->
        for {line, number} <- text |> String.split("\n") |> Enum.with_index(1),
            line = String.trim(line),
            line != "" and not String.starts_with?(line, "#"),
            do: property(line) || Mix.raise("line #{number} of #{path} is not NAME=VALUE")

      {:error, reason} ->
        Mix.raise("--command-config: #{path} cannot be read: #{:file.format_error(reason)}")
    end
  end

  @spec property(String.t()) :: {String.t(), String.t()} | nil
  defp property(given) do
    case String.split(given, "=", parts: 2) do
      [name, value] -> {String.trim(name), String.trim(value)}
      [_] -> nil
    end
  end

  @spec watch(look(), [Row.t()], pos_integer(), ([Row.t()] -> :ok)) :: no_return()
  defp watch(look, before, interval_ms, put) do
    rows =
      case look.() do
        {:ok, rows} ->
          rows |> Row.rates(before) |> Row.by_trouble() |> put.()
          rows

        # A node that restarts, a broker that is away: it goes on when they are back.
        {:error, error} ->
          IO.puts(:stderr, text(error))
          before
      end

    pause(interval_ms)
    watch(look, rows, interval_ms, put)
  end

  @spec output(keyword(), String.t()) :: ([Row.t()] -> :ok)
  defp output(options, source) do
    case {options[:format], options[:once], :io.columns()} do
      {"json", _, _} -> &IO.puts(JSON.line(&1, source))
      {_, nil, {:ok, _}} -> &live(&1, source)
      {_, _, {:ok, columns}} -> &plain(&1, source, columns)
      _ -> &plain(&1, source, columns())
    end
  end

  # Asked each time, as a terminal may change its size. Each line is cleared behind its end, and the
  # screen below: nothing flickers.
  @spec live([Row.t()], String.t()) :: :ok
  defp live(rows, source) do
    with {:ok, columns} <- :io.columns(), {:ok, lines} <- :io.rows() do
      text = rows |> Screen.render(source, columns, lines - 1) |> Enum.map(&[&1, "\e[K\n"])
      IO.write(["\e[H", text, "\e[J"])
    end

    :ok
  end

  @spec plain([Row.t()], String.t(), pos_integer()) :: :ok
  defp plain(rows, source, columns),
    do: rows |> Screen.render(source, columns) |> Enum.join("\n") |> IO.puts()

  @spec columns() :: pos_integer()
  defp columns do
    case Integer.parse(System.get_env("COLUMNS", "")) do
      {columns, ""} when columns > 0 -> columns
      _ -> @columns
    end
  end

  @spec rows!(look()) :: [Row.t()]
  defp rows!(look), do: ok!(look.())

  @spec ok!({:ok, found} | {:error, String.t() | Exception.t()}) :: found when found: term()
  defp ok!({:ok, found}), do: found
  defp ok!({:error, error}), do: Mix.raise(text(error))

  @spec text(String.t() | Exception.t()) :: String.t()
  defp text(error) when is_binary(error), do: error
  defp text(error), do: Exception.message(error)

  @spec pause(pos_integer()) :: :ok
  defp pause(interval_ms) do
    receive do
    after
      interval_ms -> :ok
    end
  end
end
