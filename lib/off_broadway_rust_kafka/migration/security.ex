defmodule OffBroadwayRustKafka.Migration.Security do
  @moduledoc false
  # Elsewhere TLS and SASL are options of their own; librdkafka has one property for which of them
  # there are.

  alias OffBroadwayRustKafka.Migration.Translation

  @doc "There is TLS, or SASL."
  @spec by(Translation.t(), :ssl | :sasl, from :: String.t()) :: Translation.t()
  def by(translation, kind, from),
    do: %{translation | secured_by: [{kind, from} | translation.secured_by]}

  @doc "A token is for SASL, of whose protocol `:ssl` says one half."
  @spec with_token(Translation.t()) :: Translation.t()
  def with_token(%{options: options, secured_by: by} = translation) do
    if Keyword.has_key?(by, :ssl) and options[:oauthbearer] != nil,
      do: by(translation, :sasl, ":oauthbearer"),
      else: translation
  end

  @doc "Once it is known of both."
  @spec put_protocol(Translation.t()) :: Translation.t()
  def put_protocol(%{secured_by: []} = translation), do: translation

  def put_protocol(%{secured_by: by} = translation) do
    from = by |> Enum.sort() |> Enum.map_join(" and ", &elem(&1, 1))
    protocol = protocol(Keyword.has_key?(by, :ssl), Keyword.has_key?(by, :sasl))
    Translation.put_property(translation, "security.protocol", protocol, from)
  end

  @spec protocol(ssl? :: boolean(), sasl? :: boolean()) :: String.t()
  defp protocol(true, true), do: "sasl_ssl"
  defp protocol(true, false), do: "ssl"
  defp protocol(false, true), do: "sasl_plaintext"
end
