defmodule OffBroadwayRustKafka.ConsumerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Consumer, Error, Native, Producer, Telemetry}

  @shutdown_ms 1

  test "a stop waits no longer than :shutdown and two seconds for a member that says nothing, and tells of it" do
    name = make_ref()
    handler = {__MODULE__, name}
    config = %{test: self(), name: name}
    :ok = :telemetry.attach_many(handler, Telemetry.events(), &__MODULE__.telemetry/4, config)
    on_exit(fn -> :telemetry.detach(handler) end)
    arg = arg(name)
    {:ok, pid} = Consumer.start_link(arg)
    Process.unlink(pid)
    # What this one says goes to the test.
    {:ok, elsewhere} = Native.start(arg.config.())
    :sys.replace_state(pid, &%{&1 | consumer: elsewhere})

    log =
      capture_log(fn ->
        {micros, :ok} = :timer.tc(fn -> GenServer.stop(pid) end)
        assert micros < (@shutdown_ms + 2_000) * 1_000
      end)

    assert_received {:off_broadway_rust_kafka, {:closed, _}}
    assert_received {:closed, %{count: 1}, %{error: %Error{code: :timed_out}}}
    assert log =~ "closed, not cleanly: timed_out: "
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
