defmodule OffBroadwayRustKafka.Bench.MixProject do
  use Mix.Project

  @spec project() :: keyword()
  def project do
    [
      app: :off_broadway_rust_kafka_bench,
      version: "0.0.0",
      elixir: "~> 1.14",
      deps: [{:off_broadway_rust_kafka, path: ".."}, rustler(), benchee() | peers()]
    ]
  end

  @spec application() :: keyword()
  def application, do: [extra_applications: [:logger, :crypto]]

  # Builds the NIF until there are binaries; its newer versions want a newer Elixir.
  defp rustler, do: {:rustler, if(elixir?("~> 1.15"), do: "~> 0.36", else: "~> 0.36.2")}

  # For `bin/bench micro`.
  defp benchee, do: {:benchee, "~> 1.3", only: :prod}

  # `bin/bench smoke` does without them, and so in an environment of its own.
  defp peers do
    [
      # From 0.5 on it wants Elixir 1.16.
      {:broadway_kafka, if(elixir?("~> 1.16"), do: ">= 0.6.0", else: "~> 0.4.4"), only: :prod},
      # What broadway_kafka reads lz4 and zstd with.
      {:lz4b, ">= 0.0.13", only: :prod},
      {:ezstd, ">= 1.1.0", only: :prod},
      {:off_broadway_klife, ">= 0.1.0", only: :prod}
    ]
  end

  defp elixir?(requirement), do: Version.match?(System.version(), requirement)
end
