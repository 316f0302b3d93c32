defmodule OffBroadwayRustKafka.Periodic do
  @moduledoc false
  # What is told once per `:telemetry_interval`: what pulls brought, and how far each partition is
  # behind. An event for each pull would cost a fast pipeline, also where nobody listens.

  alias OffBroadwayRustKafka.{Native, Telemetry}

  @enforce_keys [:interval_ms, :told_ms]
  defstruct @enforce_keys ++ [pulled: {0, 0, 0, 0}]

  @type t :: %__MODULE__{
          interval_ms: pos_integer() | nil,
          told_ms: integer(),
          pulled: Native.pulled()
        }

  @doc "Begins an interval, at whose end this process gets the message."
  @spec new(interval_ms :: pos_integer() | nil, message :: term()) :: t()
  def new(interval_ms, message) do
    periodic = %__MODULE__{interval_ms: interval_ms, told_ms: now()}
    next(periodic, message)
    periodic
  end

  @doc "Tells of the interval that has ended, and begins the next."
  @spec tell(t(), Native.consumer(), context :: map(), message :: term()) :: t()
  def tell(periodic, consumer, context, message) do
    next(periodic, message)
    now = now()
    pulled = Native.pulled(consumer)
    Telemetry.emit({:pulled, less(pulled, periodic.pulled), now - periodic.told_ms}, context)
    # One that is closed, or too busy to answer, has no lag to tell.
    with {:ok, progress} <- Native.progress(consumer),
         do: Enum.each(progress, &Telemetry.emit({:lag, &1}, context))

    %{periodic | told_ms: now, pulled: pulled}
  end

  @spec next(t(), term()) :: :ok
  defp next(%{interval_ms: nil}, _message), do: :ok

  defp next(%{interval_ms: interval_ms}, message) do
    Process.send_after(self(), message, interval_ms)
    :ok
  end

  @spec less(Native.pulled(), Native.pulled()) :: Native.pulled()
  defp less({pulls, records, bytes, us}, {pulls_before, records_before, bytes_before, us_before}),
    do: {pulls - pulls_before, records - records_before, bytes - bytes_before, us - us_before}

  @spec now() :: integer()
  defp now, do: System.monotonic_time(:millisecond)
end
