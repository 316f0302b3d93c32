defmodule OffBroadwayRustKafka.Properties do
  @moduledoc false
  # The `:config` option: librdkafka properties under their own names. No value of a property that
  # may hold a secret is ever part of a message.

  alias OffBroadwayRustKafka.Native

  @typedoc "A secret may be a function: it is called when the member starts."
  @type value :: String.t() | (() -> term())

  @start "set by the :offset_reset_policy option, of the producer or of a topic"
  @commit "offsets are committed from what was acknowledged; see the :commit_interval option"
  @ours "it belongs to the consumer itself, which cannot work with another value"
  @process "it is set from code in librdkafka's own process, not from a configuration"

  @reserved %{
    "bootstrap.servers" => "use the :hosts option",
    "metadata.broker.list" => "use the :hosts option",
    "group.id" => "use the :group_id option",
    "group.protocol" => "use the :group_protocol option",
    "group.instance.id" => "use the :instance_id option",
    "auto.offset.reset" => @start,
    "enable.auto.commit" => @commit,
    "auto.commit.enable" => @commit,
    "auto.commit.interval.ms" => @commit,
    "enable.auto.offset.store" => @commit,
    "offset.store.method" => @commit,
    "offset.store.path" => @commit,
    "offset.store.sync.interval.ms" => @commit,
    "queued.max.messages.kbytes" => "use the :max_buffered_bytes option, from which it follows",
    "enable.partition.eof" => @ours,
    "check.crcs" => "checksums are always verified: a corrupt batch must not be skipped unseen",
    "consume.callback.max.messages" => @ours,
    "log.queue" => @ours,
    "enabled_events" => @ours,
    "default_topic_conf" => @process,
    "interceptors" => @process,
    "opaque" => @process
  }

  @secrets ~w(password secret private token credential assertion oauthbearer.config jaas.config
              kinit.cmd .pem ssl_key)

  @spec parse(term()) :: {:ok, [{String.t(), value()}]} | {:error, String.t()}
  def parse(config) when is_map(config) and not is_struct(config),
    do: config |> Map.to_list() |> parse()

  def parse(config) when is_list(config) do
    if List.improper?(config), do: refuse_shape("an improper list")
    properties = config |> Enum.with_index(1) |> Enum.map(&property/1)
    names = Enum.map(properties, &elem(&1, 0))

    case Enum.uniq(names -- Enum.uniq(names)) do
      [] -> {:ok, properties}
      [name | _] -> {:error, "expected each property once, got #{inspect(name)} more than once"}
    end
  catch
    {:refused, message} -> {:error, message}
  end

  def parse(config) when is_binary(config), do: shape("a string")
  def parse(_config), do: shape("a term of another kind")

  @doc false
  # Asks librdkafka, before anything starts, whether it knows the properties and takes the values.
  @spec check([{String.t(), value()}]) :: :ok | {:error, String.t()}
  def check(properties) do
    with {:ok, properties} <- open(properties) do
      case native_check(properties) do
        :ok -> :ok
        {:error, {name, :unknown, _}} -> {:error, unknown(name)}
        {:error, {name, _, reason}} -> {:error, invalid(name, properties, reason)}
      end
    end
  end

  @doc false
  # Calls what is a function, as a member that starts needs the values.
  @spec open([{String.t(), value()}]) :: {:ok, Native.properties()} | {:error, String.t()}
  def open(properties) do
    {:ok, for({name, value} <- properties, do: {name, opened(value, name)})}
  catch
    {:refused, message} -> {:error, message}
  end

  @spec secret?(String.t()) :: boolean()
  def secret?(name), do: String.contains?(name, @secrets)

  @doc false
  # For our own functions, whose messages have no secret in them.
  @spec no_value(String.t()) :: no_return()
  def no_value(message), do: throw({__MODULE__, message})

  @spec opened(value(), String.t()) :: String.t()
  defp opened(value, _name) when is_binary(value), do: value

  defp opened(function, name) when is_function(function, 0) do
    case call(function, name) do
      again when is_function(again, 0) -> opened(again, name)
      value -> value(value, name)
    end
  end

  # Whatever it raises may have a secret in it.
  @spec call((() -> term()), String.t()) :: term()
  defp call(function, name) do
    function.()
  rescue
    error ->
      refuse("the function for property #{inspect(name)} raised #{inspect(error.__struct__)}")
  catch
    :throw, {__MODULE__, message} -> refuse("property #{inspect(name)} has no value: #{message}")
    kind, _ -> refuse("the function for property #{inspect(name)} ended by #{kind}")
  end

  @doc false
  # A secret that is in a file, read each time.
  @spec from_file(Path.t()) :: (() -> String.t())
  def from_file(path), do: fn -> read(path) end

  @spec property({term(), pos_integer()}) :: {String.t(), value()}
  defp property({{name, value}, position}) do
    name = name(name, position)

    case reserved(name) do
      nil -> {name, given(value, name)}
      reason -> refuse("property #{inspect(name)} cannot be set: #{reason}")
    end
  end

  defp property({_entry, position}),
    do: refuse("expected {name, value} pairs, but entry #{position} is none")

  # Not read before the member starts, and read again by each that starts after it.
  @spec given(term(), String.t()) :: value()
  defp given(value, name) when is_function(value, 0) or is_tuple(value) do
    case if(renewable?(name), do: value) do
      function when is_function(function) -> function
      {:file, path} when is_binary(path) -> from_file(path)
      _not_for_it -> value(value, name)
    end
  end

  defp given(value, name), do: value(value, name)

  @spec renewable?(String.t()) :: boolean()
  defp renewable?(name), do: secret?(name) or name == "sasl.username"

  @spec read(Path.t()) :: String.t()
  defp read(path) do
    case File.read(path) do
      {:ok, text} -> String.trim_trailing(text)
      {:error, reason} -> no_value("#{path} cannot be read: #{:file.format_error(reason)}")
    end
  end

  @spec reserved(String.t()) :: String.t() | nil
  defp reserved(name) do
    if String.ends_with?(name, "_cb"), do: @process, else: @reserved[name]
  end

  @spec name(term(), pos_integer()) :: String.t()
  defp name(name, _position) when is_atom(name) and name not in [nil, true, false],
    do: Atom.to_string(name)

  defp name(name, position) do
    if is_binary(name) and text?(name) and name != "",
      do: name,
      else: refuse("expected a property name as a string or an atom in entry #{position}")
  end

  @spec value(term(), String.t()) :: String.t()
  defp value(value, _name) when is_integer(value) or is_boolean(value), do: to_string(value)
  defp value(value, _name) when is_atom(value) and value != nil, do: Atom.to_string(value)

  defp value(value, name) do
    if is_binary(value) and text?(value) do
      value
    else
      refuse(
        "expected a string, integer, boolean or atom for property #{inspect(name)}, " <>
          "got #{kind(value)}"
      )
    end
  end

  # The name may be a misspelt secret's, so a value of the wrong kind is not shown.
  @spec kind(term()) :: String.t()
  defp kind(nil), do: "nil"
  defp kind(value) when is_float(value), do: "a float"
  defp kind(value) when is_list(value), do: "a list"
  defp kind(value) when is_map(value), do: "a map"
  defp kind(value) when is_binary(value), do: "a binary that is no text"
  defp kind(_value), do: "a term of another kind"

  # C strings: a zero byte would cut a value short.
  @spec text?(binary()) :: boolean()
  defp text?(string), do: String.valid?(string) and not String.contains?(string, <<0>>)

  # A NIF that raises leaves its arguments, and with them every value, in the stacktrace.
  @spec native_check(Native.properties()) ::
          :ok | {:error, {String.t(), :unknown | :invalid, String.t()}}
  defp native_check(properties) do
    Native.check(properties)
  rescue
    error -> reraise RuntimeError, [message: Exception.message(error)], []
  end

  @spec unknown(String.t()) :: String.t()
  defp unknown(name) do
    hint =
      if String.contains?(name, "_"),
        do: ~s(; librdkafka separates words with dots, as in "session.timeout.ms"),
        else: ""

    "unknown librdkafka property #{inspect(name)}#{hint}"
  end

  @spec invalid(String.t(), Native.properties(), String.t()) :: String.t()
  defp invalid(name, properties, reason) do
    {_, value} = List.keyfind(properties, name, 0, {name, nil})
    reason = if secret?(name), do: "", else: ": #{reason}"
    "invalid value #{shown(name, value)} for librdkafka property #{inspect(name)}#{reason}"
  end

  @spec shown(String.t(), term()) :: String.t()
  defp shown(name, value), do: if(secret?(name), do: "(not shown)", else: inspect(value))

  @spec shape(String.t()) :: {:error, String.t()}
  defp shape(got) do
    {:error,
     "expected a keyword list, a map or a list of {name, value} pairs of librdkafka properties, " <>
       "got #{got} (not shown, as it may hold a secret)"}
  end

  @spec refuse_shape(String.t()) :: no_return()
  defp refuse_shape(got) do
    {:error, message} = shape(got)
    refuse(message)
  end

  @spec refuse(String.t()) :: no_return()
  defp refuse(message), do: throw({:refused, message})
end
