defmodule OffBroadwayRustKafka.Bounds do
  @moduledoc false
  # What Kafka's protocol has room for.

  @int32 0x7FFFFFFF
  @int64 0x7FFFFFFFFFFFFFFF

  defguard is_partition(term) when is_integer(term) and term in 0..@int32
  defguard is_offset(term) when is_integer(term) and term in 0..@int64

  @doc "Milliseconds since the Unix epoch."
  defguard is_timestamp(term) when is_integer(term) and term in 0..@int64
end
