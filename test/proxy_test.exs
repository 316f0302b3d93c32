defmodule OffBroadwayRustKafka.ProxyTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Proxy

  @options [:binary, :inet, active: false, nodelay: true, show_econnreset: true]
  @soon 10_000
  # For what must not come.
  @while 100

  setup do
    %{echo: echo()}
  end

  test "what is sent comes through, both ways", %{echo: echo} do
    socket = echo |> proxy() |> connect()
    data = :crypto.strong_rand_bytes(3_000_000)
    assert exchange(socket, data) == data
  end

  test "who hangs up is hung up on" do
    {listener, port} = listen()
    proxy = proxy(port)

    for first <- [:client, :server] do
      client = connect(proxy)
      {:ok, server} = :gen_tcp.accept(listener, @soon)
      :ok = :gen_tcp.send(if(first == :client, do: client, else: server), "bye")
      :gen_tcp.close(if first == :client, do: client, else: server)
      other = if first == :client, do: server, else: client
      assert :gen_tcp.recv(other, 3, @soon) == {:ok, "bye"}
      assert :gen_tcp.recv(other, 0, @soon) == {:error, :closed}
    end
  end

  test "a client is closed when there is no server" do
    {listener, port} = listen()
    :ok = :gen_tcp.close(listener)
    assert port |> proxy() |> connect() |> :gen_tcp.recv(0, @soon) == {:error, :closed}
  end

  test "a cut closes every connection and refuses more, until it is restored", %{echo: echo} do
    proxy = proxy(echo)
    port = Proxy.port(proxy)
    sockets = for _ <- 1..3, do: connect(proxy)
    for socket <- sockets, do: assert(exchange(socket, "hello") == "hello")
    Proxy.cut(proxy)
    for socket <- sockets, do: assert(:gen_tcp.recv(socket, 0, @soon) == {:error, :closed})
    assert :gen_tcp.connect({127, 0, 0, 1}, port, @options) == {:error, :econnrefused}
    Proxy.restore(proxy)
    assert Proxy.port(proxy) == port
    assert proxy |> connect() |> exchange("hello") == "hello"
  end

  test "latency comes in each direction, and costs no throughput", %{echo: echo} do
    proxy = proxy(echo)
    socket = connect(proxy)
    Proxy.latency(proxy, 100)
    {micros, "hello"} = :timer.tc(fn -> exchange(socket, "hello") end)
    assert micros >= 200_000

    # Hundreds of chunks: one after another they would take a minute.
    data = :crypto.strong_rand_bytes(5_000_000)
    {micros, ^data} = :timer.tc(fn -> exchange(socket, data) end)
    assert micros < 10_000_000

    Proxy.restore(proxy)
    # On a busy machine some take long, but not all.
    times = for _ <- 1..20, do: elem(:timer.tc(fn -> exchange(socket, "hello") end), 0)
    assert Enum.min(times) < 200_000
  end

  test "answers may be late, what they answer is not" do
    {proxy, client, server} = connected()
    Proxy.late_answers(proxy, @while)
    :ok = :gen_tcp.send(client, "hello")
    assert :gen_tcp.recv(server, 5, @soon) == {:ok, "hello"}

    {micros, {:ok, "hello"}} =
      :timer.tc(fn ->
        :ok = :gen_tcp.send(server, "hello")
        :gen_tcp.recv(client, 5, @soon)
      end)

    assert micros >= div(@while, 2) * 1_000
  end

  test "a bandwidth holds in each direction", %{echo: echo} do
    proxy = proxy(echo)
    socket = connect(proxy)
    Proxy.bandwidth(proxy, 200_000)
    data = :crypto.strong_rand_bytes(100_000)
    {micros, ^data} = :timer.tc(fn -> exchange(socket, data) end)
    assert micros >= 450_000
  end

  test "what the bandwidth does not take stays with its sender", %{echo: echo} do
    proxy = proxy(echo)
    socket = connect(proxy)
    Proxy.bandwidth(proxy, 1_000)
    :ok = :inet.setopts(socket, send_timeout: 5 * @while)
    assert send_much(socket) == {:error, :timeout}
  end

  test "a reset is one, at both ends" do
    {proxy, client, server} = connected()
    Proxy.reset(proxy, 1.0)
    :ok = :gen_tcp.send(client, "hello")
    assert :gen_tcp.recv(client, 0, @soon) == {:error, :econnreset}
    assert :gen_tcp.recv(server, 0, @soon) == {:error, :econnreset}
  end

  test "resets are left to chance, the same again with the same seed", %{echo: echo} do
    runs =
      for seed <- [1, 1, 2] do
        proxy = proxy(echo, seed: seed)
        Proxy.reset(proxy, 0.05)
        for _ <- 1..5, do: proxy |> connect() |> round_trips()
      end

    assert [first, first, other] = runs
    assert first != other
    assert first |> Enum.uniq() |> length() > 1
  end

  test "a half-open connection takes everything, answers nothing and stays", %{echo: echo} do
    proxy = proxy(echo)
    old = connect(proxy)
    assert exchange(old, "hello") == "hello"
    Proxy.half_open(proxy)
    new = connect(proxy)

    for socket <- [old, new] do
      assert send_much(socket) == :ok
      assert :gen_tcp.recv(socket, 0, @while) == {:error, :timeout}
    end

    Proxy.restore(proxy)
    for socket <- [old, new], do: assert({:error, _} = :gen_tcp.recv(socket, 0, @soon))
    assert proxy |> connect() |> exchange("hello") == "hello"
  end

  test "a half-open connection is not told that the other end has gone" do
    {proxy, client, server} = connected()
    Proxy.half_open(proxy)
    :gen_tcp.close(server)
    assert :gen_tcp.recv(client, 0, @while) == {:error, :timeout}
  end

  test "what was under way when a connection became half open is gone" do
    {proxy, client, server} = connected()
    Proxy.latency(proxy, 10 * @while)
    :ok = :gen_tcp.send(client, "hello")
    Proxy.half_open(proxy)
    assert :gen_tcp.recv(server, 0, 12 * @while) == {:error, :timeout}
  end

  test "a network that forgets passes new connections only, and closes none", %{echo: echo} do
    proxy = proxy(echo)
    old = connect(proxy)
    assert exchange(old, "hello") == "hello"
    Proxy.forget(proxy)
    assert proxy |> connect() |> exchange("hello") == "hello"
    :ok = :gen_tcp.send(old, "hello")
    assert :gen_tcp.recv(old, 0, @while) == {:error, :timeout}
    Proxy.restore(proxy)
    assert {:error, _} = :gen_tcp.recv(old, 0, @soon)
  end

  test "connections end with their proxy", %{echo: echo} do
    proxy = proxy(echo)
    socket = connect(proxy)
    assert exchange(socket, "hello") == "hello"
    :ok = GenServer.stop(proxy)
    assert :gen_tcp.recv(socket, 0, @soon) == {:error, :closed}
  end

  defp proxy(to, options \\ []) do
    {:ok, proxy} = Proxy.start_link([to: to] ++ options)
    proxy
  end

  defp listen do
    {:ok, listener} = :gen_tcp.listen(0, [ip: {127, 0, 0, 1}] ++ @options)
    {:ok, port} = :inet.port(listener)
    {listener, port}
  end

  defp connect(proxy) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, Proxy.port(proxy), @options, @soon)
    socket
  end

  # Sends it all while what comes back is read.
  # A client that has its way through a proxy, and the other end of it.
  defp connected do
    {listener, port} = listen()
    proxy = proxy(port)
    client = connect(proxy)
    {:ok, server} = :gen_tcp.accept(listener, @soon)
    {proxy, client, server}
  end

  defp exchange(socket, data) do
    sender = Task.async(fn -> :gen_tcp.send(socket, data) end)
    {:ok, back} = :gen_tcp.recv(socket, byte_size(data), @soon)
    :ok = Task.await(sender)
    back
  end

  # More than buffers hold.
  defp send_much(socket) do
    megabyte = :binary.copy("x", 1_000_000)

    Enum.reduce_while(1..30, :ok, fn _, :ok ->
      case :gen_tcp.send(socket, megabyte) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp round_trips(socket, count \\ 0) do
    :ok = :gen_tcp.send(socket, "hello")

    case :gen_tcp.recv(socket, 5, @soon) do
      {:ok, "hello"} -> round_trips(socket, count + 1)
      {:error, :econnreset} -> count
    end
  end

  # A server that sends back what it gets: its port.
  defp echo do
    {listener, port} = listen()
    spawn_link(fn -> echo(listener) end)
    port
  end

  defp echo(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)
    server = spawn_link(fn -> echo_back(socket) end)
    :ok = :gen_tcp.controlling_process(socket, server)
    echo(listener)
  end

  defp echo_back(socket) do
    with {:ok, data} <- :gen_tcp.recv(socket, 0), :ok <- :gen_tcp.send(socket, data) do
      echo_back(socket)
    end
  end
end
