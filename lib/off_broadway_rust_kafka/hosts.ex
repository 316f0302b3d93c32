defmodule OffBroadwayRustKafka.Hosts do
  @moduledoc false
  # The `:hosts` option in every shape people type, to librdkafka's "host:port".

  @default_port 9092
  @expected ~s(a "host:port,host:port" string, or a list of "host:port" strings, ) <>
              ~s({"host", port} tuples or host: port pairs)

  defguardp is_name(atom) when is_atom(atom) and atom not in [nil, true, false]
  defguardp is_charlist(list) when is_list(list) and list != [] and is_integer(hd(list))

  @spec parse(term()) :: {:ok, [String.t(), ...]} | {:error, String.t()}
  def parse(hosts) do
    case hosts |> entries() |> Enum.map(&entry/1) |> Enum.uniq() do
      [] -> {:error, "expected at least one host, as #{@expected}, got: #{inspect(hosts)}"}
      hosts -> {:ok, hosts}
    end
  catch
    {:refused, message} -> {:error, message}
  end

  @spec entries(term()) :: [String.t() | tuple()]
  defp entries(hosts) do
    cond do
      is_binary(hosts) -> split(hosts)
      is_tuple(hosts) -> [hosts]
      is_charlist(hosts) -> hosts |> string() |> split()
      is_list(hosts) and not List.improper?(hosts) -> Enum.flat_map(hosts, &listed/1)
      true -> refuse("expected #{@expected}, got: #{inspect(hosts)}")
    end
  end

  @spec listed(term()) :: [String.t() | tuple()]
  defp listed(entry) when is_binary(entry) or is_tuple(entry) or is_charlist(entry),
    do: entries(entry)

  defp listed(entry) when is_name(entry), do: [Atom.to_string(entry)]
  defp listed(entry), do: refuse("expected #{@expected}, got the entry: #{inspect(entry)}")

  @spec split(String.t()) :: [String.t()]
  defp split(""), do: []
  defp split(string), do: string |> String.split(",") |> Enum.map(&String.trim/1)

  @spec entry(String.t() | tuple()) :: String.t()
  defp entry({host, port} = entry), do: host(host, entry) <> ":" <> port(port, entry)

  defp entry(entry) when is_binary(entry) do
    case Regex.run(~r/\A(\[[^\]]*\]|[^:\[\]]*)(?::([^:]*))?\z/, entry) do
      [_, host] ->
        host(host, entry) <> ":#{@default_port}"

      [_, host, port] ->
        host(host, entry) <> ":" <> port(port, entry)

      nil ->
        refuse(
          ~s(expected "host:port", with an IPv6 address in brackets and without a protocol ) <>
            ~s[(that is "security.protocol" in :config), got: #{inspect(entry)}]
        )
    end
  end

  defp entry(entry), do: refuse("expected {host, port}, got the entry: #{inspect(entry)}")

  @spec host(term(), term()) :: String.t()
  defp host(host, entry) when is_binary(host) do
    cond do
      host =~ ~r/\A[A-Za-z0-9._-]+\z/ -> host
      address = ipv6(host) -> "[" <> address <> "]"
      true -> refuse("expected a host name or an address, got: #{inspect(host)}", entry)
    end
  end

  defp host(host, entry) when is_name(host), do: host |> Atom.to_string() |> host(entry)
  defp host(host, entry) when is_charlist(host), do: host |> string() |> host(entry)

  defp host(host, entry) do
    case is_tuple(host) and :inet.ntoa(host) do
      address when is_list(address) -> address |> to_string() |> host(entry)
      _ -> refuse("expected a host name or an address, got: #{inspect(host)}", entry)
    end
  end

  @spec ipv6(String.t()) :: String.t() | nil
  defp ipv6(host) do
    address = host |> String.trim_leading("[") |> String.trim_trailing("]")

    with true <- String.printable?(address),
         {:ok, _} <- :inet.parse_ipv6strict_address(to_charlist(address)) do
      address
    else
      _ -> nil
    end
  end

  @spec port(term(), term()) :: String.t()
  defp port(port, entry) do
    number = if is_binary(port), do: Integer.parse(port), else: {port, ""}

    case number do
      {number, ""} when is_integer(number) and number in 1..65_535 -> to_string(number)
      _ -> refuse("expected a port between 1 and 65535, got: #{inspect(port)}", entry)
    end
  end

  @spec string(charlist()) :: String.t()
  defp string(charlist) do
    if not List.improper?(charlist) and List.ascii_printable?(charlist),
      do: to_string(charlist),
      else: refuse("expected #{@expected}, got: #{inspect(charlist)}")
  end

  @spec refuse(String.t(), term()) :: no_return()
  defp refuse(message, entry), do: refuse("#{message}, in the entry: #{inspect(entry)}")

  @spec refuse(String.t()) :: no_return()
  defp refuse(message), do: throw({:refused, message})
end
