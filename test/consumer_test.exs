defmodule OffBroadwayRustKafka.ConsumerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Consumer, Error, Native, Producer, Telemetry}

  @shutdown_ms 1

  # What its member says goes to the test, as does what it tells by telemetry.
  defp start_consumer do
    name = make_ref()
    handler = {__MODULE__, name}
    config = %{test: self(), name: name}
    :ok = :telemetry.attach_many(handler, Telemetry.events(), &__MODULE__.telemetry/4, config)
    on_exit(fn -> :telemetry.detach(handler) end)
    arg = arg(name)
    {:ok, pid} = Consumer.start_link(arg)
    Process.unlink(pid)
    {:ok, elsewhere} = Native.start(arg.config.())
    :sys.replace_state(pid, &%{&1 | consumer: elsewhere})
    pid
  end

  test "a stop waits no longer than :shutdown and two seconds for a member that says nothing, and tells of it" do
    pid = start_consumer()

    log =
      capture_log(fn ->
        {micros, :ok} = :timer.tc(fn -> GenServer.stop(pid) end)
        # And another two for a busy machine; without a bound it would be ten.
        assert micros < (@shutdown_ms + 4_000) * 1_000
      end)

    assert_received {:off_broadway_rust_kafka, {:closed, _}}
    assert_received {:closed, %{count: 1}, %{error: %Error{code: :timed_out}}}
    assert log =~ "closed, not cleanly: timed_out: "
  end

  @tag :capture_log
  test "statistics that come while a member closes harm nothing" do
    pid = start_consumer()
    stop = Task.async(fn -> GenServer.stop(pid) end)
    assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 5_000
    send(pid, {:off_broadway_rust_kafka, {:statistics, "{}"}})
    send(pid, {:off_broadway_rust_kafka, {:closed, :ok}})
    assert Task.await(stop) == :ok
    assert_received {:closed, %{count: 1}, %{error: nil}}
  end

  defp arg(name) do
    broadway = [
      name: __MODULE__,
      shutdown: @shutdown_ms,
      producer: [module: {Producer, [hosts: "127.0.0.1:1", group_id: "g", topics: ["orders"]]}],
      processors: [default: []]
    ]

    {[{Consumer, arg}], _} = Producer.prepare_for_start(__MODULE__, broadway)
    %{arg | name: name}
  end

  @doc false
  def telemetry([_, event], measurements, %{name: name} = metadata, %{test: test, name: name}),
    do: send(test, {event, measurements, metadata})

  def telemetry(_event, _measurements, _metadata, _config), do: :ok
end
