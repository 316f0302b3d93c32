defmodule Bench.Shape do
  @moduledoc false
  # What the records of a topic look like. All are JSON, with a key and two headers.

  @enforce_keys [:bytes]
  defstruct [:bytes, codec: "none"]

  @type t :: %__MODULE__{bytes: pos_integer(), codec: String.t()}

  @spec title(t()) :: String.t()
  def title(%{bytes: bytes, codec: "none"}), do: size(bytes)
  def title(%{bytes: bytes, codec: codec}), do: "#{size(bytes)}, #{codec}"

  @spec size(pos_integer()) :: String.t()
  defp size(bytes) when rem(bytes, 1024) == 0, do: "#{div(bytes, 1024)} KiB"
  defp size(bytes), do: "#{bytes} B"
end
