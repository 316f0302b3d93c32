defmodule OffBroadwayRustKafka.OnFatalTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Error, OnFatal}
  alias OffBroadwayRustKafka.Error.Remedy

  defp error(code, ended?),
    do: Error.from_native({code, "something is wrong", true, ended?, nil, nil})

  # The verdicts on errors, one after another, each `{time, code}` or `{time, code, :ended}`.
  defp verdicts(choice, told) do
    {verdicts, _} =
      Enum.map_reduce(told, OnFatal.new(choice), fn told, on_fatal ->
        ended? = tuple_size(told) == 3
        OnFatal.judge(on_fatal, error(elem(told, 1), ended?), ended?, elem(told, 0))
      end)

    for verdict <- verdicts do
      with {:stop, error} <- verdict, do: {:stop, error.code}
    end
  end

  test "what passes with time changes nothing, whatever :on_fatal says" do
    for choice <- [:retry, :stop],
        code <- [:transport, :all_brokers_down, :unknown_topic_or_part, :not_coordinator] do
      assert verdicts(choice, [{0, code}]) == [:go_on]
    end
  end

  test "by :retry it goes on, and a member that ended starts again" do
    for code <- Remedy.fatal_codes() -- [:fenced_instance_id] do
      assert verdicts(:retry, [{0, code}, {1, code, :ended}]) == [:go_on, :start_again]
    end
  end

  test "by :stop it ends, once, at what the brokers refused" do
    for code <- Remedy.fatal_codes() -- [:fenced_instance_id, :authentication, :ssl] do
      assert verdicts(:stop, [{0, code}, {1, code}, {2, :fatal, :ended}]) ==
               [{:stop, code}, :go_on, :go_on]
    end

    assert verdicts(:stop, [{0, :invalid_request, :ended}]) == [{:stop, :invalid_request}]
  end

  test "a handshake that failed ends it only when no broker is left that lets it in" do
    for code <- [:authentication, :ssl] do
      assert verdicts(:stop, [{0, code}, {30_000, code}]) == [:go_on, :go_on]

      assert verdicts(:stop, [{0, code}, {1, :all_brokers_down}, {2, :all_brokers_down}]) ==
               [:go_on, {:stop, code}, :go_on]

      assert verdicts(:stop, [{0, code}, {60_000, :all_brokers_down}]) == [:go_on, :go_on]
    end
  end

  test "a member that was fenced never comes back, as it would fence the other in turn" do
    for choice <- [:retry, :stop] do
      assert verdicts(choice, [{0, :fenced_instance_id, :ended}]) == [:go_on]
    end
  end

  test "what ends when another member leaves is waited for" do
    for choice <- [:retry, :stop], code <- [:unreleased_instance_id, :group_max_size_reached] do
      assert verdicts(choice, [{0, code, :ended}]) == [:start_again]
    end
  end
end
