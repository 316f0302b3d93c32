defmodule NimbleOptions.ValidationError do
  @moduledoc "Why options were refused."
  defexception [:message, :key, :value, keys_path: []]

  @impl Exception
  def message(%{message: text, keys_path: []}), do: text
  def message(%{message: text, keys_path: path}), do: "#{text} (in options #{inspect(path)})"
end
