defmodule OffBroadwayRustKafka.Secured do
  @moduledoc false
  # The listeners of a broker that ask for TLS or a login, and the certificates for them, as bin/kafka
  # prints them: for tests with the tag :secured.

  alias OffBroadwayRustKafka.Kafka

  @typedoc "As dev/server.properties has them."
  @type listener :: :sasl | :ssl | :sasl_ssl | :mutual | :expired | :elsewhere

  @listeners [:sasl, :ssl, :sasl_ssl, :mutual, :expired, :elsewhere]

  @doc "Whether all that is needed was given: brokers of the user's own may have none of it."
  @spec given?() :: boolean()
  def given? do
    Enum.all?(@listeners, &(env(variable(&1)) != nil)) and
      match?(folder when folder != nil, env("KAFKA_CERTIFICATES")) and
      File.exists?(path("ca.pem"))
  end

  @doc "The same brokers, by this listener. Topics are made, and records produced, by another."
  @spec kafka(listener()) :: Kafka.t()
  def kafka(listener), do: %Kafka{bootstrap: env(variable(listener)), client: nil}

  @doc "The path of a certificate or key, by the names in dev/certificates.exs."
  @spec path(String.t()) :: Path.t()
  def path(name), do: Path.join(env("KAFKA_CERTIFICATES"), name)

  @spec read(String.t()) :: binary()
  def read(name), do: name |> path() |> File.read!()

  @doc "What is in the first block of a PEM text, without OTP's public_key, which not every suite has."
  @spec der(String.t()) :: binary()
  def der(pem) do
    [_, base64] = Regex.run(~r/-----BEGIN [^-]+-----\n(.*?)-----END/s, pem)
    Base.decode64!(base64, ignore: :whitespace)
  end

  @spec variable(listener()) :: String.t()
  defp variable(listener), do: "KAFKA_#{listener |> Atom.to_string() |> String.upcase()}_BROKERS"

  @spec env(String.t()) :: String.t() | nil
  defp env(name) do
    case System.get_env(name) do
      none when none in [nil, ""] -> nil
      value -> value
    end
  end
end
