defmodule NimbleOptions do
  @moduledoc """
  A stand-in for [NimbleOptions](https://hex.pm/packages/nimble_options), for machines without Hex.
  Not for production.

  Here: `:required`, `:default`, `:doc`, `:type_doc`, `:deprecated`, `:keys` (with `:*`), plain types,
  `{:fun, arity}` and `{:custom, mod, fun, args}`, with the real error messages. Not here: the types
  made of others, maps as options, `:redact`, typespecs, and the check of the schema itself.
  """

  alias NimbleOptions.ValidationError

  defstruct schema: []

  @type t :: %__MODULE__{schema: keyword()}

  @spec new!(keyword()) :: t()
  def new!(schema), do: %__MODULE__{schema: schema}

  @spec validate!(keyword(), keyword() | t()) :: keyword()
  def validate!(options, schema) do
    case validate(options, schema) do
      {:ok, options} -> options
      {:error, error} -> raise error
    end
  end

  @spec validate(keyword(), keyword() | t()) :: {:ok, keyword()} | {:error, Exception.t()}
  def validate(options, %__MODULE__{schema: schema}), do: validate(options, schema, [])
  def validate(options, schema), do: validate(options, schema, [])

  @doc "The schema as a Markdown list; `:nest_level` indents it."
  @spec docs(keyword() | t(), keyword()) :: String.t()
  def docs(schema, options \\ [])
  def docs(%__MODULE__{schema: schema}, options), do: docs(schema, options)

  def docs(schema, options) do
    level = options[:nest_level] || 0
    for {key, spec} <- schema, spec[:doc] != false, into: "", do: doc(key, spec, level)
  end

  defp doc(key, spec, level) do
    text =
      [
        if(spec[:required], do: "Required."),
        if(spec[:deprecated], do: "*This option is deprecated. #{spec[:deprecated]}*"),
        if(spec[:doc], do: String.trim(spec[:doc])),
        if(Keyword.has_key?(spec, :default),
          do: "The default value is `#{inspect(spec[:default])}`."
        )
      ]
      |> Enum.filter(& &1)
      |> Enum.join(" ")
      |> String.replace("\n", "\n" <> String.duplicate("  ", level + 1))

    type = if is_binary(spec[:type_doc]), do: " (#{spec[:type_doc]})", else: ""
    item = "#{String.duplicate("  ", level)}* `#{inspect(key)}`#{type} - #{text}\n\n"
    item <> docs(spec[:keys] || [], nest_level: level + 1)
  end

  defp validate(options, schema, path) do
    {any, schema} = Keyword.pop(schema, :*)
    schema = if any, do: schema ++ for({key, _} <- options, do: {key, any}), else: schema
    known = Keyword.keys(schema)

    unknown = Keyword.keys(options) -- known
    text = "unknown options #{inspect(unknown)}, valid options are: #{inspect(known)}"
    start = if unknown == [], do: {:ok, options}, else: error(unknown, nil, text)

    result =
      Enum.reduce(schema, start, fn key_and_spec, so_far ->
        with {:ok, checked} <- so_far, do: validate_key(key_and_spec, checked, options)
      end)

    with {:error, error} <- result, do: {:error, %{error | keys_path: path ++ error.keys_path}}
  end

  defp validate_key({key, spec}, options, given) do
    cond do
      Keyword.has_key?(given, key) ->
        if spec[:deprecated], do: IO.warn("#{name(key)} is deprecated. #{spec[:deprecated]}")
        put_checked(options, key, spec, given[key])

      spec[:required] ->
        keys = inspect(Keyword.keys(given))
        error(key, nil, "required #{name(key)} not found, received options: #{keys}")

      Keyword.has_key?(spec, :default) ->
        put_checked([{key, spec[:default]} | options], key, spec, spec[:default])

      true ->
        {:ok, options}
    end
  end

  defp put_checked(options, key, spec, value) do
    type = if spec[:keys], do: {spec[:type], spec[:keys]}, else: spec[:type] || :any

    with {:ok, value} <- check(type, key, value),
         do: {:ok, Keyword.update!(options, key, fn _ -> value end)}
  end

  defp check({type, keys}, key, value) when type in [:keyword_list, :non_empty_keyword_list] do
    with {:ok, value} <- check(type, key, value), do: validate(value, keys, [key])
  end

  defp check({:fun, arity}, key, value) when is_function(value) do
    {:arity, got} = Function.info(value, :arity)
    got = "function of arity #{got}"
    expect(is_function(value, arity), key, value, "function of arity #{arity}", got)
  end

  defp check({:fun, arity}, key, value),
    do: expect(false, key, value, "function of arity #{arity}")

  defp check({:custom, module, function, args}, key, value) do
    with {:error, message} <- apply(module, function, [value | args]),
         do: error(key, value, "invalid value for #{name(key)}: #{message}")
  end

  defp check(type, key, value) do
    {valid?, expected} = basic(type, value)
    expect(valid?, key, value, expected)
  end

  defp basic(:any, _value), do: {true, nil}
  defp basic(:atom, value), do: {is_atom(value), "atom"}
  defp basic(:string, value), do: {is_binary(value), "string"}
  defp basic(:boolean, value), do: {is_boolean(value), "boolean"}
  defp basic(:integer, value), do: {is_integer(value), "integer"}
  defp basic(:non_neg_integer, value), do: {natural?(value), "non negative integer"}
  defp basic(:pos_integer, value), do: {natural?(value) and value > 0, "positive integer"}
  defp basic(:mod_arg, value), do: {match?({m, _} when is_atom(m), value), "tuple {mod, arg}"}
  defp basic(:keyword_list, value), do: {Keyword.keyword?(value), "keyword list"}

  defp basic(:non_empty_keyword_list, value),
    do: {Keyword.keyword?(value) and value != [], "non-empty keyword list"}

  defp basic(:timeout, value),
    do: {natural?(value) or value == :infinity, "non-negative integer or :infinity"}

  defp natural?(value), do: is_integer(value) and value >= 0

  defp expect(valid?, key, value, expected, got \\ nil)
  defp expect(true, _key, value, _expected, _got), do: {:ok, value}

  defp expect(false, key, value, expected, got) do
    got = got || inspect(value)
    error(key, value, "invalid value for #{name(key)}: expected #{expected}, got: #{got}")
  end

  defp error(key, value, message),
    do: {:error, %ValidationError{key: key, value: value, message: message}}

  defp name(key), do: inspect(key) <> " option"
end
