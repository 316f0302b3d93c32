defmodule Bench.Scale.Plan do
  @moduledoc false
  # What is measured: each way beside the plainest one, and what is held where nobody reads.

  alias Bench.Scale.Way

  @records 2_000_000
  # Enough that what is not bounded is seen to grow: 2 GB, and 1 GB of large records.
  @kept [{10_240, 200_000}, {102_400, 10_000}]
  @many 1000
  @minute 60

  @spec ways() :: [Way.t()]
  def ways, do: reads() ++ kept() ++ [idle()]

  @doc "The way that the others' cost is compared with."
  @spec plainest() :: String.t()
  def plainest, do: "8 partitions"

  @spec reads() :: [Way.t()]
  defp reads do
    for {title, options} <- [
          {"1 partition", [partitions: 1]},
          {plainest(), [partitions: 8]},
          {"8 partitions, 4 producers", [partitions: 8, producers: 4]},
          {"100 partitions", [partitions: 100]},
          {"1000 partitions", [partitions: @many]},
          {"1000 partitions, 4 producers", [partitions: @many, producers: 4]},
          {"1000 partitions of 20 topics", [partitions: @many, topics: 20]}
        ],
        do: struct!(Way, [title: title, mode: :read, records: @records] ++ options)
  end

  # Once: memory is not what a noisy machine changes.
  @spec kept() :: [Way.t()]
  defp kept do
    for {bytes, records} <- @kept,
        size = "#{div(bytes, 1024)} KiB",
        {what, options} <- [
          {"read", [mode: :read]},
          {"not read for a minute", [mode: :stuck, seconds: @minute]},
          # One record of each partition in flight, and demand for more.
          {"all at their limit for a minute",
           [mode: :stuck, seconds: @minute, processors: 12, producer: [max_in_flight: 1]]}
        ] do
      options = [partitions: @many, bytes: bytes, records: records, rounds: 1] ++ options
      struct!(Way, [title: "1000 full partitions, #{size}: #{what}"] ++ options)
    end
  end

  @spec idle() :: Way.t()
  defp idle,
    do: %Way{title: "1000 idle partitions", mode: :idle, partitions: @many, seconds: 20}
end
