defmodule OffBroadwayRustKafka.MixProject do
  use Mix.Project

  @version "0.1.0-dev"
  @source_url "https://github.com/off-broadway-rust-kafka/off_broadway_rust_kafka"

  @spec project() :: keyword()
  def project do
    [
      app: :off_broadway_rust_kafka,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      deps: deps(),
      aliases: aliases(),
      description:
        "Kafka for Broadway: a Rust-owned consumer-group member behind a thin producer",
      package: package(),
      source_url: @source_url
    ]
  end

  @spec application() :: keyword()
  def application do
    [extra_applications: [:logger]]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_), do: ["lib"]

  defp deps do
    [
      {:broadway, "~> 1.0"},
      {:gen_stage, "~> 1.0"},
      {:nimble_options, "~> 1.0"},
      {:telemetry, "~> 1.0"},
      {:telemetry_metrics, "~> 1.0", optional: true},
      {:rustler_precompiled, "~> 0.8"},
      {:rustler, rustler_requirement(), optional: true},
      {:flow, "~> 1.2", only: :test}
    ]
  end

  # From 0.37 on rustler builds with Elixir 1.15 and later only.
  defp rustler_requirement do
    if Version.match?(System.version(), "~> 1.15"), do: "~> 0.36", else: "~> 0.36.2"
  end

  defp aliases do
    [
      ci: ["cmd bash .ci/run"]
    ]
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{"GitHub" => @source_url},
      files: ~w(lib native guides Cargo.toml Cargo.lock rust-toolchain.toml mix.exs .formatter.exs
           README.md ARCHITECTURE.md CHANGELOG.md LICENSE checksum-*.exs)
    ]
  end
end
