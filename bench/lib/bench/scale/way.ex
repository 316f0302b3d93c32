defmodule Bench.Scale.Way do
  @moduledoc false
  # One way to read: how much there is of everything, and what the handlers do.
  #
  # `:read` counts records, `:stuck` never ends with the first ones, `:idle` has nothing to read.

  @enforce_keys [:title, :mode]
  defstruct @enforce_keys ++
              [
                partitions: 8,
                topics: 1,
                producers: 1,
                bytes: 100,
                records: 0,
                seconds: 10,
                rounds: 5,
                processors: 4,
                max_demand: 100,
                producer: []
              ]

  @type t :: %__MODULE__{
          title: String.t(),
          mode: :read | :stuck | :idle,
          partitions: pos_integer(),
          topics: pos_integer(),
          producers: pos_integer(),
          bytes: pos_integer(),
          records: non_neg_integer(),
          seconds: pos_integer(),
          rounds: pos_integer(),
          processors: pos_integer(),
          max_demand: pos_integer(),
          producer: keyword()
        }

  @typedoc "What topics it reads; `partitions` are those of all."
  @type topics ::
          {topics :: pos_integer(), partitions :: pos_integer(), bytes :: pos_integer()}

  @doc "Those that read the same topics."
  @spec topics(t()) :: topics()
  def topics(way), do: {way.topics, way.partitions, way.bytes}
end
