defmodule OffBroadwayRustKafka.LeaksTest do
  # That a secret which leaks is found: else no test that finds none would say anything.
  use ExUnit.Case, async: false

  require Logger

  alias OffBroadwayRustKafka.Leaks

  @moduletag :capture_log

  @password "hunter2-in-clear-text"
  @key :crypto.strong_rand_bytes(600)
  @secrets %{"password" => @password, "key" => @key}

  defmodule Careless do
    use GenServer

    def start(secret), do: GenServer.start(__MODULE__, secret)

    @impl GenServer
    def init(secret), do: {:ok, secret}

    @impl GenServer
    def handle_call(:table, _from, secret) do
      table = :ets.new(__MODULE__, [:protected])
      :ets.insert(table, {:secret, secret})
      {:reply, table, secret}
    end
  end

  test "a secret is found however deep it is, and in whatever form" do
    pem = "-----BEGIN PRIVATE KEY-----\n#{Regex.replace(~r/.{64}/, Base.encode64(@key), "\\0\n")}"

    for {term, name} <- [
          {@password, "password"},
          {{:ok, [%{a: [b: "x" <> @password]}]}, "password"},
          {String.to_charlist("x" <> @password), "password"},
          {[?x, [@password | "y"]], "password"},
          {[:x, "y" | @password], "password"},
          {%{@password => 1}, "password"},
          {String.to_atom(@password), "password"},
          {%RuntimeError{message: @password}, "password"},
          {Base.encode64(@password), "password"},
          {@key, "key"},
          {{:RSAPrivateKey, @key}, "key"},
          {inspect(@key, limit: :infinity), "key"},
          {:binary.bin_to_list(@key), "key"},
          {pem, "key"}
        ] do
      assert {term, Leaks.found(term, @secrets)} == {term, [name]}
    end

    for term <- ["nothing", {:ok, fn -> @password end}, [], 1.5, self()],
        do: assert(Leaks.found(term, @secrets) == [])
  end

  test "a secret that is logged is found, also in what a process leaves that crashes, and in reports" do
    for leak <- [
          fn -> Logger.debug(@password) end,
          fn -> Logger.info("connected", reason: {:login, @password}) end,
          fn -> :logger.error(~c"~p", [{@password}]) end,
          fn -> crash(fn -> raise @password end) end,
          fn -> crash(fn -> Process.put(:secret, @password) || exit(:boom) end) end,
          fn -> crash(fn -> apply(String, :no_such_function, [@password]) end) end,
          fn -> supervise({:error, @password}) end,
          fn -> :logger.info(%{password: @password}, %{domain: [:otp, :sasl]}) end
        ] do
      leaks = Leaks.listen(@secrets)
      leak.()
      assert Leaks.found(leaks) != [], "not found: #{inspect(leak)}"
      for {_, secret} <- Leaks.found(leaks), do: assert(secret == "password")
      assert hd(Leaks.examples(leaks)) =~ @password
    end
  end

  test "a secret that a process, a table or a persistent term has is found, and in telemetry" do
    leaks = Leaks.listen(@secrets)
    {:ok, careless} = Careless.start({:pem, @key})
    Leaks.look(leaks)
    assert Enum.sort(Leaks.found(leaks)) == [{"state", "key"}, {"status", "key"}]
    GenServer.call(careless, :table)
    Leaks.look(leaks)
    assert {"table", "key"} in Leaks.found(leaks)
    dictionary = spawn(fn -> Process.put(:secret, @password) || receive(do: (:never -> :ok)) end)
    messages = spawn(fn -> receive(do: (:never -> :ok)) end)
    send(messages, {:secret, @password})
    Leaks.look(leaks)
    assert {"process", "password"} in Leaks.found(leaks)
    :persistent_term.put({__MODULE__, "Broadway"}, @password)
    Leaks.look(leaks)
    :persistent_term.erase({__MODULE__, "Broadway"})
    assert {"persistent term", "password"} in Leaks.found(leaks)

    for prefix <- [[:broadway, :topology, :init], [:off_broadway_rust_kafka, :error]],
        do: :telemetry.execute(prefix, %{}, %{config: [password: @password]})

    for place <- ["telemetry of broadway", "telemetry of off_broadway_rust_kafka"],
        do: assert({place, "password"} in Leaks.found(leaks))

    for pid <- [careless, dictionary, messages], do: Process.exit(pid, :kill)
  end

  test "what is looked at is counted, and what has no secret in it is not found" do
    leaks = Leaks.listen(@secrets)
    Logger.debug("nothing")
    Leaks.look(leaks)
    # Other tests log, too.
    assert %{"log line" => lines, "log metadata" => lines} = Leaks.seen(leaks)
    assert lines >= 1
    assert Leaks.found(leaks) == []
  end

  # It has reported its crash when it is gone.
  defp crash(fun) do
    pid = :proc_lib.spawn(fun)
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, _, _, _}
  end

  defp supervise(result) do
    Process.flag(:trap_exit, true)
    child = %{id: :careless, start: {Function, :identity, [result]}}
    {:error, _} = Supervisor.start_link([child], strategy: :one_for_one)
  end
end
