defmodule OffBroadwayRustKafka.Migration.KlifeClient do
  @moduledoc false
  # Klife keeps hosts, TLS and SASL in the configuration of an application, under a client's name. It
  # is read there, whether Klife is there or not.

  alias OffBroadwayRustKafka.Migration.{Nested, Sasl, Security, Sockets, Ssl, Translation}

  # What Klife needs for itself, whatever else is set.
  @of_klife [:inet_backend, :active]

  # In a list that for TLS has both.
  @sockets ~w(keepalive nodelay recbuf sndbuf buffer send_timeout send_timeout_close delay_send linger
              reuseaddr)a

  @without_meaning %{
    connection_count: "has no meaning here: librdkafka has a connection to each broker"
  }

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
    if not (is_atom(group) and Code.ensure_loaded?(group) and
              function_exported?(group, :klife_client, 0)),
       do:
         Nested.invalid(
           group,
           "a module that uses Klife.Consumer.ConsumerGroup",
           ":consumer_group"
         )

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

  # Who gives the hosts here gives the rest of the connection too.
  @spec connection(Translation.t(), term(), from :: String.t()) :: Translation.t()
  defp connection(%{options: options} = translation, client, from) do
    if Keyword.has_key?(options, :hosts) do
      Translation.note(
        translation,
        from,
        "is not read beside :hosts: give TLS and SASL in :config"
      )
    else
      client
      |> configured(from)
      |> Nested.keyword("the :connection of #{inspect(client)}")
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

  defp configured(client, from), do: Nested.invalid(client, "a Klife client", from)

  @spec put(keyword(), Translation.t(), of :: String.t()) :: Translation.t()
  defp put(connection, translation, of) do
    hosts = connection[:bootstrap_servers] || []

    {sockets, ssl} =
      (connection[:connect_opts] || [])
      |> Enum.reject(&(is_tuple(&1) and elem(&1, 0) in @of_klife))
      |> Enum.split_with(&socket?/1)

    connection
    |> Keyword.drop([:bootstrap_servers, :ssl, :connect_opts])
    |> Enum.reduce(Translation.put(translation, :hosts, hosts, ":client"), fn {key, value},
                                                                              translation ->
      option(key, value, translation, "#{inspect(key)} #{of}")
    end)
    |> Sockets.translate(sockets, ":connect_opts #{of}")
    |> ssl(connection[:ssl], ssl, of)
  end

  @spec option(atom(), term(), Translation.t(), from :: String.t()) :: Translation.t()
  defp option(:sasl_opts, sasl, translation, from), do: sasl(translation, sasl, from)

  defp option(:socket_opts, options, translation, from),
    do: Sockets.translate(translation, options, from)

  defp option(:default_request_timeout_ms, value, translation, from),
    do: Nested.number(translation, value, {"socket.timeout.ms", 1, 10..300_000}, from)

  defp option(key, _value, translation, from) do
    case @without_meaning do
      %{^key => why} -> Translation.note(translation, from, why)
      _ -> Translation.refuse("unknown option #{from}: give :hosts, and TLS and SASL in :config")
    end
  end

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
    options = Nested.keyword(options, from)
    mechanism = Nested.string(options[:mechanism], ":mechanism in #{from}")
    credentials = Nested.keyword(options[:mechanism_opts] || [], ":mechanism_opts in #{from}")
    username = Sasl.name(credentials[:username], from)
    Sasl.put(translation, mechanism, username, Sasl.secret(credentials[:password], from), from)
  end
end
