defmodule OffBroadwayRustKafka.NetworkTest do
  use OffBroadwayRustKafka.ClusterCase

  @partitions 8

  test "a network that is cut and mended costs no record", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions, replication: 3)
    {behind, proxies} = Brokers.proxied()
    pipeline = TestPipeline.start(behind, [topic])
    await_assigned(pipeline, @partitions)
    source = Source.start(kafka, topic, @partitions)
    before = handled(pipeline, 200)

    for {_id, proxy} <- proxies, do: Proxy.cut(proxy)
    %{name: name} = pipeline
    assert_receive {:telemetry, ^name, :error, _, %{error: %{code: :all_brokers_down}}}, 10_000
    for {_id, proxy} <- proxies, do: Proxy.restore(proxy)
    again = handled(pipeline, 200)

    ends = Source.stop(source)
    await_committed(kafka, pipeline.group, ends, 60_000)
    assert_exact(before ++ again ++ stop(pipeline), each(topic, @partitions, 0), ends)
  end
end
