defmodule Bench.Job do
  @moduledoc false
  # One measurement, as it is told to the process that makes it.
  #
  # `:read`: how fast, from the first record to the last of `records`, `seconds` at most.
  # `:latency`: how soon after it was sent each record arrives, for `seconds` after a warm-up.
  # `:calls`: how long each call into the NIF takes.
  # `:schedules`: which processes keep a scheduler for long, while a pipeline runs.
  # `:profile`: where the time goes, by perf, into the file that BENCH_PERF names.
  # `:many`: whether ten pipelines in one VM all make progress.

  @enforce_keys [:kind, :connector, :variant, :brokers, :topic, :group, :partitions, :bytes]
  defstruct @enforce_keys ++ [records: 0, seconds: 5, warm_up: 2]

  @type kind :: :read | :latency | :calls | :schedules | :many | :profile
  @type t :: %__MODULE__{
          kind: kind(),
          connector: module(),
          variant: Bench.Variant.t(),
          brokers: String.t(),
          topic: String.t(),
          group: String.t(),
          partitions: pos_integer(),
          bytes: pos_integer(),
          records: non_neg_integer(),
          seconds: pos_integer(),
          warm_up: non_neg_integer()
        }

  @spec encode(t()) :: String.t()
  def encode(job), do: job |> :erlang.term_to_binary() |> Base.encode16()

  @spec decode(String.t()) :: t()
  def decode(text), do: text |> Base.decode16!() |> :erlang.binary_to_term()
end
