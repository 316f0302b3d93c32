defmodule OffBroadwayRustKafka.Migration.Sasl do
  @moduledoc false
  # brod's shapes of SASL credentials. A password may be in a file, or come from a function: it is
  # read when the member starts, and again when it starts anew.

  alias OffBroadwayRustKafka.Migration.{Given, Security, Translation}
  alias OffBroadwayRustKafka.Properties

  @mechanisms %{
    plain: "PLAIN",
    scram_sha_256: "SCRAM-SHA-256",
    scram_sha_512: "SCRAM-SHA-512"
  }

  @expected "{mechanism, username, password}, {mechanism, path of a file with both} or :undefined, " <>
              "where mechanism is one of :plain, :scram_sha_256 and :scram_sha_512"

  @typep secret :: String.t() | (() -> term())

  @spec translate(Translation.t(), term(), from :: String.t()) :: Translation.t()
  def translate(translation, none, _from) when none in [:undefined, nil], do: translation

  def translate(_translation, {:callback, module, _options}, from) do
    Translation.refuse(
      "#{from} cannot be a callback, got one of #{inspect(module)}: it would speak to a socket of " <>
        "brod's. Name a mechanism that librdkafka speaks by itself, as in #{@expected}; or give its " <>
        ~s(properties "security.protocol", "sasl.mechanisms" and sasl.* in :config)
    )
  end

  def translate(translation, {mechanism, username, password}, from)
      when is_map_key(@mechanisms, mechanism) do
    put(translation, @mechanisms[mechanism], name(username, from), secret(password, from), from)
  end

  def translate(translation, {mechanism, {:file, path}}, from),
    do: translate(translation, {mechanism, path}, from)

  def translate(translation, {mechanism, both}, from)
      when is_map_key(@mechanisms, mechanism) and is_function(both, 0) do
    username = fn -> elem(pair(both.()), 0) end
    password = fn -> elem(pair(both.()), 1) end
    put(translation, @mechanisms[mechanism], username, password, from)
  end

  def translate(translation, {mechanism, path}, from) when is_map_key(@mechanisms, mechanism) do
    path = Given.string(path, "the file in #{from}")

    with {:error, message} <- read(path), do: Translation.refuse("#{from}: #{message}")
    username = fn -> elem(read!(path), 0) end
    password = fn -> elem(read!(path), 1) end
    put(translation, @mechanisms[mechanism], username, password, from)
  end

  def translate(_translation, _secret, from),
    do: Translation.refuse("invalid value for #{from} (not shown): expected #{@expected}")

  @doc "Credentials under librdkafka's own name of a mechanism."
  @spec put(Translation.t(), String.t(), secret(), secret(), from :: String.t()) ::
          Translation.t()
  def put(translation, mechanism, username, password, from) do
    translation
    |> Translation.put_property("sasl.mechanisms", mechanism, from)
    |> Translation.put_property("sasl.username", username, from)
    |> Translation.put_property("sasl.password", password, from)
    |> Security.by(:sasl, from)
  end

  @spec name(term(), from :: String.t()) :: String.t()
  def name(username, from) do
    case Given.text(username) do
      {:ok, name} -> name
      :error -> Given.invalid(username, "a string", "the username in #{from}")
    end
  end

  @spec secret(term(), from :: String.t()) :: secret()
  def secret(function, _from) when is_function(function, 0), do: function
  def secret({:file, path}, _from) when is_binary(path), do: Properties.from_file(path)

  def secret(password, from) do
    cond do
      is_binary(password) and String.valid?(password) and not String.contains?(password, <<0>>) ->
        password

      match?({:ok, _}, Given.text(password)) ->
        to_string(password)

      true ->
        Translation.refuse(
          "invalid value for the password in #{from} (not shown): expected a string, a function " <>
            "without arguments or {:file, path}"
        )
    end
  end

  @spec pair(term()) :: {term(), term()}
  defp pair({username, password}), do: {username, password}
  defp pair(_secret), do: Properties.no_value("expected {username, password} from its function")

  @spec read!(String.t()) :: {String.t(), String.t()}
  defp read!(path) do
    case read(path) do
      {:ok, pair} -> pair
      {:error, message} -> Properties.no_value(message)
    end
  end

  @spec read(String.t()) :: {:ok, {String.t(), String.t()}} | {:error, String.t()}
  defp read(path) do
    with {:ok, text} <- File.read(path),
         [username, password] <- String.split(text, "\n", trim: true) do
      {:ok, {username, password}}
    else
      {:error, reason} ->
        {:error, "cannot read #{inspect(path)}: #{:file.format_error(reason)}"}

      _ ->
        {:error, "expected a username and a password, each on its own line, in #{inspect(path)}"}
    end
  end
end
