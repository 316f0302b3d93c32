defmodule Bench.Connectors.BroadwayKafka do
  @moduledoc false
  # broadway_kafka on brod. Tuned as its documentation advises for speed: commits by interval rather
  # than on each ack, and short intervals; what it says of batchers is the third.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Connector, Pipeline, Variant}

  @tuned [
    offset_commit_on_ack: false,
    receive_interval: 10,
    fetch_config: [max_wait_time: 10]
  ]

  @impl Connector
  def title, do: "broadway_kafka"

  @impl Connector
  def variants do
    # Broadway's own default, which it must be told.
    Variant.all("tuned", @tuned, concurrency: System.schedulers_online() * 2)
  end

  @impl Connector
  def versions do
    for library <- [:broadway_kafka, :brod],
        do: {to_string(library), Connector.version(library)}
  end

  @impl Connector
  def missing, do: if(Connector.version(:broadway_kafka) == nil, do: "broadway_kafka")

  # lz4 and zstd are read with plug-ins only.
  @impl Connector
  def takes_part?(:read, _variant, shape), do: shape.codec in ["none", "gzip", "snappy"]
  def takes_part?(:latency, variant, _shape), do: variant.id != :batchers

  @impl Connector
  defdelegate command(job), to: Pipeline

  @impl Pipeline
  def applications, do: [:broadway_kafka]

  @impl Pipeline
  def options(job) do
    options =
      [
        hosts: job.brokers,
        group_id: job.group,
        topics: [job.topic],
        offset_reset_policy: :earliest
      ] ++ job.variant.producer

    [producer: [module: {BroadwayKafka.Producer, options}]] ++ Variant.stages(job.variant)
  end

  @impl Pipeline
  def value(message), do: message.data
end
