defmodule OffBroadwayRustKafka.History.Acknowledger do
  @moduledoc false
  # Writes acks down, and hands them on.

  @behaviour Broadway.Acknowledger

  alias OffBroadwayRustKafka.{Acknowledger, History, Native}
  alias OffBroadwayRustKafka.History.{Sink, Spans}

  @type ref :: {Native.consumer(), {Sink.t(), History.member()}}

  @impl Broadway.Acknowledger
  @spec ack(ref(), [Broadway.Message.t()], [Broadway.Message.t()]) :: :ok
  def ack({consumer, {sink, member}}, successful, failed) do
    (successful ++ failed)
    |> Enum.group_by(&{History.place(&1), epoch(&1)}, &offset/1)
    |> Enum.each(fn {{place, epoch}, offsets} ->
      Sink.write(sink, member, :acked, place, epoch, Spans.new(offsets))
    end)

    Acknowledger.ack(consumer, successful, failed)
  end

  @impl Broadway.Acknowledger
  @spec configure(ref(), term(), keyword()) :: {:ok, term()}
  def configure({consumer, _}, ack_data, options),
    do: Acknowledger.configure(consumer, ack_data, options)

  @spec epoch(Broadway.Message.t()) :: Native.epoch()
  defp epoch(%{acknowledger: {_, _, {_, epoch, _}}}), do: epoch

  @spec offset(Broadway.Message.t()) :: Native.offset()
  defp offset(%{acknowledger: {_, _, {_, _, offset}}}), do: offset
end
