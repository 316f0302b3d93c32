defmodule OffBroadwayRustKafka.Migration.Klife do
  @moduledoc false
  # The options of off_broadway_klife, with klife 1.x.

  alias OffBroadwayRustKafka.Migration.{Given, KlifeClient, KlifeTopics, Rebalance, Translation}

  # Any of them says that the options are off_broadway_klife's, and so what its defaults are.
  @own [:client, :consumer_group, :group_name]

  @without_meaning %{
    fetch_strategy:
      ~s(has no meaning here: librdkafka fetches, see its properties fetch.* for :config),
    committers_count: "has no meaning here: one commit at a time takes in all partitions"
  }

  @spec translate(Translation.t()) :: Translation.t()
  def translate(%{options: options} = translation) do
    own? = Enum.any?(@own, &Keyword.has_key?(options, &1))

    translation
    |> Given.without_meaning(@without_meaning)
    |> group_name()
    |> message_format(own?)
    |> group_protocol(own?)
    |> rebalance_timeout()
    |> KlifeTopics.translate()
    |> KlifeClient.translate()
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
        Rebalance.timeout(translation, Given.integer(value, 1..86_400_000, from), from)
    end
  end
end
