defmodule OffBroadwayRustKafka.CertificatesTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Certificates, Properties}

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    [certificate, key] = for name <- ["me.pem", "me.key"], do: Path.join(dir, name)
    File.write!(certificate, "a certificate")
    File.write!(key, "a key")

    {:ok, properties} =
      Properties.parse(
        "ssl.certificate.location": certificate,
        "ssl.key.pem": {:file, key},
        "sasl.password": fn -> raise "it is read elsewhere" end
      )

    certificates = Certificates.see(Certificates.new(properties))
    %{certificates: %{certificates | settle_ms: 20}, certificate: certificate, key: key}
  end

  # What `renew` did until its process ended.
  defp renewed(certificates, meanwhile \\ fn -> :ok end) do
    test = self()

    look = fn ->
      send(test, {:looks, self()})

      receive do
        :look -> certificates.look.()
      end
    end

    :ok = Certificates.renew(%{certificates | look: look}, fn -> send(test, :changed) end)
    assert_receive {:looks, looker}
    monitor = Process.monitor(looker)
    send(looker, :look)
    await(monitor, looker, meanwhile, 0)
  end

  defp await(monitor, looker, meanwhile, changed) do
    receive do
      {:looks, ^looker} ->
        meanwhile.()
        send(looker, :look)
        await(monitor, looker, meanwhile, changed)

      :changed ->
        await(monitor, looker, meanwhile, changed + 1)

      {:DOWN, ^monitor, _, _, :normal} ->
        changed
    after
      5_000 -> flunk("it does not end")
    end
  end

  test "files and functions that say the same are no reason to start anew", %{
    certificates: certificates
  } do
    assert renewed(certificates) == 0
  end

  test "a file or a function that says something else by now is one", context do
    for file <- [context.certificate, context.key] do
      before = File.read!(file)
      File.write!(file, "another")
      assert renewed(context.certificates) == 1
      File.write!(file, before)
    end

    assert renewed(context.certificates) == 0
  end

  test "those that are still being written are waited for, until they are refused again",
       context do
    File.write!(context.certificate, "another")
    assert renewed(context.certificates, fn -> File.write!(context.key, "another") end) == 0
    assert renewed(context.certificates) == 1
  end

  test "what cannot be read is not read by a new member either", context do
    File.rm!(context.key)
    assert renewed(context.certificates) == 0
  end

  test "where nothing can change nothing is looked at" do
    {:ok, properties} = Properties.parse("ssl.ca.pem": "text", "security.protocol": "ssl")
    assert %Certificates{look: nil} = certificates = Certificates.new(properties)
    assert Certificates.see(certificates) == certificates
    assert Certificates.renew(certificates, fn -> flunk("changed") end) == :ok
  end

  test "no secret is in what is kept", %{certificates: certificates} do
    refute inspect(certificates, structs: false) =~ "a key"
    assert is_integer(certificates.seen)
  end
end
