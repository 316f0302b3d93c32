defmodule OffBroadwayRustKafka.Migration.Ssl do
  @moduledoc false
  # Options of Erlang's ssl to librdkafka's TLS, which is OpenSSL's.

  alias OffBroadwayRustKafka.Migration.{Given, Pem, Sasl, Security, Translation}

  @verify "enable.ssl.certificate.verification"
  @identify "ssl.endpoint.identification.algorithm"

  @files %{
    cacertfile: "ssl.ca.location",
    certfile: "ssl.certificate.location",
    keyfile: "ssl.key.location"
  }

  @without_meaning %{
    versions: "OpenSSL agrees with the broker on the newest version that both have",
    depth: "OpenSSL has its own limit of a chain's length",
    log_level: "librdkafka's log lines come through Logger",
    log_alert: "librdkafka's log lines come through Logger",
    reuse_sessions: "the connections are librdkafka's own",
    session_tickets: "the connections are librdkafka's own",
    secure_renegotiate: "the connections are librdkafka's own",
    client_renegotiation: "the connections are librdkafka's own",
    hibernate_after: "the connections are librdkafka's own",
    keep_secrets: "the connections are librdkafka's own",
    handshake: "the connections are librdkafka's own",
    middlebox_comp_mode: "the connections are librdkafka's own"
  }

  @instead %{
    verify_fun:
      "librdkafka verifies the chain and the host name by itself; see :cacertfile, and " <>
        ~s("#{@identify}" in :config),
    partial_chain: "OpenSSL wants a chain up to a trusted root: give the root in :cacertfile",
    crl_check: ~s(use "ssl.crl.location" in :config),
    crl_cache: ~s(use "ssl.crl.location" in :config),
    eccs: ~s(use "ssl.curves.list" in :config, with OpenSSL's names),
    supported_groups: ~s(use "ssl.curves.list" in :config, with OpenSSL's names),
    signature_algs: ~s(use "ssl.sigalgs.list" in :config, with OpenSSL's names),
    signature_algs_cert: ~s(use "ssl.sigalgs.list" in :config, with OpenSSL's names),
    psk_identity: "librdkafka has no pre-shared keys: use a client certificate",
    srp_identity: "librdkafka has no SRP: use a client certificate",
    user_lookup_fun: "librdkafka has no pre-shared keys: use a client certificate"
  }

  @spec translate(Translation.t(), term(), from :: String.t()) :: Translation.t()
  def translate(translation, none, _from) when none in [false, []], do: translation

  def translate(translation, true, from) do
    translation
    |> Security.by(:ssl, from)
    |> Translation.note(
      :warning,
      from,
      "verifies the brokers' certificates and host names here, which it did not do in brod: give " <>
        ":cacertfile where the system does not know their issuer, or verify: :verify_none"
    )
  end

  def translate(translation, options, from) do
    options = options |> Given.keyword(from) |> one_of_certs_keys(from) |> with_key()

    for {key, value} <- options, reduce: Security.by(translation, :ssl, from) do
      translation -> option(key, value, translation, "#{inspect(key)} of #{from}")
    end
  end

  @spec option(atom(), term(), Translation.t(), from :: String.t()) :: Translation.t()
  defp option(key, path, translation, from) when is_map_key(@files, key),
    do: Translation.put_property(translation, @files[key], Given.string(path, from), from)

  defp option(:cacerts, certificates, translation, from) do
    pem = Pem.certificates(certificates, from)
    Translation.put_property(translation, "ssl.ca.pem", pem, from)
  end

  defp option(:cert, chain, translation, from) do
    pem = Pem.certificates(chain, from)
    Translation.put_property(translation, "ssl.certificate.pem", pem, from)
  end

  defp option(:key, key, translation, from) do
    pem = Pem.key(key, from)
    secret = if is_function(pem), do: pem, else: fn -> pem end
    Translation.put_property(translation, "ssl.key.pem", secret, from)
  end

  defp option(:password, password, translation, from) do
    secret = Sasl.secret(password, from)
    Translation.put_property(translation, "ssl.key.password", secret, from)
  end

  defp option(:verify, :verify_peer, translation, from),
    do: Translation.put_property(translation, @verify, true, from)

  defp option(:verify, :verify_none, translation, from) do
    translation
    |> Translation.put_property(@verify, false, from)
    |> Translation.note(
      :warning,
      from,
      "lets anybody between here and the brokers pass for them: give :cacertfile in its place"
    )
  end

  defp option(:verify, other, _translation, from),
    do: Given.invalid(other, ":verify_peer or :verify_none", from)

  defp option(:server_name_indication, none, translation, _from) when none in ["", []],
    do: translation

  defp option(:server_name_indication, name, translation, from) do
    name = if is_atom(name), do: Atom.to_string(name), else: name
    server_name(Given.string(name, from), translation, from)
  end

  defp option(:customize_hostname_check, check, translation, from) do
    if Keyword.keys(Given.keyword(check, from)) == [:match_fun] do
      Translation.note(
        translation,
        from,
        "has no meaning here: host names are matched as HTTPS matches them, wildcards included"
      )
    else
      Translation.refuse(
        "#{from} can only have a :match_fun: host names are matched as HTTPS matches them, see " <>
          ~s("#{@identify}" in :config)
      )
    end
  end

  defp option(:ciphers, ciphers, translation, from),
    do: Translation.put_property(translation, "ssl.cipher.suites", ciphers(ciphers, from), from)

  defp option(key, _value, translation, from) do
    case {@without_meaning, @instead} do
      {%{^key => why}, _} ->
        Translation.note(translation, from, "has no meaning here: #{why}")

      {_, %{^key => why}} ->
        Translation.refuse("#{from} cannot be honoured: #{why}")

      _ ->
        Translation.refuse(
          "unknown option #{from}: remove it, or use a property ssl.* in :config"
        )
    end
  end

  # brod's words. librdkafka sends the host it connects to, always.
  @spec server_name(String.t(), Translation.t(), String.t()) :: Translation.t()
  defp server_name(auto, translation, _from) when auto in ["auto", "undefined"], do: translation

  defp server_name(none, translation, from) when none in ["none", "disable"] do
    translation
    |> Translation.put_property(@identify, "none", from)
    |> Translation.note(from, "is sent all the same, but compared with no certificate")
  end

  defp server_name(name, _translation, from) do
    Translation.refuse(
      "#{from} cannot be #{inspect(name)}: each broker is sent the host name that it was reached by. " <>
        ~s(Where its certificate has another, set "#{@identify}" to "none" in :config)
    )
  end

  @spec ciphers(term(), from :: String.t()) :: String.t()
  defp ciphers(ciphers, from) do
    expected = "a string, or a list of strings, of OpenSSL's names"

    cond do
      match?({:ok, _}, Given.text(ciphers)) ->
        to_string(ciphers)

      is_list(ciphers) and ciphers != [] and not List.improper?(ciphers) ->
        Enum.map_join(ciphers, ":", fn cipher ->
          case Given.text(cipher) do
            {:ok, name} -> name
            :error -> Given.invalid(cipher, expected, from)
          end
        end)

      true ->
        Given.invalid(ciphers, expected, from)
    end
  end

  # Erlang takes several pairs and chooses; librdkafka has one.
  @spec one_of_certs_keys(keyword(), from :: String.t()) :: keyword()
  defp one_of_certs_keys(options, from) do
    case Keyword.pop(options, :certs_keys) do
      {nil, options} ->
        options

      {[pair], options} when is_map(pair) ->
        Map.to_list(pair) ++ options

      _ ->
        Translation.refuse(
          ":certs_keys of #{from} (not shown) cannot be honoured: librdkafka has one certificate and " <>
            "key, give one map"
        )
    end
  end

  # As in Erlang, a file of certificates may have the key in it, and what is given as a term goes first.
  @spec with_key(keyword()) :: keyword()
  defp with_key(options) do
    options = overridden(options, cacerts: :cacertfile, cert: :certfile, key: :keyfile)

    if options[:certfile] != nil and options[:keyfile] == nil and options[:key] == nil,
      do: Keyword.put(options, :keyfile, options[:certfile]),
      else: options
  end

  @spec overridden(keyword(), keyword(atom())) :: keyword()
  defp overridden(options, pairs) do
    Enum.reduce(pairs, options, fn {term, file}, options ->
      if Keyword.has_key?(options, term), do: Keyword.delete(options, file), else: options
    end)
  end
end
