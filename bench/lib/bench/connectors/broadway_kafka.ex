defmodule Bench.Connectors.BroadwayKafka do
  @moduledoc false
  # broadway_kafka on brod. Tuned as its documentation advises for speed: commits by interval rather
  # than on each ack, and short intervals; what it says of batchers is the third.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Child, Connector, Pipeline, Variant}

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
    for library <- [:broadway_kafka, :brod, :lz4b, :ezstd],
        version = Connector.version(library),
        do: {to_string(library), version}
  end

  @impl Connector
  def missing, do: if(Connector.version(:broadway_kafka) == nil, do: "broadway_kafka")

  # lz4 and zstd are read with plug-ins only, which brod finds by their names.
  @impl Connector
  def takes_part?(:read, _variant, %{codec: "lz4"}), do: Connector.version(:lz4b) != nil
  def takes_part?(:read, _variant, %{codec: "zstd"}), do: Connector.version(:ezstd) != nil
  def takes_part?(:read, _variant, _shape), do: true
  def takes_part?(kind, variant, _shape), do: kind == :latency and variant.id != :batchers

  @impl Connector
  defdelegate command(job), to: Child

  @impl Connector
  defdelegate start(job, context), to: Pipeline

  @impl Connector
  def applications do
    plug_ins = for library <- [:lz4b, :ezstd], Connector.version(library), do: library
    [:broadway_kafka | plug_ins]
  end

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
