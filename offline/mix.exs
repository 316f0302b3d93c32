defmodule OffBroadwayRustKafka.Offline.MixProject do
  use Mix.Project

  @moduledoc """
  The project on a machine without Hex: `MIX_EXS=offline/mix.exs mix test`, from the project's root.

  In place of the dependencies it compiles the stand-ins in `offline/lib`. They are for the demo and
  the tests; anything else wants `mix.exs` and the real libraries.
  """

  @spec project() :: keyword()
  def project do
    [
      app: :off_broadway_rust_kafka,
      version: version(),
      elixir: "~> 1.14",
      build_path: "_build/offline",
      elixirc_paths: elixirc_paths(Mix.env()),
      deps: []
    ]
  end

  @spec application() :: keyword()
  def application, do: [extra_applications: [:logger, :crypto]]

  defp elixirc_paths(:test), do: ["offline/lib", "lib", "test/support"]
  defp elixirc_paths(:bench), do: ["offline/lib", "lib", "bench/lib"]
  defp elixirc_paths(_), do: ["offline/lib", "lib"]

  defp version do
    [_, version] = Regex.run(~r/@version "(.+)"/, File.read!("mix.exs"))
    version
  end
end
