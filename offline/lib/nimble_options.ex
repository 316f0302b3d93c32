defmodule NimbleOptions do
  @moduledoc """
  A stand-in for [NimbleOptions](https://hex.pm/packages/nimble_options), for machines without Hex.
  Not for production.

  Here: `:required`, `:default`, `:doc`, `:type_doc` and the type `{:custom, mod, fun, args}`, with
  the real error messages. Not here: all other types, nested keys, `:deprecated`, and the check of
  the schema itself.
  """

  defmodule ValidationError do
    @moduledoc "Why options were refused."
    defexception [:message, :key, :value]
  end

  defstruct schema: []

  @type t :: %__MODULE__{schema: keyword()}

  @spec new!(keyword()) :: t()
  def new!(schema), do: %__MODULE__{schema: schema}

  @spec validate(keyword(), t()) :: {:ok, keyword()} | {:error, Exception.t()}
  def validate(options, %__MODULE__{schema: schema}) do
    known = Keyword.keys(schema)
    unknown = Keyword.keys(options) -- known
    text = "unknown options #{inspect(unknown)}, valid options are: #{inspect(known)}"
    start = if unknown == [], do: {:ok, []}, else: error(unknown, nil, text)

    Enum.reduce(schema, start, fn {key, spec}, so_far ->
      with {:ok, valid} <- so_far,
           {:ok, new} <- validate_key(key, spec, options),
           do: {:ok, valid ++ new}
    end)
  end

  @doc "The schema as a Markdown list."
  @spec docs(t()) :: String.t()
  def docs(%__MODULE__{schema: schema}) do
    for {key, spec} <- schema, into: "" do
      required = if spec[:required], do: "Required. "
      default = for {:default, value} <- spec, do: " The default value is `#{inspect(value)}`."
      text = spec[:doc] |> String.trim() |> String.replace("\n", "\n  ")
      "* `#{inspect(key)}` (#{spec[:type_doc]}) - #{required}#{text}#{default}\n\n"
    end
  end

  defp validate_key(key, spec, options) do
    cond do
      Keyword.has_key?(options, key) -> check(key, spec[:type], options[key])
      Keyword.has_key?(spec, :default) -> check(key, spec[:type], spec[:default])
      spec[:required] -> error(key, nil, missing(key, options))
      true -> {:ok, []}
    end
  end

  defp missing(key, options),
    do:
      "required #{inspect(key)} option not found, received options: #{inspect(Keyword.keys(options))}"

  defp check(key, {:in, choices}, value) do
    if value in choices,
      do: {:ok, [{key, value}]},
      else:
        error(key, value, "invalid value for #{inspect(key)} option: " <> one_of(choices, value))
  end

  defp check(key, {:custom, module, function, args}, value) do
    case apply(module, function, [value | args]) do
      {:ok, value} -> {:ok, [{key, value}]}
      {:error, why} -> error(key, value, "invalid value for #{inspect(key)} option: #{why}")
    end
  end

  defp one_of(choices, value),
    do: "expected one of #{inspect(choices)}, got: #{inspect(value)}"

  defp error(key, value, message),
    do: {:error, %ValidationError{key: key, value: value, message: message}}
end
