defmodule OffBroadwayRustKafka.Migration.Translation do
  @moduledoc false
  # Options on their way from another connector's to ours: those still as they were given, the
  # librdkafka properties made of the others, and what there is to say of it. What contradicts an
  # option or property that is there already is refused, whichever came first.

  alias OffBroadwayRustKafka.{Native, Properties}

  @enforce_keys [:options]
  defstruct @enforce_keys ++ [config: [], properties: [], secured_by: [], notes: []]

  # A secret may be a function, opened when the member starts.
  @type value :: Properties.value()
  @type note :: {:info | :warning, String.t()}
  @type t :: %__MODULE__{
          options: keyword(),
          config: Native.properties(),
          properties: [{String.t(), value(), from :: String.t()}],
          secured_by: [{:ssl | :sasl, from :: String.t()}],
          notes: [note()]
        }

  # librdkafka has two names for these.
  @aliases %{
    "fetch.message.max.bytes" => "max.partition.fetch.bytes",
    "sasl.mechanism" => "sasl.mechanisms"
  }

  @spec new(keyword()) :: t()
  def new(options) do
    # What is wrong with `:config` is said where it is validated.
    config =
      case Properties.parse(Keyword.get(options, :config, [])) do
        {:ok, properties} -> properties
        {:error, _} -> []
      end

    %__MODULE__{options: options, config: config}
  end

  @spec pop(t(), atom()) :: {:error | {:ok, term()}, t()}
  def pop(%{options: options} = translation, key),
    do: {Keyword.fetch(options, key), %{translation | options: Keyword.delete(options, key)}}

  @doc "Sets one of our options, which `from` stands for."
  @spec put(t(), atom(), term(), from :: String.t()) :: t()
  def put(%{options: options} = translation, key, value, from) do
    case Keyword.fetch(options, key) do
      {:ok, ^value} ->
        translation

      {:ok, other} ->
        refuse(
          "#{from} and #{inspect(key)} contradict each other: #{from} stands for " <>
            "#{inspect(key)} of #{inspect(value)}, got: #{inspect(other)}; give one of them only"
        )

      :error ->
        %{translation | options: Keyword.put(options, key, value)}
    end
  end

  @doc "Sets a librdkafka property, which `from` stands for."
  @spec put_property(t(), String.t(), value() | integer() | boolean(), from :: String.t()) :: t()
  def put_property(translation, name, value, from) do
    value = if is_integer(value) or is_boolean(value), do: to_string(value), else: value

    case find(translation, name) do
      nil ->
        %{translation | properties: translation.properties ++ [{name, value, from}]}

      {^value, _} ->
        translation

      {_, other} ->
        refuse("#{from} and #{other} contradict each other, by #{inspect(name)}: give one only")
    end
  end

  @doc "Its value in `:config`, or what another option made it."
  @spec property(t(), String.t()) :: value() | nil
  def property(translation, name) do
    with {value, _from} <- find(translation, name), do: value
  end

  @doc "Says, once the options are accepted, what became of `from`."
  @spec note(t(), :info | :warning, from :: String.t(), String.t()) :: t()
  def note(translation, level \\ :info, from, text) do
    note = {level, "#{from} #{text}"}

    if note in translation.notes,
      do: translation,
      else: %{translation | notes: translation.notes ++ [note]}
  end

  @spec refuse(String.t()) :: no_return()
  def refuse(message), do: throw({:refused, message})

  @spec find(t(), String.t()) :: {value(), from :: String.t()} | nil
  defp find(%{config: config, properties: properties}, name) do
    name = canonical(name)
    given = for {name, value} <- config, do: {name, value, "#{inspect(name)} in :config"}

    Enum.find_value(given ++ properties, fn {other, value, from} ->
      if canonical(other) == name, do: {value, from}
    end)
  end

  @spec canonical(String.t()) :: String.t()
  defp canonical(name), do: Map.get(@aliases, name, name)
end
