defmodule OffBroadwayRustKafka.PaceTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Error

  @rubbish [
    pause: [nil, [], "orders", [:orders], [{"orders", -1}], [{"orders", "0"}], [{"", 0}]],
    resume: [:some, %{}, [{"orders", 0} | :rest], [{"orders", 0, 0}], [~c"orders"]],
    seek: [
      :all,
      [],
      [{"orders", 0}],
      [{"orders", 0, -1}],
      [{"orders", 0, :latest}],
      [{"orders", 0, {:timestamp, "now"}}],
      [{"a/b", 0, 1}]
    ],
    update_topics: [[], "orders", [:orders], [[offset_reset_policy: :latest]], ["a", "a"]]
  ]

  for {function, arguments} <- @rubbish, argument <- arguments do
    test "#{function}/2 refuses #{inspect(argument)}, and says what it expects" do
      argument = unquote(Macro.escape(argument))

      error =
        assert_raise ArgumentError, fn ->
          apply(OffBroadwayRustKafka, unquote(function), [__MODULE__, argument])
        end

      assert error.message =~ "OffBroadwayRustKafka.#{unquote(function)}/2"
      assert error.message =~ "expected" or error.message =~ "expects"
      assert error.message =~ inspect(argument) or error.message =~ inspect(hd(argument))
    end
  end

  test "seek/2 refuses a partition that is named twice" do
    message = ~s(expects each partition once, got {"orders", 0} more than once)

    assert_raise ArgumentError, ~r/#{Regex.escape(message)}/, fn ->
      OffBroadwayRustKafka.seek(__MODULE__, [{"orders", 0, 1}, {"orders", 0, :end}])
    end
  end

  @calls [
    pause: [:all],
    pause: [["orders"]],
    resume: [:all],
    seek: [[{"orders", 0, 1}]],
    update_topics: [["orders"]]
  ]

  for {function, arguments} <- @calls do
    test "#{function}/2 with #{inspect(arguments)} says that there is no such pipeline" do
      arguments = unquote(Macro.escape(arguments))
      call = fn name -> apply(OffBroadwayRustKafka, unquote(function), [name | arguments]) end
      assert {:error, %Error{code: :no_pipeline}} = call.(__MODULE__)
      agent = start_supervised!({Agent, fn -> nil end})
      assert {:error, %Error{code: :no_member}} = call.(agent)
      assert_raise ArgumentError, ~r/#{unquote(function)}\/2 expects/, fn -> call.("orders") end
    end
  end
end
