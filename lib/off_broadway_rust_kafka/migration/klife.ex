defmodule OffBroadwayRustKafka.Migration.Klife do
  @moduledoc false
  # The options of off_broadway_klife, with klife 1.x. What is of a topic there and of the member here
  # is taken where all topics agree.

  alias OffBroadwayRustKafka.Migration.{KlifeClient, Nested, Rebalance, Translation}

  # Any of them says that the options are off_broadway_klife's, and so what its defaults are.
  @own [:client, :consumer_group, :group_name]

  @fetch_bytes 1_000_000

  @without_meaning %{
    fetch_strategy:
      ~s(has no meaning here: librdkafka fetches, see its properties fetch.* for :config),
    committers_count: "has no meaning here: one commit at a time takes in all partitions"
  }

  @topic_without_meaning %{
    fetch_strategy:
      ~s(has no meaning here: librdkafka fetches, see its properties fetch.* for :config),
    fetch_interval_ms:
      "has no meaning here: records arrive by a wake-up, as soon as the broker has them",
    max_queue_size:
      ~s(has no meaning here: see :max_in_flight, and "queued.max.messages.kbytes" for :config),
    handler_cooldown_ms: "has no meaning here, as there: see Broadway's :rate_limiting",
    handler_max_unacked_commits: "has no meaning here, as there: see :max_in_flight",
    handler_max_batch_size: "has no meaning here: demand is met to the record, see :max_demand",
    mode: "has no meaning here: records are always taken by demand"
  }

  # Whose defaults matter where some topics have the option.
  @topic_defaults [isolation_level: :read_committed, fetch_max_bytes: @fetch_bytes]

  @topic_options [:fetch_max_bytes, :isolation_level | Map.keys(@topic_without_meaning)]

  @spec translate(Translation.t()) :: Translation.t()
  def translate(%{options: options} = translation) do
    own? = Enum.any?(@own, &Keyword.has_key?(options, &1))
    translation = Enum.reduce(@without_meaning, translation, &without_meaning/2)

    translation
    |> group_name()
    |> message_format(own?)
    |> group_protocol(own?)
    |> rebalance_timeout()
    |> topics()
    |> KlifeClient.translate()
  end

  @spec without_meaning({atom(), String.t()}, Translation.t()) :: Translation.t()
  defp without_meaning({key, why}, translation) do
    case Translation.pop(translation, key) do
      {:error, translation} -> translation
      {{:ok, _}, translation} -> Translation.note(translation, inspect(key), why)
    end
  end

  @spec group_name(Translation.t()) :: Translation.t()
  defp group_name(translation) do
    case Translation.pop(translation, :group_name) do
      {:error, translation} -> translation
      {{:ok, name}, translation} -> Translation.put(translation, :group_id, name, ":group_name")
    end
  end

  @spec message_format(Translation.t(), own? :: boolean()) :: Translation.t()
  defp message_format(%{options: options} = translation, own?) do
    case Keyword.fetch(options, :message_format) do
      {:ok, :broadway_kafka} ->
        %{translation | options: Keyword.put(options, :message_format, :value)}

      :error when own? ->
        %{translation | options: Keyword.put(options, :message_format, :klife)}

      _ ->
        translation
    end
  end

  # Klife has no other: so both can be members while the one takes the other's place.
  @spec group_protocol(Translation.t(), own? :: boolean()) :: Translation.t()
  defp group_protocol(translation, false), do: translation

  defp group_protocol(%{options: options} = translation, true),
    do: %{translation | options: Keyword.put_new(options, :group_protocol, :consumer)}

  @spec rebalance_timeout(Translation.t()) :: Translation.t()
  defp rebalance_timeout(translation) do
    case Translation.pop(translation, :rebalance_timeout_ms) do
      {:error, translation} ->
        translation

      {{:ok, value}, translation} ->
        from = ":rebalance_timeout_ms"
        Rebalance.timeout(translation, Nested.integer(value, 1..86_400_000, from), from)
    end
  end

  # Each with the defaults that are given for all of them.
  @spec topics(Translation.t()) :: Translation.t()
  defp topics(translation) do
    {defaults, translation} = Translation.pop(translation, :default_topic_config)

    defaults =
      case defaults do
        {:ok, defaults} -> Nested.keyword(defaults, ":default_topic_config")
        :error -> []
      end

    case translation.options[:topics] do
      [_ | _] = topics -> topics(translation, topics, defaults)
      _none_or_wrong -> translation
    end
  end

  @spec topics(Translation.t(), [term()], keyword()) :: Translation.t()
  defp topics(translation, topics, defaults) do
    if List.improper?(topics) or Keyword.keyword?(topics) do
      translation
    else
      given = Enum.map(topics, &with_defaults(&1, defaults))
      translation = of_member(translation, Enum.filter(given, &is_list/1), given)
      topics = Enum.map(given, &if(is_list(&1), do: own_options(&1), else: &1))
      %{translation | options: Keyword.put(translation.options, :topics, topics)}
    end
  end

  @spec with_defaults(term(), keyword()) :: term()
  defp with_defaults(topic, []), do: topic
  defp with_defaults(topic, defaults) when is_binary(topic), do: [name: topic] ++ defaults

  defp with_defaults(topic, defaults) do
    if is_list(topic) and Keyword.keyword?(topic),
      do: topic ++ Keyword.drop(defaults, Keyword.keys(topic)),
      else: topic
  end

  # What is no topic at all is refused where all topics are validated.
  @spec own_options(list()) :: list()
  defp own_options(topic) do
    if Keyword.keyword?(topic), do: Keyword.drop(topic, @topic_options), else: topic
  end

  @spec of_member(Translation.t(), [list()], [term()]) :: Translation.t()
  defp of_member(translation, lists, all) do
    lists = Enum.filter(lists, &Keyword.keyword?/1)

    noted =
      for {key, why} <- @topic_without_meaning,
          Enum.any?(lists, &Keyword.has_key?(&1, key)),
          do: {key, why}

    translation =
      Enum.reduce(noted, translation, fn {key, why}, translation ->
        Translation.note(translation, "#{inspect(key)} of a topic", why)
      end)

    for {key, default} <- @topic_defaults,
        Enum.any?(lists, &Keyword.has_key?(&1, key)),
        reduce: translation do
      translation -> member_wide(key, values(all, key, default), translation)
    end
  end

  @spec values([term()], atom(), term()) :: [term()]
  defp values(topics, key, default) do
    topics
    |> Enum.map(&if(is_list(&1) and Keyword.keyword?(&1), do: &1[key] || default, else: default))
    |> Enum.uniq()
  end

  @spec member_wide(atom(), [term()], Translation.t()) :: Translation.t()
  defp member_wide(:isolation_level, [level], translation)
       when level in [:read_committed, :read_uncommitted] do
    from = ":isolation_level of a topic"
    Translation.put_property(translation, "isolation.level", Atom.to_string(level), from)
  end

  defp member_wide(:isolation_level, levels, _translation) do
    case levels -- [:read_committed, :read_uncommitted] do
      [] ->
        Translation.refuse(
          ":isolation_level of a topic must be the same for all: a member of a group has one, and " <>
            ":read_committed is the default. Read the others in a pipeline of their own"
        )

      [other | _] ->
        expected = ":read_committed or :read_uncommitted"
        Nested.invalid(other, expected, ":isolation_level of a topic")
    end
  end

  defp member_wide(:fetch_max_bytes, values, translation) do
    from = ":fetch_max_bytes of a topic"
    bytes = values |> Enum.map(&Nested.integer(&1, 1..1_000_000_000, from)) |> Enum.max()
    translation = Translation.put_property(translation, "max.partition.fetch.bytes", bytes, from)

    if match?([_], values),
      do: translation,
      else:
        Translation.note(translation, from, "is #{bytes} for all: a member has one, the largest")
  end
end
