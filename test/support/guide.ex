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

  @doc "Compiles and runs it all, in order: the modules that it defines."
  @spec run(Path.t()) :: [module()]
  def run(guide) do
    caller = self()

    # What a guide starts in `test_helper.exs` lives as long as the suite.
    {runner, monitor} =
      spawn_monitor(fn ->
        modules =
          for {code, line} <- code(guide),
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

  # Code.compile_string/2 counts lines from 1.
  @spec compile(String.t(), Path.t(), pos_integer()) :: [{module(), binary()}]
  defp compile(code, guide, line),
    do: Code.compile_string(String.duplicate("\n", line - 1) <> code, guide)
end
