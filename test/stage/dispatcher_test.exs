defmodule OffBroadwayRustKafka.Stage.DispatcherTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.Stage.Dispatcher

  defp new do
    counter = Dispatcher.new_demand()
    {:ok, state} = Dispatcher.init(demand: counter)
    {counter, state}
  end

  defp subscribe(state) do
    from = {self(), make_ref()}
    {:ok, 0, state} = Dispatcher.subscribe([], from, state)
    {from, state}
  end

  defp ask(state, from, count) do
    {:ok, ^count, state} = Dispatcher.ask(count, from, state)
    state
  end

  test "what subscribers asked for is what is wanted, less what they got" do
    {counter, state} = new()
    {one, state} = subscribe(state)
    {two, state} = subscribe(state)
    state = state |> ask(one, 3) |> ask(two, 5)
    assert Dispatcher.demand(counter) == 8
    {:ok, [], _} = Dispatcher.dispatch([1, 2, 3, 4, 5, 6], 6, state)
    assert Dispatcher.demand(counter) == 2
    {_, ref} = two
    assert_received {:"$gen_consumer", {_, ^ref}, [1, 2, 3, 4, 5]}
    {_, ref} = one
    assert_received {:"$gen_consumer", {_, ^ref}, [6]}
  end

  test "what somebody asked for who is gone is not wanted any more" do
    {counter, state} = new()
    {one, state} = subscribe(state)
    {two, state} = subscribe(state)
    state = state |> ask(one, 3) |> ask(two, 5)
    {:ok, 0, state} = Dispatcher.cancel(two, state)
    assert Dispatcher.demand(counter) == 3
    {:ok, [4, 5], state} = Dispatcher.dispatch([1, 2, 3, 4, 5], 5, state)
    {:ok, 0, state} = Dispatcher.cancel(one, state)
    assert Dispatcher.demand(counter) == 0
    {:ok, [6], _} = Dispatcher.dispatch([6], 1, state)
  end

  test "a negative demand is told of and ignored" do
    {counter, state} = new()
    {one, state} = subscribe(state)
    state = ask(state, one, 2)

    log =
      capture_log(fn ->
        {:ok, 0, ^state} = Dispatcher.ask(-1, one, state)
      end)

    assert log =~ "expects a demand of 0 or more, got: -1"
    assert Dispatcher.demand(counter) == 2
  end

  test "those that want as much are served in turn" do
    {_counter, state} = new()
    {{_, one} = a, state} = subscribe(state)
    {{_, two} = b, state} = subscribe(state)
    state = state |> ask(a, 1) |> ask(b, 1)
    {:ok, [], state} = Dispatcher.dispatch([1], 1, state)
    state = ask(state, a, 1)
    {:ok, [], _state} = Dispatcher.dispatch([2], 1, state)
    assert_received {:"$gen_consumer", {_, ^one}, [1]}
    assert_received {:"$gen_consumer", {_, ^two}, [2]}
  end
end
