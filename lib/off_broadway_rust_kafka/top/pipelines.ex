defmodule OffBroadwayRustKafka.Top.Pipelines do
  @moduledoc false
  # What the pipelines of a node say of their partitions. It is called on that node.

  alias OffBroadwayRustKafka.Member
  alias OffBroadwayRustKafka.Top.Row

  @call "mix off_broadway_rust_kafka.top"

  @doc "A row for each partition of each pipeline that runs here; those that cannot say have none."
  @spec sample() :: [Row.t()]
  def sample do
    for name <- Broadway.all_running(),
        {:ok, group} <- [Member.group(name, @call)],
        {:ok, progress} <- [Member.progress(name, @call)],
        it <- progress,
        do: row(it, group, name)
  end

  @spec row(OffBroadwayRustKafka.progress(), String.t(), Broadway.name()) :: Row.t()
  defp row(it, group, name) do
    %Row{
      group: group,
      member: inspect(name),
      topic: it.topic,
      partition: it.partition,
      at: System.monotonic_time(:millisecond),
      position: it.next,
      committed: it.committed,
      end: it.high_watermark,
      lag: Member.lag(it).lag,
      unacked: it.in_flight,
      unacked_ms: it.unacked_ms,
      paused: it.paused
    }
  end
end
