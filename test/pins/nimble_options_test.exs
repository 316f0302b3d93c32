defmodule Pins.NimbleOptionsTest do
  use ExUnit.Case, async: true

  def even(value) when rem(value, 2) == 0, do: {:ok, div(value, 2)}
  def even(value), do: {:error, "expected an even number, got: #{value}"}

  defp refused(options, schema) do
    {:error, error} = NimbleOptions.validate(options, NimbleOptions.new!(schema))
    Exception.message(error)
  end

  test "gives back the options with defaults, whether as a schema or a keyword list" do
    schema = [name: [type: :string, required: true], size: [type: :pos_integer, default: 5]]
    assert NimbleOptions.validate([name: "a"], schema) == {:ok, [size: 5, name: "a"]}

    assert NimbleOptions.validate!([size: 1, name: "a"], NimbleOptions.new!(schema)) == [
             size: 1,
             name: "a"
           ]
  end

  test "names unknown and missing options" do
    schema = [a: [type: :any, required: true], b: [type: :any]]

    assert refused([a: 1, c: 2], schema) ==
             "unknown options [:c], valid options are: [:a, :b]"

    assert refused([b: 1], schema) ==
             "required :a option not found, received options: [:b]"
  end

  test "quotes a value of the wrong type and says what was expected" do
    for {type, value, expected} <- [
          {:string, :a, "string, got: :a"},
          {:atom, "a", "atom, got: \"a\""},
          {:boolean, 1, "boolean, got: 1"},
          {:integer, 1.5, "integer, got: 1.5"},
          {:non_neg_integer, -1, "non negative integer, got: -1"},
          {:pos_integer, 0, "positive integer, got: 0"},
          {:timeout, -1, "non-negative integer or :infinity, got: -1"},
          {:keyword_list, [1], "keyword list, got: [1]"},
          {:non_empty_keyword_list, [], "non-empty keyword list, got: []"},
          {:mod_arg, 1, "tuple {mod, arg}, got: 1"},
          {{:fun, 1}, &Kernel.+/2, "function of arity 1, got: function of arity 2"}
        ] do
      assert refused([key: value], key: [type: type]) ==
               "invalid value for :key option: expected " <> expected
    end
  end

  test "takes what is of the right type" do
    for {type, value} <- [
          {:timeout, :infinity},
          {:mod_arg, {String, 1}},
          {{:fun, 1}, &to_string/1}
        ] do
      assert NimbleOptions.validate([key: value], key: [type: type]) == {:ok, [key: value]}
    end
  end

  test "a custom check may change the value, and its reason is shown" do
    schema = [key: [type: {:custom, __MODULE__, :even, []}]]
    assert NimbleOptions.validate([key: 4], schema) == {:ok, [key: 2]}

    assert refused([key: 3], schema) ==
             "invalid value for :key option: expected an even number, got: 3"
  end

  test "nested keys have defaults of their own and name their path" do
    schema = [
      outer: [type: :keyword_list, default: [], keys: [inner: [type: :integer, default: 1]]],
      any: [type: :keyword_list, keys: [*: [type: :keyword_list, keys: [size: [type: :integer]]]]]
    ]

    assert NimbleOptions.validate([], schema) == {:ok, [outer: [inner: 1]]}
    assert {:error, error} = NimbleOptions.validate([outer: [inner: :a]], schema)
    assert %NimbleOptions.ValidationError{key: :inner, value: :a, keys_path: [:outer]} = error

    assert Exception.message(error) ==
             "invalid value for :inner option: expected integer, got: :a (in options [:outer])"

    assert refused([any: [x: [size: 1], y: [size: :b]]], schema) =~ "(in options [:any, :y])"
  end

  test "validate! raises the error" do
    assert_raise NimbleOptions.ValidationError, ~r/unknown options \[:a\]/, fn ->
      NimbleOptions.validate!([a: 1], [])
    end
  end

  test "the documentation lists each option with its text and default" do
    docs =
      NimbleOptions.docs(
        size: [type: :integer, default: 3, doc: "How many."],
        name: [type: :any, type_doc: "a name", required: true, doc: "Which."],
        hidden: [type: :any, doc: false],
        outer: [type: :keyword_list, doc: "More.", keys: [inner: [type: :any, doc: "Deep."]]]
      )

    assert docs =~ ~r/^\* `:size`.* - How many\. The default value is `3`\.$/m
    assert docs =~ ~r/^\* `:name` \(a name\) - Required\. Which\.$/m
    assert docs =~ ~r/^  \* `:inner`.* - Deep\.$/m
    refute docs =~ "hidden"
  end
end
