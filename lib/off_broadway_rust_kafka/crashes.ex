defmodule OffBroadwayRustKafka.Crashes do
  @moduledoc false
  # When something crashed lately, for those who start it again and must not do so for ever.

  @type t :: [at_ms :: integer()]

  @doc "Takes note of one more, and answers whether there were more than `most` within `within_ms`."
  @spec add(t(), most :: non_neg_integer(), within_ms :: pos_integer(), now_ms :: integer()) ::
          {too_many? :: boolean(), t()}
  def add(crashes, most, within_ms, now_ms \\ System.monotonic_time(:millisecond)) do
    crashes = [now_ms | Enum.filter(crashes, &(now_ms - &1 <= within_ms))]
    {length(crashes) > most, crashes}
  end
end
