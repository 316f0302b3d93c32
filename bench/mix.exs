defmodule OffBroadwayRustKafka.Bench.MixProject do
  use Mix.Project

  @spec project() :: keyword()
  def project do
    [
      app: :off_broadway_rust_kafka_bench,
      version: "0.0.0",
      elixir: "~> 1.14",
      deps: [
        {:off_broadway_rust_kafka, path: ".."},
        # Builds the NIF until there are binaries; its newer versions want a newer Elixir.
        {:rustler,
         if(Version.match?(System.version(), "~> 1.15"), do: "~> 0.36", else: "~> 0.36.2")}
      ]
    ]
  end

  @spec application() :: keyword()
  def application, do: [extra_applications: [:logger]]
end
