defmodule OffBroadwayRustKafka.ErrorTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Error

  test "an error keeps all that the consumer reported" do
    reported = {:unknown_topic_or_part, "no such topic", true, false, "orders", 3}

    assert Error.from_native(reported) == %Error{
             code: :unknown_topic_or_part,
             message: "no such topic",
             retryable?: true,
             fatal?: false,
             topic: "orders",
             partition: 3
           }
  end

  test "an error can be raised, and its message says what it is about" do
    for {topic, partition, message} <- [
          {nil, nil, "all_brokers_down: 1/1 brokers are down"},
          {"orders", nil, ~s[all_brokers_down: 1/1 brokers are down (topic "orders")]},
          {"orders", 3, ~s[all_brokers_down: 1/1 brokers are down (topic "orders", partition 3)]}
        ] do
      reported = {:all_brokers_down, "1/1 brokers are down", true, false, topic, partition}
      assert_raise Error, message, fn -> raise Error.from_native(reported) end
    end
  end
end
