defmodule OffBroadwayRustKafka.Migration.KlifeClient do
  @moduledoc false
  # Klife keeps hosts, TLS and SASL in the configuration of an application, under a client's name. It
  # is read there, whether Klife is there or not.

  alias OffBroadwayRustKafka.Migration.{Given, Sasl, Security, Sockets, Ssl, Translation}

  # What Klife needs for itself, whatever else is set.
  @of_klife [:inet_backend, :active]

  # In a list that for TLS has both.
  @sockets ~w(keepalive nodelay recbuf sndbuf buffer send_timeout send_timeout_close delay_send linger
              reuseaddr)a

  @request_timeout {"socket.timeout.ms", 1, 10..300_000}

  @one_connection "has no meaning here: librdkafka has a connection to each broker"

  @spec translate(Translation.t()) :: Translation.t()
  def translate(translation) do
    {client, translation} = Translation.pop(translation, :client)
    {group, translation} = Translation.pop(translation, :consumer_group)

    case {client, group} do
      {:error, :error} ->
        translation

      {{:ok, client}, :error} ->
        connection(translation, client, ":client")

      {:error, {:ok, group}} ->
        connection(translation, of_group(group), ":consumer_group")

      _ ->
        Translation.refuse(":client and :consumer_group cannot both be given: remove one of them")
    end
  end

  @spec of_group(term()) :: term()
  defp of_group(group) do
    if not klife_group?(group) do
      expected = "a module that uses Klife.Consumer.ConsumerGroup"
      Given.invalid(group, expected, ":consumer_group")
    end

    if function_exported?(group, :handle_consumer_start, 3) or
         function_exported?(group, :handle_consumer_stop, 4) do
      Translation.refuse(
        ":consumer_group cannot be #{inspect(group)}, whose handle_consumer_start/3 and " <>
          "handle_consumer_stop/4 would not be called: give :client or :hosts, and attach to the " <>
          "telemetry events [:off_broadway_rust_kafka, :assigned] and [:off_broadway_rust_kafka, :revoked]"
      )
    end

    group.klife_client()
  end

  @spec klife_group?(term()) :: boolean()
  defp klife_group?(group) do
    is_atom(group) and Code.ensure_loaded?(group) and function_exported?(group, :klife_client, 0)
  end

  # Who gives the hosts here gives the rest of the connection too.
  @spec connection(Translation.t(), term(), from :: String.t()) :: Translation.t()
  defp connection(%{options: options} = translation, client, from) do
    if Keyword.has_key?(options, :hosts) do
      text = "is not read beside :hosts: give TLS and SASL in :config"
      Translation.note(translation, from, text)
    else
      client
      |> configured(from)
      |> Given.keyword("the :connection of #{inspect(client)}")
      |> put(translation, "of #{inspect(client)}")
    end
  end

  @spec configured(term(), from :: String.t()) :: term()
  defp configured(client, from) when is_atom(client) and client not in [nil, true, false] do
    found =
      for {application, _, _} <- Application.loaded_applications(),
          {:ok, config} <- [Application.fetch_env(application, client)],
          is_list(config) and Keyword.keyword?(config),
          {:ok, connection} <- [Keyword.fetch(config, :connection)],
          do: connection

    case found do
      [connection | _] ->
        connection

      [] ->
        Translation.refuse(
          "no application has a configuration of the Klife client #{inspect(client)} in #{from}: " <>
            "give :hosts, and TLS and SASL in :config"
        )
    end
  end

  defp configured(client, from), do: Given.invalid(client, "a Klife client", from)

  @spec put(keyword(), Translation.t(), of :: String.t()) :: Translation.t()
  defp put(connection, translation, of) do
    connect = Given.list(connection[:connect_opts] || [], ":connect_opts #{of}")
    {sockets, ssl} = connect |> Enum.reject(&of_klife?/1) |> Enum.split_with(&socket?/1)
    translation = Translation.put(translation, :hosts, connection[:bootstrap_servers], ":client")

    Keyword.drop(connection, [:bootstrap_servers, :ssl, :connect_opts])
    |> Enum.reduce(translation, &option(&1, &2, of))
    |> Sockets.translate(sockets, ":connect_opts #{of}")
    |> ssl(connection[:ssl], ssl, of)
  end

  @spec option({atom(), term()}, Translation.t(), of :: String.t()) :: Translation.t()
  defp option({key, value}, translation, of) do
    from = "#{inspect(key)} #{of}"

    case key do
      :sasl_opts -> sasl(translation, value, from)
      :socket_opts -> Sockets.translate(translation, value, from)
      :default_request_timeout_ms -> Given.number(translation, value, @request_timeout, from)
      :connection_count -> Translation.note(translation, from, @one_connection)
      _ -> Translation.refuse("unknown option #{from}: give :hosts, and TLS and SASL in :config")
    end
  end

  @spec of_klife?(term()) :: boolean()
  defp of_klife?(option), do: match?({key, _} when key in @of_klife, option)

  @spec socket?(term()) :: boolean()
  defp socket?({key, _value}), do: key in @sockets
  defp socket?(_atom), do: true

  @spec ssl(Translation.t(), term(), keyword(), of :: String.t()) :: Translation.t()
  defp ssl(translation, true, [], of) do
    # Erlang's own default, which Klife leaves as it is.
    Security.by(translation, :ssl, ":ssl #{of}")
  end

  defp ssl(translation, true, options, of),
    do: Ssl.translate(translation, options, ":connect_opts #{of}")

  defp ssl(translation, _false, [], _of), do: translation

  defp ssl(translation, _false, options, of),
    do: Sockets.translate(translation, options, ":connect_opts #{of}")

  @spec sasl(Translation.t(), term(), from :: String.t()) :: Translation.t()
  defp sasl(translation, [], _from), do: translation

  defp sasl(translation, options, from) do
    options = Given.keyword(options, from)
    mechanism = Given.string(options[:mechanism], ":mechanism in #{from}")
    credentials = Given.keyword(options[:mechanism_opts] || [], ":mechanism_opts in #{from}")
    username = Sasl.name(credentials[:username], from)
    Sasl.put(translation, mechanism, username, Sasl.secret(credentials[:password], from), from)
  end
end
