defmodule OffBroadwayRustKafka.OptionsPipelineTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Consumer, Producer}

  @moduletag :capture_log

  @secret "hunter2"

  defp broadway(producer, stages \\ []) do
    options =
      Keyword.merge([hosts: "127.0.0.1:1", group_id: "group", topics: ["orders"]], producer)

    Keyword.merge(
      [
        name: __MODULE__,
        producer: [module: {Producer, options}, concurrency: 3],
        processors: [default: [concurrency: 5, max_demand: 10]],
        batchers: []
      ],
      stages
    )
  end

  defp prepare(broadway) do
    {[{Consumer, consumer}], rewritten} = Producer.prepare_for_start(__MODULE__, broadway)
    {consumer, rewritten}
  end

  defp max_in_flight(producer \\ [], stages) do
    {consumer, _} = producer |> broadway(stages) |> prepare()
    consumer.config.().max_in_flight
  end

  test "the consumer gets the options, and a lane for each producer" do
    {consumer, _} =
      [
        hosts: [{"a", 1}, {"b", 2}],
        topics: ["orders", [name: "audit", offset_reset_policy: :earliest]],
        commit_interval: 0,
        drain_timeout: 500,
        max_in_flight: 77,
        chunk_size: 7,
        headers: false,
        config: ["client.id": "me"]
      ]
      |> broadway()
      |> prepare()

    assert consumer.group_id == "group"

    assert consumer.config.() == %{
             properties: [
               {"bootstrap.servers", "a:1,b:2"},
               {"group.id", "group"},
               {"client.id", "me"}
             ],
             topics: [{"orders", :latest}, {"audit", :earliest}],
             lanes: 3,
             commit_interval: 0,
             commit_threshold: nil,
             commit_by_hand: false,
             drain_timeout: 500,
             max_in_flight: 77,
             max_buffered_bytes: 67_108_864,
             chunk_size: 7,
             headers: false,
             unacked_timeout: 60_000,
             paused: {false, []}
           }
  end

  test "every processor and batcher is partitioned, unless the user did it" do
    own = fn _message -> 0 end

    {_, rewritten} =
      []
      |> broadway(
        processors: [default: [concurrency: 5, max_demand: 10]],
        batchers: [a: [batch_size: 10], b: [batch_size: 10, partition_by: own]]
      )
      |> prepare()

    assert is_function(rewritten[:processors][:default][:partition_by], 1)
    assert is_function(rewritten[:batchers][:a][:partition_by], 1)
    assert rewritten[:batchers][:b][:partition_by] == own
    assert rewritten[:batchers][:a][:batch_size] == 10
  end

  test "options are refused before anything starts, whoever knows better" do
    for {options, expected} <- [
          {[topics: []], ~r/OffBroadwayRustKafka.Producer.*:topics option/},
          {[config: ["client.idd": "me"]],
           ~r/OffBroadwayRustKafka.Producer.*unknown librdkafka property "client.idd"/},
          {[config: ["session.timeout.ms": "soon"]],
           ~r/OffBroadwayRustKafka.Producer.*invalid value "soon".*"session.timeout.ms"/}
        ] do
      assert_raise ArgumentError, expected, fn -> options |> broadway() |> prepare() end
    end
  end

  test "no property's value is left where telemetry, crash reports or a state could show it" do
    {consumer, rewritten} = [config: ["sasl.password": @secret]] |> broadway() |> prepare()

    assert {"sasl.password", @secret} in consumer.config.().properties
    assert shown(rewritten) =~ "127.0.0.1:1"
    refute shown(rewritten) =~ @secret
    refute shown(Consumer.child_spec(consumer)) =~ @secret

    pid = start_supervised!({Consumer, consumer})
    refute shown(:sys.get_status(pid)) =~ @secret
    refute shown(Process.info(pid)) =~ @secret
  end

  test "no secret of another connector's options is left there either" do
    {consumer, rewritten} =
      [
        client_config: [
          sasl: {:scram_sha_256, "me", @secret},
          ssl: [password: @secret, key: {:RSAPrivateKey, @secret}, certfile: "me.pem"]
        ]
      ]
      |> broadway()
      |> prepare()

    assert {"sasl.password", @secret} in consumer.config.().properties
    refute shown(rewritten) =~ @secret
    refute shown(rewritten) =~ Base.encode64(@secret)
    refute shown(Consumer.child_spec(consumer)) =~ @secret
  end

  test "a secret that is a function is asked for each time that the member starts" do
    calls = :counters.new(1, [])

    password = fn ->
      :counters.add(calls, 1, 1)
      "secret-#{:counters.get(calls, 1)}"
    end

    {consumer, _} = [client_config: [sasl: {:plain, "me", password}]] |> broadway() |> prepare()

    passwords = for _ <- 1..2, do: List.keyfind(consumer.config.().properties, "sasl.password", 0)

    assert [{_, "secret-" <> _} = one, {_, "secret-" <> _} = two] = passwords
    assert one != two
  end

  defp shown(term),
    do: inspect(term, limit: :infinity, printable_limit: :infinity, structs: false)

  describe "the default of max_in_flight" do
    test "is what a processor asks for and half of what the others do" do
      assert max_in_flight(processors: [default: [concurrency: 5, max_demand: 10]]) == 30
      assert max_in_flight(processors: [default: [concurrency: 1, max_demand: 1]]) == 1
    end

    test "is at least what a processor asks for and two batches of every batcher" do
      assert max_in_flight(batchers: [a: [batch_size: 5]]) == 30

      assert max_in_flight(
               batchers: [
                 a: [batch_size: 100, concurrency: 4],
                 b: [batch_size: {0, fn _, n -> {:emit, n} end}, max_demand: 50]
               ]
             ) == 10 + 200 + 100
    end

    test "takes in all stages when the user's own partition_by may use them all" do
      own = fn _message -> 0 end

      assert max_in_flight(
               processors: [default: [concurrency: 5, max_demand: 10, partition_by: own]],
               batchers: [a: [batch_size: 100, concurrency: 4, partition_by: own]]
             ) == 100 + 800
    end

    test "is as many records as its chunks may carry" do
      assert max_in_flight([chunk_size: 500],
               processors: [default: [concurrency: 5, max_demand: 10]]
             ) == 30 * 500
    end

    test "gives way to the option" do
      assert max_in_flight([max_in_flight: 5], batchers: [a: [batch_size: 100]]) == 5
    end
  end
end
