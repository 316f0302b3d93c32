# Telemetry.Metrics is an optional dependency.
if match?({:module, _}, Code.ensure_compiled(Telemetry.Metrics)) do
  defmodule OffBroadwayRustKafka.Metrics do
    @moduledoc """
    Definitions for `Telemetry.Metrics` reporters, of the events in `OffBroadwayRustKafka.Telemetry`.

    This module is there when the [telemetry_metrics](https://hex.pm/packages/telemetry_metrics) library
    is. Give the definitions to a reporter, with those of your own:

        children = [
          {TelemetryMetricsPrometheus, metrics: OffBroadwayRustKafka.Metrics.definitions() ++ metrics()}
        ]

    All have the tags `:name`, of the pipeline as text, and `:group_id`; those of a partition have `:topic` and
    `:partition` too, those of a connection `:host` and `:port`.
    """

    import Telemetry.Metrics, only: [counter: 2, distribution: 2, last_value: 2, sum: 2]

    @prefix "off_broadway_rust_kafka"
    @tags [:name, :group_id]
    @partition [:topic, :partition]
    @connection [:host, :port]

    @buckets_us [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000]
    @buckets_ms [10, 100, 500, 1_000, 5_000, 10_000, 30_000]

    @doc "All definitions."
    @spec definitions() :: [Telemetry.Metrics.t()]
    def definitions, do: records() ++ partitions() ++ commits() ++ group() ++ connections()

    @spec records() :: [Telemetry.Metrics.t()]
    defp records do
      [
        sum("#{@prefix}.pulled.records", options("Records that the pipeline took")),
        sum("#{@prefix}.pulled.bytes", options("Bytes of their keys and values")),
        sum("#{@prefix}.pulled.duration_us", options("Microseconds that taking them took")),
        sum("#{@prefix}.redelivered.count", options("Records that were delivered again"))
      ]
    end

    @spec partitions() :: [Telemetry.Metrics.t()]
    defp partitions do
      for {measurement, description} <- [
            lag: "Records that are not committed",
            backlog: "Records that are not delivered",
            in_flight: "Records that are delivered and not acknowledged",
            unacked_ms: "Milliseconds that the oldest of these has been the oldest"
          ],
          do: last_value("#{@prefix}.lag.#{measurement}", options(description, @partition))
    end

    @spec commits() :: [Telemetry.Metrics.t()]
    defp commits do
      [
        distribution(
          "#{@prefix}.committed.latency_us",
          [reporter_options: [buckets: @buckets_us]] ++ options("Microseconds of a commit")
        ),
        counter("#{@prefix}.commit_failed.count", options("Commits that failed"))
      ]
    end

    @spec group() :: [Telemetry.Metrics.t()]
    defp group do
      [
        sum("#{@prefix}.assigned.count", options("Partitions that were assigned")),
        sum("#{@prefix}.revoked.count", options("Partitions that were given up")),
        sum("#{@prefix}.revoked.unacked", options("Records in flight that they left")),
        distribution(
          "#{@prefix}.revoked.drain_ms",
          [reporter_options: [buckets: @buckets_ms]] ++ options("Milliseconds that drains took")
        ),
        sum("#{@prefix}.lost.count", options("Partitions that were lost")),
        counter("#{@prefix}.reset.count", options("Positions that were out of range")),
        sum("#{@prefix}.stalled.count", options("Partitions that stalled")),
        counter("#{@prefix}.error.count", options("Errors"))
      ]
    end

    @spec connections() :: [Telemetry.Metrics.t()]
    defp connections do
      [
        counter("#{@prefix}.connected.count", options("Connections that came up", @connection)),
        counter(
          "#{@prefix}.disconnected.count",
          options("Connections that went down", @connection)
        )
      ]
    end

    @spec options(String.t(), [atom()]) :: keyword()
    defp options(description, tags \\ []) do
      [description: description, tags: @tags ++ tags, tag_values: &tag_values/1]
    end

    # A pipeline's name may be any term, and a tag's value must be text to many reporters.
    @spec tag_values(map()) :: map()
    defp tag_values(metadata), do: Map.update!(metadata, :name, &text/1)

    @spec text(term()) :: String.t()
    defp text(name) when is_binary(name), do: name
    defp text(name), do: inspect(name)
  end
end
