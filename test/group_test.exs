defmodule OffBroadwayRustKafka.GroupUnitTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Group.{Callbacks, Pipeline, Tree, Uses}

  defmodule Own do
    use OffBroadwayRustKafka, per: :topic

    @impl OffBroadwayRustKafka
    def kafka_config(config), do: config

    @impl OffBroadwayRustKafka
    def broadway_config(_opts, _topic, nil), do: []

    @impl Broadway
    def handle_message(_processor, message, _context), do: message

    def start_link(:of_my_own), do: :ignore
    def start_link(init_args), do: super(init_args)
  end

  test "what is defined may be overridden, and is a supervisor's child by its name" do
    assert Own.start_link(:of_my_own) == :ignore
    assert %{id: Own, type: :supervisor} = Own.child_spec(7)
    assert %{start: {module, name, arguments}} = Own.child_spec(:of_my_own)
    assert apply(module, name, arguments) == :ignore
    assert %{id: :mine} = Own.child_spec(name: :mine)
    assert {:error, error} = Own.start_link(name: "text")
    assert Exception.message(error) =~ ~s(expects :name to be an atom, {:global, term} or)
    assert Exception.message(error) =~ ~s(got: "text")
  end

  for {options, said} <- [
        {[per: :record], "expected :per to be :partition, :topic or :group, got: :record"},
        {[per: :topic, per: :group], "unknown or repeated option :per"},
        {[concurrency: 2], "unknown or repeated option :concurrency"},
        {[on_crash: :panic], "expected :on_crash to be :set_aside or :stop, got: :panic"},
        {[max_restarts: -1], "expected :max_restarts to be 0 or a positive integer, got: -1"},
        {[max_seconds: 0], "expected :max_seconds to be a positive integer, got: 0"},
        {[broadway: "Handler"], ~s(expected :broadway to be a module, got: "Handler")},
        {:rubbish, "expected a keyword list, got: :rubbish"}
      ] do
    test "use OffBroadwayRustKafka refuses #{inspect(options)}" do
      error = assert_raise ArgumentError, fn -> Uses.new!(unquote(options), Own) end
      assert error.message =~ unquote(said)
      assert error.message =~ "use OffBroadwayRustKafka"
    end
  end

  defmodule Theirs do
    use OffBroadwayRustKafka, broadway: Own

    @impl OffBroadwayRustKafka
    def kafka_config(args), do: answer(args[:how], args)

    @impl OffBroadwayRustKafka
    def broadway_config(args, _topic, _partition), do: answer(args[:how], args)

    defp answer("that lacks an option", args), do: Keyword.fetch!(args, :hosts)
    defp answer("that has no clause for it", args), do: answer("one", "two", args)
    defp answer("that throws", args), do: throw(args)
    defp answer("that exits", args), do: exit(args)
    defp answer("of a map", args), do: Map.new(args)
    defp answer("of a list", args), do: [7 | args]
    defp answer("of an atom", _args), do: :rubbish

    defp answer("one", "one", args), do: args
  end

  @secret "hunter2-in-clear-text"

  for {how, said} <- [
        {"that lacks an option", "raised KeyError at"},
        {"that has no clause for it", "raised FunctionClauseError at test/group_test.exs:"},
        {"that throws", "threw at test/group_test.exs:"},
        {"that exits", "exited at test/group_test.exs:"},
        {"of a map", "got: another term (not shown)"},
        {"of a list", "got: another term (not shown)"},
        {"of an atom", "got: :rubbish"}
      ] do
    test "an answer #{how} is told of by the callback's name, and no secret that it was given" do
      args = [how: unquote(how), "sasl.password": @secret]

      for {answer, callback} <- [
            {Theirs.start_link(args), "kafka_config/1 "},
            {Callbacks.broadway_config(Theirs, args, "orders", 0), "broadway_config/3 "}
          ] do
        assert {:error, error} = answer
        assert error.message =~ "#{inspect(Theirs)}.#{callback}"
        assert error.message =~ unquote(said)
        refute inspect(error) =~ @secret
      end
    end
  end

  test "Broadway's callbacks are the module's own, unless another is named" do
    assert Uses.new!([], Own).broadway == Own
    assert Uses.new!([broadway: Other], Own).broadway == Other
  end

  test "each pipeline has a name that says whose and what it is" do
    assert Pipeline.name(MyApp.Orders, {:partition, "orders", 3}) == :"MyApp.Orders.orders.3"
    assert Pipeline.name(MyApp.Orders, {:topic, "orders"}) == :"MyApp.Orders.orders"
    assert Pipeline.name(MyApp.Orders, :all) == :"MyApp.Orders.Pipeline"
    assert Pipeline.name({:global, {:a, 1}}, :all) == :"{:a, 1}.Pipeline"
  end

  # A supervisor that waits for a child that does not listen.
  test "a tree is killed whole, whoever waits for whom, and nobody who is only linked to it" do
    test = self()
    friend = spawn(fn -> Process.sleep(:infinity) end)

    child = fn ->
      Process.flag(:trap_exit, true)
      Process.link(friend)
      send(test, {:child, self()})
      Process.sleep(:infinity)
    end

    spec = %{id: 1, start: {Task, :start_link, [child]}, shutdown: :infinity}
    {:ok, top} = Supervisor.start_link([spec], strategy: :one_for_one)
    assert_receive {:child, pid}
    assert Enum.sort(Tree.of(top)) == Enum.sort([top, pid])

    Process.unlink(top)
    ref = Process.monitor(pid)
    Process.exit(top, :shutdown)
    Tree.kill([top])
    assert_receive {:DOWN, ^ref, _, _, :killed}
    refute Process.alive?(top)
  end
end
