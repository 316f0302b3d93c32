defmodule Bench.Raw do
  @moduledoc false
  # The binary of native/raw, which bin/bench has built: BENCH_RAW is its path.

  alias Bench.{Connector, Job}

  # Of the library that both it and the NIF are built with.
  @lock Path.expand("../../../Cargo.lock", __DIR__)
  @external_resource @lock
  @librdkafka Regex.run(~r/name = "rdkafka-sys"\nversion = "[^+"]+\+([^"]+)"/, File.read!(@lock))

  @spec librdkafka_version() :: String.t()
  def librdkafka_version, do: List.last(@librdkafka)

  @doc "Where to read or write is the job's."
  @spec command(String.t(), Job.t(), [{name :: atom() | String.t(), value :: term()}]) ::
          Connector.command()
  def command(name, job, options) do
    place = [brokers: job.brokers, topic: job.topic, group: job.group]
    command(name, place ++ options)
  end

  @spec command(String.t(), [{name :: atom() | String.t(), value :: term()}]) ::
          Connector.command()
  def command(name, options) do
    {System.fetch_env!("BENCH_RAW"), [name | for({key, value} <- options, do: "#{key}=#{value}")]}
  end
end
