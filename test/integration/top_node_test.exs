defmodule OffBroadwayRustKafka.MixTopNodeTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias Mix.Tasks.OffBroadwayRustKafka.Top
  alias OffBroadwayRustKafka.Peer

  @cookie "a-cookie-of-their-own"

  test "a node that runs elsewhere is looked into, by its cookie only", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 3)
    pipeline = TestPipeline.new(name: __MODULE__.Pipeline)
    name = String.to_charlist(random_name("top"))
    {app, node} = Peer.start(name: name, args: [~c"-setcookie", String.to_charlist(@cookie)])
    :ok = Peer.run(app, TestPipeline.broadway(pipeline, kafka, [topic], tell: false))
    await_committed(kafka, pipeline.group, each(topic, 2, 3))
    argv = ["--once", "--interval", "0.1", "--node", "#{node}", "--cookie"]

    {stranger, _} = Peer.start()
    assert Peer.task(stranger, Top, argv ++ ["another"]) =~ "#{node} cannot be reached"

    # A line is cut at its end, and the name of a host may be long.
    {own, _} = Peer.start(env: [{~c"COLUMNS", ~c"200"}])

    [summary, _titles, first, second, ""] =
      own |> Peer.task(Top, argv ++ [@cookie]) |> String.split("\n")

    assert summary =~ "2 partitions, rate 0/s, lag 0, unacked 0, 0 stuck  #{node}"
    for line <- [first, second], do: assert(line =~ ~r/ 0 +0 +0 +- +3 /)
    # A hidden one is not among them.
    assert Peer.call(app, :erlang, :nodes, []) == []
  end
end
