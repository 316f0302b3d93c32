defmodule OffBroadwayRustKafka.Migration.Given do
  @moduledoc false
  # Reading what was given: options within options, and values of the kinds that there are.

  alias OffBroadwayRustKafka.Migration.Translation

  @typedoc "The property that a number becomes, what it is multiplied by, and its limits."
  @type number_rule :: {property :: String.t(), factor :: pos_integer(), Range.t()}

  @doc "Takes options out that have no meaning here, and says why."
  @spec without_meaning(Translation.t(), %{atom() => String.t()}) :: Translation.t()
  def without_meaning(translation, reasons) do
    Enum.reduce(reasons, translation, fn {key, why}, translation ->
      case Translation.pop(translation, key) do
        {:error, translation} -> translation
        {{:ok, _}, translation} -> Translation.note(translation, inspect(key), why)
      end
    end)
  end

  @doc "Takes a keyword list out of the options, and goes through it with `fun`."
  @spec reduce(Translation.t(), atom(), (atom(), term(), Translation.t() -> Translation.t())) ::
          Translation.t()
  def reduce(translation, group, fun) do
    case Translation.pop(translation, group) do
      {:error, translation} ->
        translation

      {{:ok, options}, translation} ->
        Enum.reduce(keyword(options, inspect(group)), translation, fn {key, value}, translation ->
          fun.(key, value, translation)
        end)
    end
  end

  # A list of client options may hold a secret.
  @spec keyword(term(), from :: String.t()) :: keyword()
  def keyword(options, from) do
    if not (is_list(options) and Keyword.keyword?(options)),
      do: Translation.refuse("expected a keyword list for #{from}, got another term (not shown)")

    keys = Keyword.keys(options)

    case keys -- Enum.uniq(keys) do
      [] ->
        options

      [key | _] ->
        Translation.refuse("expected each option of #{from} once, got #{inspect(key)} again")
    end
  end

  @doc "A number that becomes a property."
  @spec number(Translation.t(), term(), number_rule(), from :: String.t()) :: Translation.t()
  def number(translation, value, {property, factor, range}, from) do
    value = integer(value, range, from)
    Translation.put_property(translation, property, value * factor, from)
  end

  @spec integer(term(), Range.t(), from :: String.t()) :: integer()
  def integer(value, first..last//1 = range, from) do
    if is_integer(value) and value in range,
      do: value,
      else: invalid(value, "a number between #{first} and #{last}", from)
  end

  @spec boolean(term(), from :: String.t()) :: boolean()
  def boolean(value, _from) when is_boolean(value), do: value
  def boolean(value, from), do: invalid(value, "true or false", from)

  @spec string(term(), from :: String.t()) :: String.t()
  def string(value, from) do
    case text(value) do
      {:ok, string} -> string
      :error -> invalid(value, "a string", from)
    end
  end

  @doc "A string or a charlist, as Erlang's options are either."
  @spec text(term()) :: {:ok, String.t()} | :error
  def text(value) when is_binary(value) and value != "",
    do: if(String.printable?(value), do: {:ok, value}, else: :error)

  def text([_ | _] = value) do
    if not List.improper?(value) and List.ascii_printable?(value),
      do: {:ok, to_string(value)},
      else: :error
  end

  def text(_value), do: :error

  # So may a list of options of another kind.
  @spec list(term(), from :: String.t()) :: list()
  def list(value, from) do
    if is_list(value) and not List.improper?(value),
      do: value,
      else: Translation.refuse("expected a list for #{from}, got another term (not shown)")
  end

  @spec invalid(term(), expected :: String.t(), from :: String.t()) :: no_return()
  def invalid(value, expected, from) do
    got = inspect(value)
    Translation.refuse("invalid value for #{from}: expected #{expected}, got: #{got}")
  end

  @spec unknown(from :: String.t()) :: no_return()
  def unknown(from) do
    Translation.refuse(
      "unknown option #{from}: remove it, or use librdkafka's property of that kind in :config"
    )
  end
end
