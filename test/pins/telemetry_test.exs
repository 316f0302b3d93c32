defmodule Pins.TelemetryTest do
  use ExUnit.Case, async: true

  @moduletag :capture_log

  def forward(event, measurements, metadata, test) do
    send(test, {event, measurements, metadata})
  end

  def fail(_event, _measurements, _metadata, _config), do: raise("a failing handler")

  setup do
    id = make_ref()
    on_exit(fn -> :telemetry.detach(id) end)
    %{id: id}
  end

  test "a handler gets the events it is attached to, until detached", %{id: id} do
    assert :ok =
             :telemetry.attach_many(id, [[:pin, :a], [:pin, :b]], &__MODULE__.forward/4, self())

    assert {:error, :already_exists} =
             :telemetry.attach(id, [:pin, :c], &__MODULE__.forward/4, nil)

    :ok = :telemetry.execute([:pin, :a], %{count: 1}, %{name: "x"})
    :ok = :telemetry.execute([:pin, :other], %{count: 2}, %{})
    :ok = :telemetry.execute([:pin, :b], %{count: 3})
    assert_received {[:pin, :a], %{count: 1}, %{name: "x"}}
    assert_received {[:pin, :b], %{count: 3}, %{}}
    refute_received {[:pin, :other], _, _}

    assert :ok = :telemetry.detach(id)
    assert {:error, :not_found} = :telemetry.detach(id)
    :telemetry.execute([:pin, :a], %{count: 4}, %{})
    refute_received {[:pin, :a], _, _}
  end

  test "a handler that raises is detached, and whoever emits does not notice", %{id: id} do
    :telemetry.attach(id, [:pin, :raise], &__MODULE__.fail/4, nil)
    assert :ok = :telemetry.execute([:pin, :raise], %{}, %{})
    assert {:error, :not_found} = :telemetry.detach(id)
  end
end
