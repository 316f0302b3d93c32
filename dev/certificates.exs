# Certificates and keys for the listeners in server.properties, and for those who connect to them:
#
#   elixir dev/certificates.exs FOLDER
#
#   ca.pem                                  the authority that all of these trust
#   server.pem, expired.pem, elsewhere.pem  the brokers' certificates, with their keys: for 127.0.0.1 and localhost;
#                                           for these, but expired; for another host
#   client.pem, client.key                  a client's certificate (RSA) and its key,
#   client-locked.key, client.der, client-key.der   the key behind the password "client-secret", and both as DER
#   chain.pem, chain.key                    another's, issued by an authority in between, which is in it
#   outdated.pem, outdated.key              another's that has expired
#   stranger.pem, stranger.key              one that an authority has issued whom nobody trusts: stranger-ca.pem
#
# All that is not expired is valid for ten years.
[folder] = System.argv()
File.mkdir_p!(folder)

public_key = :public_key
{:ok, _} = Application.ensure_all_started(:public_key)

years = fn from, to ->
  {year, _, _} = Date.to_erl(Date.utc_today())
  {{year + from, 1, 1}, {year + to, 1, 1}}
end

valid = [digest: :sha256, validity: years.(-1, 10)]
expired = [digest: :sha256, validity: years.(-2, -1)]
curve = {:namedCurve, :secp256r1}
authority = fn name -> public_key.pkix_test_root_cert(name, [key: curve] ++ valid) end

# {2, 5, 29, 17} is subjectAltName.
for_hosts = fn names -> [extensions: [{:Extension, {2, 5, 29, 17}, false, names}]] end
here = for_hosts.(iPAddress: <<127, 0, 0, 1>>, dNSName: ~c"localhost")

issue = fn authority, key, options, between ->
  made =
    public_key.pkix_test_data(%{
      root: authority,
      intermediates: between,
      peer: [key: key] ++ options
    })

  {type, key} = made[:key]
  # The root is among those who issued it.
  chain = [made[:cert] | Enum.reject(made[:cacerts], &(&1 == authority.cert))]
  %{chain: chain, key: public_key.der_decode(type, key), type: type}
end

certificates = fn chain -> for(der <- chain, do: {:Certificate, der, :not_encrypted}) end
pem = fn entries -> public_key.pem_encode(entries) end
write = fn name, text -> File.write!(Path.join(folder, name), text) end
open = fn type, key -> public_key.pem_entry_encode(type, key) end

write_server = fn name, made ->
  # Java reads no other kind of key.
  write.(name, pem.([open.(:PrivateKeyInfo, made.key) | certificates.(made.chain)]))
end

write_client = fn name, made ->
  write.(name <> ".pem", pem.(certificates.(made.chain)))
  write.(name <> ".key", pem.([open.(made.type, made.key)]))
end

ca = authority.(~c"authority")
write.("ca.pem", pem.(certificates.([ca.cert])))
write_server.("server.pem", issue.(ca, curve, valid ++ here, []))
write_server.("expired.pem", issue.(ca, curve, expired ++ here, []))

write_server.(
  "elsewhere.pem",
  issue.(ca, curve, valid ++ for_hosts.(dNSName: ~c"kafka.example"), [])
)

client = issue.(ca, {:rsa, 2048, 65_537}, valid, [])
write_client.("client", client)
write.("client.der", hd(client.chain))
write.("client-key.der", public_key.der_encode(client.type, client.key))
cipher = {~c"AES-256-CBC", :crypto.strong_rand_bytes(16)}
locked = public_key.pem_entry_encode(client.type, client.key, {cipher, ~c"client-secret"})
write.("client-locked.key", pem.([locked]))

write_client.("chain", issue.(ca, curve, valid, [[key: curve] ++ valid]))
write_client.("outdated", issue.(ca, curve, expired, []))

stranger = authority.(~c"stranger")
write.("stranger-ca.pem", pem.(certificates.([stranger.cert])))
write_client.("stranger", issue.(stranger, curve, valid, []))
