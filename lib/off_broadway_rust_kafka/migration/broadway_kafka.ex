defmodule OffBroadwayRustKafka.Migration.BroadwayKafka do
  @moduledoc false
  # The options of broadway_kafka, 0.4 to 0.7. Those with the same name and meaning here are not named.

  alias OffBroadwayRustKafka.Migration.{
    Given,
    Rebalance,
    Sasl,
    Security,
    Sockets,
    Ssl,
    Translation
  }

  @max_seconds 86_400

  # librdkafka takes no less.
  @least_connect_ms 1_000

  @without_meaning %{
    receive_interval:
      "has no meaning here: records arrive by a wake-up, as soon as the broker has them",
    shared_client:
      "has no meaning here: all producers of a pipeline share one member and its connections",
    reconnect_timeout:
      ~s(has no meaning here: librdkafka reconnects by itself, see "reconnect.backoff.ms" and ) <>
        ~s("reconnect.backoff.max.ms" for :config)
  }

  @group_without_meaning %{
    rejoin_delay_seconds: "has no meaning here: a member rejoins its group as soon as it can",
    max_rejoin_attempts: "has no meaning here: a member never gives up its group"
  }

  @fetch %{
    min_bytes: {"fetch.min.bytes", 1, 1..100_000_000},
    max_bytes: {"max.partition.fetch.bytes", 1, 1..1_000_000_000},
    max_wait_time: {"fetch.wait.max.ms", 1, 1..300_000},
    fetch_retry_backoff_ms: {"fetch.error.backoff.ms", 1, 0..300_000}
  }

  @request_timeout {"socket.timeout.ms", 1, 1_000..300_000}

  # That of the consumer's own, to which the prefix goes.
  @client_id "off_broadway_rust_kafka"

  @spec translate(Translation.t()) :: Translation.t()
  def translate(translation) do
    translation
    |> Given.without_meaning(@without_meaning)
    |> begin_offset()
    |> commits()
    |> Given.reduce(:group_config, &group/3)
    |> Rebalance.fit_poll_interval()
    |> Given.reduce(:fetch_config, &fetch/3)
    |> Given.reduce(:client_config, &client/3)
    |> Security.with_token()
    |> Security.put_protocol()
  end

  @spec begin_offset(Translation.t()) :: Translation.t()
  defp begin_offset(translation) do
    case Translation.pop(translation, :begin_offset) do
      {:error, translation} ->
        translation

      {{:ok, :assigned}, translation} ->
        translation

      {{:ok, :reset}, _} ->
        Translation.refuse(
          ":begin_offset cannot be :reset: a member goes on at what its group has committed, or a " <>
            "rebalance would read or skip records again. To start anew use another :group_id, or " <>
            "reset the group's offsets while it has no member"
        )

      {{:ok, other}, _} ->
        Given.invalid(other, ":assigned", ":begin_offset")
    end
  end

  # Two options of theirs say together when offsets are committed.
  @spec commits(Translation.t()) :: Translation.t()
  defp commits(translation) do
    {on_ack, translation} = Translation.pop(translation, :offset_commit_on_ack)
    interval = interval_seconds(translation.options[:group_config])

    case on_ack do
      {:ok, true} ->
        translation
        |> Translation.put(:commit_interval, 0, ":offset_commit_on_ack")
        |> note_interval(interval)

      {:ok, false} when interval != nil ->
        from = ":offset_commit_interval_seconds of :group_config"
        Translation.put(translation, :commit_interval, interval * 1_000, from)

      {:ok, false} ->
        own_interval(translation)

      {:ok, other} ->
        Given.invalid(other, "true or false", ":offset_commit_on_ack")

      :error ->
        note_interval(translation, interval)
    end
  end

  @spec interval_seconds(term()) :: pos_integer() | nil
  defp interval_seconds(group) do
    with true <- is_list(group) and Keyword.keyword?(group),
         {:ok, seconds} <- Keyword.fetch(group, :offset_commit_interval_seconds) do
      from = ":offset_commit_interval_seconds of :group_config"
      Given.integer(seconds, 1..@max_seconds, from)
    else
      _ -> nil
    end
  end

  # Their default, or any interval of ours.
  @spec own_interval(Translation.t()) :: Translation.t()
  defp own_interval(%{options: options} = translation) do
    case Keyword.fetch(options, :commit_interval) do
      {:ok, interval} when interval != 0 -> translation
      _ -> Translation.put(translation, :commit_interval, 5_000, ":offset_commit_on_ack")
    end
  end

  @spec note_interval(Translation.t(), pos_integer() | nil) :: Translation.t()
  defp note_interval(translation, nil), do: translation

  defp note_interval(translation, _seconds) do
    Translation.note(
      translation,
      ":offset_commit_interval_seconds of :group_config",
      "has no meaning without offset_commit_on_ack: false: offsets are committed sooner, see " <>
        ":commit_interval"
    )
  end

  @spec group(atom(), term(), Translation.t()) :: Translation.t()
  defp group(:offset_commit_interval_seconds, _value, translation), do: translation

  defp group(:group_instance_id, value, translation) do
    from = ":group_instance_id of :group_config"
    Translation.put(translation, :instance_id, Given.string(value, from), from)
  end

  defp group(key, value, translation) do
    from = "#{inspect(key)} of :group_config"

    case @group_without_meaning do
      %{^key => why} -> Translation.note(translation, from, why)
      _ -> Rebalance.group(key, value, translation, from)
    end
  end

  @spec fetch(atom(), term(), Translation.t()) :: Translation.t()
  defp fetch(:max_fetch_retries, _value, translation) do
    Translation.note(
      translation,
      ":max_fetch_retries of :fetch_config",
      "has no meaning here: a fetch is tried again for as long as it fails, and stops no producer"
    )
  end

  defp fetch(key, value, translation) do
    from = "#{inspect(key)} of :fetch_config"

    case @fetch do
      %{^key => rule} -> Given.number(translation, value, rule, from)
      _ -> Given.unknown(from)
    end
  end

  @spec client(atom(), term(), Translation.t()) :: Translation.t()
  defp client(:client_id_prefix, prefix, translation) do
    from = ":client_id_prefix of :client_config"
    prefix = if is_atom(prefix) and prefix != nil, do: Atom.to_string(prefix), else: prefix
    client_id = Given.string(prefix, from) <> @client_id
    Translation.put_property(translation, "client.id", client_id, from)
  end

  defp client(:connect_timeout, value, translation) do
    from = ":connect_timeout of :client_config"
    value = Given.integer(value, 1..2_147_483_647, from)
    property = "socket.connection.setup.timeout.ms"

    if value < @least_connect_ms do
      translation
      |> Translation.put_property(property, @least_connect_ms, from)
      |> Translation.note(from, "is #{@least_connect_ms} ms, the least that librdkafka takes")
    else
      Translation.put_property(translation, property, value, from)
    end
  end

  defp client(:request_timeout, value, translation),
    do: Given.number(translation, value, @request_timeout, ":request_timeout of :client_config")

  defp client(:allow_topic_auto_creation, value, translation) do
    from = ":allow_topic_auto_creation of :client_config"
    value = Given.boolean(value, from)
    Translation.put_property(translation, "allow.auto.create.topics", value, from)
  end

  defp client(:query_api_versions, true, translation), do: translation

  defp client(:query_api_versions, _false, translation) do
    Translation.note(
      translation,
      ":query_api_versions of :client_config",
      "has no meaning here: brokers are always asked what they speak, as all do since Kafka 0.10"
    )
  end

  defp client(:extra_sock_opts, options, translation),
    do: Sockets.translate(translation, options, ":extra_sock_opts of :client_config")

  defp client(:ssl, ssl, translation),
    do: Ssl.translate(translation, ssl, ":ssl of :client_config")

  defp client(:sasl, sasl, translation),
    do: Sasl.translate(translation, sasl, ":sasl of :client_config")

  defp client(key, _value, _translation),
    do: Given.unknown("#{inspect(key)} of :client_config")
end
