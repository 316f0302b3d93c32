defmodule Demo.Screen do
  @moduledoc false
  # Standard output: lines that stay, and one that is rewritten in place on a terminal; elsewhere
  # that one is printed about once a second. Log lines come in between without tearing it.

  @plain_interval_ms 1000

  @doc "`columns` is the terminal's width, or 0 when standard output is none."
  @spec start(columns :: non_neg_integer()) :: :ok
  def start(columns) do
    printed_at = :atomics.new(1, signed: true)
    :atomics.put(printed_at, 1, System.monotonic_time(:millisecond) - @plain_interval_ms)
    :persistent_term.put(__MODULE__, {columns, printed_at})
    Logger.configure(level: :warning)
    for id <- :logger.get_handler_ids(), do: :logger.set_handler_config(id, :level, :none)
    :logger.add_handler(__MODULE__, __MODULE__, %{})
  end

  @spec say(IO.chardata()) :: :ok
  def say(text), do: IO.write([clear(), text, "\n"])

  @spec live(String.t()) :: :ok
  def live(line) do
    {columns, printed_at} = :persistent_term.get(__MODULE__)
    now = System.monotonic_time(:millisecond)

    cond do
      columns > 0 ->
        IO.write([clear(), String.slice(line, 0, columns - 1)])

      now - :atomics.get(printed_at, 1) >= @plain_interval_ms ->
        :atomics.put(printed_at, 1, now)
        IO.puts(line)

      true ->
        :ok
    end
  end

  @doc false
  # The handler of Erlang's logger, the same for all versions of Elixir.
  @spec log(:logger.log_event(), :logger.handler_config()) :: :ok
  def log(%{level: level} = event, _config) do
    template = %{single_line: true, template: [:msg]}
    say(["[#{level}] ", :logger_formatter.format(event, template)])
  end

  @spec clear() :: String.t()
  defp clear do
    {columns, _} = :persistent_term.get(__MODULE__)
    if columns > 0, do: "\r\e[K", else: ""
  end
end
