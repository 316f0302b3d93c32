defmodule OffBroadwayRustKafka.Migration.Pem do
  @moduledoc false
  # What Erlang's ssl takes as DER, to the PEM that librdkafka takes. A key is never part of a message.

  alias OffBroadwayRustKafka.Migration.Translation
  alias OffBroadwayRustKafka.Properties

  # As many characters a line as PEM has.
  @line 64

  @keys %{
    RSAPrivateKey: "RSA PRIVATE KEY",
    DSAPrivateKey: "DSA PRIVATE KEY",
    ECPrivateKey: "EC PRIVATE KEY",
    PrivateKeyInfo: "PRIVATE KEY"
  }

  @doc "One certificate or several, as DER or as `:public_key.cacerts_get/0` has them."
  @spec certificates(term(), from :: String.t()) :: String.t()
  def certificates(certificate, from) when not is_list(certificate),
    do: certificates([certificate], from)

  def certificates([_ | _] = certificates, from) do
    if List.improper?(certificates), do: refuse_certificates(from)
    Enum.map_join(certificates, &certificate(&1, from))
  end

  def certificates(_none, from), do: refuse_certificates(from)

  @doc "A key as DER, or a function that has it, which is called when the member starts."
  @spec key(term(), from :: String.t()) :: String.t() | (() -> String.t())
  def key(function, _from) when is_function(function, 0) do
    fn ->
      case function.() do
        {type, der} when is_map_key(@keys, type) and is_binary(der) -> encode(@keys[type], der)
        _secret -> Properties.no_value("expected {type, DER} from its function")
      end
    end
  end

  def key({type, der}, _from) when is_map_key(@keys, type) and is_binary(der),
    do: encode(@keys[type], der)

  def key(_secret, from) do
    Translation.refuse(
      "invalid value for #{from} (not shown): expected {type, DER} or a function that returns it, where " <>
        "type is one of #{inspect(Map.keys(@keys))}; an engine's key can be used by librdkafka's ssl.engine.* only"
    )
  end

  @spec certificate(term(), from :: String.t()) :: String.t()
  defp certificate(der, _from) when is_binary(der), do: encode("CERTIFICATE", der)
  defp certificate({:cert, der, _decoded}, from), do: certificate(der, from)
  defp certificate(_other, from), do: refuse_certificates(from)

  @spec refuse_certificates(from :: String.t()) :: no_return()
  defp refuse_certificates(from) do
    Translation.refuse(
      "invalid value for #{from} (not shown): expected certificates as DER, or as " <>
        ":public_key.cacerts_get() returns them"
    )
  end

  @spec encode(String.t(), binary()) :: String.t()
  defp encode(label, der) do
    lines = der |> Base.encode64() |> lines()
    IO.iodata_to_binary(["-----BEGIN #{label}-----\n", lines, "-----END #{label}-----\n"])
  end

  @spec lines(String.t()) :: iodata()
  defp lines(<<line::binary-size(@line), rest::binary>>) when rest != "",
    do: [line, "\n" | lines(rest)]

  defp lines(rest), do: [rest, "\n"]
end
