defmodule OffBroadwayRustKafka.Top.Remote do
  @moduledoc false
  # A running node, asked from a hidden one that takes no part in its cluster.

  alias OffBroadwayRustKafka.Top.{Pipelines, Row}

  @timeout_ms 5_000

  @doc "Connects to a node; with `nil` by the cookie that this machine's user has."
  @spec connect(node :: String.t(), cookie :: String.t() | nil) ::
          {:ok, node()} | {:error, String.t()}
  def connect(name, cookie) do
    target = String.to_atom(name)

    cond do
      target == node() -> {:ok, target}
      not String.contains?(name, "@") -> {:error, "a node has a host in its name, as in app@host"}
      true -> with :ok <- start(name), do: connected(target, cookie)
    end
  end

  @doc "What the pipelines there say."
  @spec sample(node()) :: {:ok, [Row.t()]} | {:error, String.t()}
  def sample(target) do
    {:ok, :erpc.call(target, Pipelines, :sample, [], @timeout_ms)}
  rescue
    error in ErlangError -> {:error, "#{target}: #{reason(error.original)}"}
  end

  @spec connected(node(), String.t() | nil) :: {:ok, node()} | {:error, String.t()}
  defp connected(target, cookie) do
    if cookie, do: Node.set_cookie(target, String.to_atom(cookie))

    if Node.connect(target) == true,
      do: {:ok, target},
      else: {:error, "#{target} cannot be reached: is it up, and is the cookie right?"}
  end

  @spec start(String.t()) :: :ok | {:error, String.t()}
  defp start(target) do
    # Without it no node starts; one that is there already says so and changes nothing.
    if epmd = System.find_executable("epmd"), do: System.cmd(epmd, ["-daemon"])
    [_, host] = String.split(target, "@", parts: 2)
    domain = if String.contains?(host, "."), do: :longnames, else: :shortnames
    own = own_name(domain, host)

    case Node.alive?() || :net_kernel.start(own, %{name_domain: domain, hidden: true}) do
      true -> :ok
      {:ok, _} -> :ok
      {:error, reason} -> {:error, "no node can be started here: #{inspect(reason)}"}
    end
  end

  # On the same machine under the same host, which need not be one that others can resolve.
  @spec own_name(:longnames | :shortnames, String.t()) :: node()
  defp own_name(domain, host) do
    name = "top#{System.pid()}"
    if domain == :longnames and host == "127.0.0.1", do: :"#{name}@127.0.0.1", else: :"#{name}"
  end

  @spec reason(term()) :: String.t()
  defp reason({:erpc, :noconnection}), do: "the connection is lost"
  defp reason({:erpc, :timeout}), do: "no answer within #{@timeout_ms} ms"

  defp reason({:exception, :undef, _stacktrace}),
    do: "it runs no version of this library that can be asked"

  defp reason(other), do: inspect(other)
end
