defmodule Pins.NimbleOptionsTest do
  use ExUnit.Case, async: true

  def even(value) when rem(value, 2) == 0, do: {:ok, div(value, 2)}
  def even(value), do: {:error, "expected an even number, got: #{value}"}

  defp refused(options, schema) do
    {:error, error} = NimbleOptions.validate(options, NimbleOptions.new!(schema))
    Exception.message(error)
  end

  @even {:custom, __MODULE__, :even, []}

  test "gives back the options as the checks have made them, with defaults" do
    schema =
      NimbleOptions.new!(key: [type: @even, required: true], size: [type: @even, default: 6])

    assert {:ok, options} = NimbleOptions.validate([key: 4], schema)
    assert Enum.sort(options) == [key: 2, size: 3]
    assert {:ok, options} = NimbleOptions.validate([key: 4, size: 2], schema)
    assert Enum.sort(options) == [key: 2, size: 1]
  end

  test "an option that is neither given nor required is left out" do
    schema = NimbleOptions.new!(key: [type: @even])
    assert NimbleOptions.validate([], schema) == {:ok, []}
  end

  test "names unknown and missing options" do
    schema = [a: [type: @even, required: true], b: [type: @even]]

    assert refused([a: 2, c: 2], schema) ==
             "unknown options [:c], valid options are: [:a, :b]"

    assert refused([b: 2], schema) ==
             "required :a option not found, received options: [:b]"
  end

  test "takes one of a list, and shows the list for another value" do
    schema = [key: [type: {:in, [:a, :b]}]]
    assert NimbleOptions.validate([key: :b], NimbleOptions.new!(schema)) == {:ok, key: :b}

    assert refused([key: :c], schema) ==
             "invalid value for :key option: expected one of [:a, :b], got: :c"
  end

  test "shows the reason of a check" do
    assert refused([key: 3], key: [type: @even]) ==
             "invalid value for :key option: expected an even number, got: 3"
  end

  test "the documentation lists each option with its text and default" do
    docs =
      NimbleOptions.docs(
        NimbleOptions.new!(
          size: [type: @even, type_doc: "a size", default: 4, doc: "How\nmany."],
          name: [type: @even, type_doc: "a name", required: true, doc: "Which."]
        )
      )

    assert docs =~ ~r/^\* `:size` \(a size\) - How\n  many\. The default value is `4`\.$/m
    assert docs =~ ~r/^\* `:name` \(a name\) - Required\. Which\.$/m
  end
end
