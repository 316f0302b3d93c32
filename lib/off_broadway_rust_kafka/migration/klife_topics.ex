defmodule OffBroadwayRustKafka.Migration.KlifeTopics do
  @moduledoc false
  # Klife's options of a topic. A member has one of what is of a topic there: it is taken where the
  # topics agree.

  alias OffBroadwayRustKafka.Migration.{Given, Translation}

  @without_meaning %{
    fetch_strategy:
      "has no meaning here: librdkafka fetches, see its properties fetch.* for :config",
    fetch_interval_ms:
      "has no meaning here: records arrive by a wake-up, as soon as the broker has them",
    max_queue_size: "has no meaning here: see :max_in_flight and :max_buffered_bytes",
    handler_cooldown_ms: "has no meaning here, as there: see Broadway's :rate_limiting",
    handler_max_unacked_commits: "has no meaning here, as there: see :max_in_flight",
    handler_max_batch_size: "has no meaning here: demand is met to the record, see :max_demand",
    mode: "has no meaning here: records are always taken by demand"
  }

  # Klife's defaults, which the other topics have where some are given these.
  @of_member [isolation_level: :read_committed, fetch_max_bytes: 1_000_000]

  @levels [:read_committed, :read_uncommitted]

  @spec translate(Translation.t()) :: Translation.t()
  def translate(translation) do
    {defaults, translation} = Translation.pop(translation, :default_topic_config)

    defaults =
      case defaults do
        {:ok, defaults} -> Given.keyword(defaults, ":default_topic_config")
        :error -> []
      end

    topics = translation.options[:topics]

    # What is no list of topics is refused where topics are validated.
    if is_list(topics) and not List.improper?(topics) and not Keyword.keyword?(topics),
      do: translate(translation, Enum.map(topics, &with_defaults(&1, defaults))),
      else: translation
  end

  @spec translate(Translation.t(), [term()]) :: Translation.t()
  defp translate(translation, topics) do
    translation = Enum.reduce(@without_meaning, translation, &note(&1, &2, topics))
    translation = Enum.reduce(@of_member, translation, &of_member(&1, &2, topics))
    own = Enum.map(topics, &own_options/1)
    %{translation | options: Keyword.put(translation.options, :topics, own)}
  end

  @spec with_defaults(term(), keyword()) :: term()
  defp with_defaults(topic, []), do: topic
  defp with_defaults(topic, defaults) when is_binary(topic), do: [{:name, topic} | defaults]

  defp with_defaults(topic, defaults) do
    if options?(topic), do: topic ++ Keyword.drop(defaults, Keyword.keys(topic)), else: topic
  end

  @spec own_options(term()) :: term()
  defp own_options(topic) do
    if options?(topic),
      do: Keyword.drop(topic, Keyword.keys(@of_member) ++ Map.keys(@without_meaning)),
      else: topic
  end

  @spec note({atom(), String.t()}, Translation.t(), [term()]) :: Translation.t()
  defp note({key, why}, translation, topics) do
    if given?(topics, key),
      do: Translation.note(translation, "#{inspect(key)} of a topic", why),
      else: translation
  end

  @spec of_member({atom(), term()}, Translation.t(), [term()]) :: Translation.t()
  defp of_member({key, default}, translation, topics) do
    if given?(topics, key) do
      values = for topic <- topics, do: if(has?(topic, key), do: topic[key], else: default)
      put(key, Enum.uniq(values), translation, "#{inspect(key)} of a topic")
    else
      translation
    end
  end

  @spec put(atom(), [term(), ...], Translation.t(), from :: String.t()) :: Translation.t()
  defp put(:isolation_level, values, translation, from) do
    case {values, values -- @levels} do
      {[level], []} ->
        Translation.put_property(translation, "isolation.level", Atom.to_string(level), from)

      {_different, []} ->
        Translation.refuse(
          "#{from} must be the same for all: a member of a group has one, and :read_committed is the " <>
            "default. Read the others in a pipeline of their own"
        )

      {_, [other | _]} ->
        Given.invalid(other, ":read_committed or :read_uncommitted", from)
    end
  end

  defp put(:fetch_max_bytes, values, translation, from) do
    bytes = values |> Enum.map(&Given.integer(&1, 1..1_000_000_000, from)) |> Enum.max()
    translation = Translation.put_property(translation, "max.partition.fetch.bytes", bytes, from)

    if match?([_], values),
      do: translation,
      else:
        Translation.note(translation, from, "is #{bytes} for all: a member has one, the largest")
  end

  @spec given?([term()], atom()) :: boolean()
  defp given?(topics, key), do: Enum.any?(topics, &has?(&1, key))

  @spec has?(term(), atom()) :: boolean()
  defp has?(topic, key), do: options?(topic) and Keyword.has_key?(topic, key)

  @spec options?(term()) :: boolean()
  defp options?(topic), do: is_list(topic) and Keyword.keyword?(topic)
end
