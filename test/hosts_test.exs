defmodule OffBroadwayRustKafka.HostsTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Hosts

  for {hosts, parsed} <- [
        {"kafka-1:9092", ["kafka-1:9092"]},
        {"kafka-1:9092,kafka-2:9093", ["kafka-1:9092", "kafka-2:9093"]},
        {"kafka-1:9092, kafka-2:9093 ", ["kafka-1:9092", "kafka-2:9093"]},
        {"localhost", ["localhost:9092"]},
        {"my_kafka.internal:19092", ["my_kafka.internal:19092"]},
        {"10.0.0.1:9092", ["10.0.0.1:9092"]},
        {"[::1]:9092,[fe80::1]", ["[::1]:9092", "[fe80::1]:9092"]},
        {~c"kafka-1:9092,kafka-2", ["kafka-1:9092", "kafka-2:9092"]},
        {["kafka-1:9092", "kafka-2:9093"], ["kafka-1:9092", "kafka-2:9093"]},
        {["kafka-1:9092,kafka-2:9093", ~c"kafka-3"],
         ["kafka-1:9092", "kafka-2:9093", "kafka-3:9092"]},
        {[:localhost], ["localhost:9092"]},
        {[localhost: 9092, "kafka-2": 9093], ["localhost:9092", "kafka-2:9093"]},
        {[{"kafka-1", 9092}, {~c"kafka-2", 9093}, {:kafka, 9094}],
         ["kafka-1:9092", "kafka-2:9093", "kafka:9094"]},
        {[{"kafka-1", 9092}, "kafka-2:9093"], ["kafka-1:9092", "kafka-2:9093"]},
        {{"kafka-1", 9092}, ["kafka-1:9092"]},
        {[{"kafka-1", "9092"}], ["kafka-1:9092"]},
        {[{"::1", 9092}, {"[::1]", 9093}], ["[::1]:9092", "[::1]:9093"]},
        {[{{127, 0, 0, 1}, 9092}, {{0, 0, 0, 0, 0, 0, 0, 1}, 9093}],
         ["127.0.0.1:9092", "[::1]:9093"]},
        {["kafka:9092", "kafka:9092"], ["kafka:9092"]}
      ] do
    test "takes #{inspect(hosts)}" do
      assert Hosts.parse(unquote(Macro.escape(hosts))) == {:ok, unquote(parsed)}
    end
  end

  for {hosts, expected} <- [
        {[], "expected at least one host"},
        {"", "expected at least one host"},
        {nil, "got: nil"},
        {9092, "got: 9092"},
        {%{"kafka" => 9092}, ~s(got: %{"kafka" => 9092})},
        {[nil], "got the entry: nil"},
        {[["kafka:9092"]], ~s(got the entry: ["kafka:9092"])},
        {[{"kafka", 9092} | :rest], "got: [{\"kafka\", 9092} | :rest]"},
        {[104, :a], "got: [104, :a]"},
        {"kafka:9092,", ~s(expected a host name or an address, got: "")},
        {"kafka:", ~s(port between 1 and 65535, got: "", in the entry: "kafka:")},
        {"kafka:0", ~s(port between 1 and 65535, got: "0")},
        {"kafka:65536", ~s(port between 1 and 65535, got: "65536")},
        {"kafka:90x", ~s(port between 1 and 65535, got: "90x")},
        {[{"kafka", -1}], ~s(port between 1 and 65535, got: -1, in the entry: {"kafka", -1})},
        {[kafka: nil], "port between 1 and 65535, got: nil"},
        {[{"kafka", 9092, :ssl}],
         ~s(expected {host, port}, got the entry: {"kafka", 9092, :ssl})},
        {[{nil, 9092}], "expected a host name or an address, got: nil"},
        {[{{999, 0, 0, 1}, 9092}], "got: {999, 0, 0, 1}"},
        {[{[0x1F600], 9092}], "got: [128512]"},
        {"ka fka:9092", ~s(got: "ka fka")},
        {"::1", "IPv6 address in brackets"},
        {"[zz]:9092", ~s(got: "[zz]")},
        {"SASL_SSL://kafka:9092", ~s("security.protocol" in :config)}
      ] do
    test "refuses #{inspect(hosts)} and quotes what is wrong with it" do
      assert {:error, message} = Hosts.parse(unquote(Macro.escape(hosts)))
      assert message =~ unquote(expected)
    end
  end
end
