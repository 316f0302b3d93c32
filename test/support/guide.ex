defmodule OffBroadwayRustKafka.Guide do
  @moduledoc false
  # The code of a guide, run as its readers would: tests in it run with the suite that loads it.

  @doc "Each block of Elixir, and the line that it begins at."
  @spec code(Path.t()) :: [{code :: String.t(), line :: pos_integer()}]
  def code(guide) do
    text = File.read!(guide)

    for [{from, length}] <-
          Regex.scan(~r/(?<=^```elixir\n).*?(?=^```$)/ms, text, return: :index, capture: :first) do
      line = text |> binary_part(0, from) |> String.split("\n") |> length()
      {binary_part(text, from, length), line}
    end
  end

  @doc "The rows of the table below a heading, by cells; `the same` is what the cell before it has."
  @spec rows(Path.t(), heading :: String.t()) :: [[String.t()]]
  def rows(guide, heading) do
    [_, section] = guide |> File.read!() |> String.split("\n#{heading}\n")
    [section | _] = String.split(section, ~r/\n##/)

    ["|" <> _ = _head, "|-" <> _ | rows] =
      for "|" <> _ = row <- String.split(section, "\n"), do: row

    Enum.map(rows, &cells/1)
  end

  @spec cells(String.t()) :: [String.t()]
  defp cells(row) do
    cells = row |> String.trim() |> String.split("|") |> Enum.map(&String.trim/1)
    ["", what, old, new | said] = Enum.drop(cells, -1)
    new = if new == "the same", do: old, else: new
    [what, String.trim(old, "`"), String.trim(new, "`") | said]
  end

  @doc "Whether a cell is Elixir: an expression, options without their brackets, or several of these."
  @spec parses?(cell :: String.t()) :: boolean()
  def parses?(cell) do
    Enum.all?(String.split(cell, "` and `"), fn code ->
      match?({:ok, _}, Code.string_to_quoted(code)) or
        match?({:ok, _}, Code.string_to_quoted("[#{code}]"))
    end)
  end

  @doc "Compiles and runs it all, in order: the modules that it defines."
  @spec run(Path.t()) :: [module()]
  def run(guide) do
    caller = self()

    # What a guide starts in `test_helper.exs` lives as long as the suite.
    {runner, monitor} =
      spawn_monitor(fn ->
        modules =
          for {code, line} <- code(guide),
              runs_here?(code),
              {module, _} <- compile(code, guide, line),
              do: module

        send(caller, {self(), modules})
        Process.sleep(:infinity)
      end)

    receive do
      {^runner, modules} ->
        Process.demonitor(monitor, [:flush])
        modules

      {:DOWN, ^monitor, _, _, reason} ->
        raise "#{guide} cannot be run: #{Exception.format_exit(reason)}"
    end
  end

  # Flow is no dependency of ours but in tests, and not there without Hex.
  @spec runs_here?(String.t()) :: boolean()
  defp runs_here?(code), do: not (code =~ ~r/\bFlow\./) or Code.ensure_loaded?(Flow)

  # Code.compile_string/2 counts lines from 1.
  @spec compile(String.t(), Path.t(), pos_integer()) :: [{module(), binary()}]
  defp compile(code, guide, line),
    do: Code.compile_string(String.duplicate("\n", line - 1) <> code, guide)
end
