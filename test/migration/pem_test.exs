defmodule OffBroadwayRustKafka.Migration.PemTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Consumer, Producer}

  # OTP's public_key, which makes certificates, is there with Hex's libraries only.
  @moduletag :hex
  @moduletag :capture_log

  defp start(ssl) do
    options = [hosts: "127.0.0.1:1", group_id: "group", topics: ["orders"]]
    module = {Producer, options ++ [client_config: [ssl: ssl]]}
    broadway = [name: __MODULE__, producer: [module: module], processors: [default: []]]
    {[{Consumer, consumer}], _} = Producer.prepare_for_start(__MODULE__, broadway)
    start_supervised({Consumer, consumer})
  end

  defp made(peer_key) do
    apply(:public_key, :pkix_test_data, [
      %{
        root: [key: {:rsa, 2048, 65_537}, digest: :sha256],
        intermediates: [],
        peer: [key: peer_key, digest: :sha256]
      }
    ])
  end

  for {kind, key} <- [rsa: {:rsa, 2048, 65_537}, ec: {:namedCurve, :secp256r1}] do
    test "certificates and a key of #{kind}, as DER, are what librdkafka loads" do
      made = made(unquote(Macro.escape(key)))
      assert {:ok, _} = start(Keyword.take(made, [:cert, :key, :cacerts]))
    end
  end

  test "the system's certificates, as OTP has them, are too" do
    cacerts = for der <- made({:rsa, 2048, 65_537})[:cacerts], do: {:cert, der, :decoded}
    assert {:ok, _} = start(cacerts: cacerts)
  end

  test "a key of another certificate, and what is no certificate, are refused by librdkafka" do
    [one, other] = for _ <- 1..2, do: made({:rsa, 2048, 65_537})
    assert {:error, {error, _}} = start(cert: one[:cert], key: other[:key])
    assert Exception.message(error) =~ "ssl"
    assert {:error, _} = start(cacerts: ["no certificate"])
  end
end
