defmodule Soak.Screen do
  @moduledoc false
  # What is told while it runs goes to standard error; what pipelines and nodes log, to a file.

  @doc "Every log message goes to the file from now on."
  @spec log_to(Path.t()) :: :ok
  def log_to(path) do
    :persistent_term.put(__MODULE__, {path, System.monotonic_time(:millisecond)})
    # The first is that of older versions of Elixir.
    for id <- [Logger, :default], do: :logger.remove_handler(id)
    config = %{file: String.to_charlist(path)}
    :ok = :logger.add_handler(__MODULE__, :logger_std_h, %{config: config})
  end

  @doc "Adds what a node has said to the log."
  @spec log(iodata()) :: :ok
  def log(text) do
    {path, _} = :persistent_term.get(__MODULE__)
    File.write!(path <> ".nodes", text, [:append])
  end

  @doc "A line, with the time since the beginning."
  @spec say(String.t()) :: :ok
  def say(text) do
    {_, began} = :persistent_term.get(__MODULE__)
    seconds = div(System.monotonic_time(:millisecond) - began, 1000)
    minutes = seconds |> div(60) |> Integer.to_string() |> String.pad_leading(3)
    seconds = seconds |> rem(60) |> Integer.to_string() |> String.pad_leading(2, "0")
    IO.puts(:stderr, "[#{minutes}:#{seconds}] #{text}")
  end

  @doc "12345 is 12 345."
  @spec number(integer()) :: String.t()
  def number(number) do
    number
    |> Integer.to_string()
    |> String.replace(~r/\B(?=(\d{3})+$)/, " ")
  end

  @doc "4 records, 1 record."
  @spec count(integer(), String.t()) :: String.t()
  def count(1, what), do: "1 " <> what
  def count(number, what), do: "#{number(number)} #{what}s"
end
