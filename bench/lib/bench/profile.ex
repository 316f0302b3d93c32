defmodule Bench.Profile do
  @moduledoc false
  # Where the time goes while this connector reads: `bin/bench profile` samples it with perf, and this
  # names the functions that were at work most often. What it writes is shown in bench/RESULTS.md.

  @section Path.expand("../../PROFILE.md", __DIR__)
  @external_resource @section

  @doc "What the last profile has told, if there was one."
  @spec section() :: String.t() | nil
  def section do
    case File.read(@section) do
      {:ok, text} -> String.trim_trailing(text)
      {:error, _} -> nil
    end
  end
end
