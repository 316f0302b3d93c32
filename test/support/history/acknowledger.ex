defmodule OffBroadwayRustKafka.History.Acknowledger do
  @moduledoc false
  # Writes acks down, and hands them on. What it is of it knows by the slot: handlers may replace
  # everything else.

  @behaviour Broadway.Acknowledger

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, History, Native}
  alias OffBroadwayRustKafka.History.{Sink, Spans}

  @typedoc "Where it is written, whose it is, and the places by slot."
  @type tag :: {Sink.t(), History.member(), :ets.tid()}
  @type ref :: {Native.consumer(), tag()}

  @spec wrap(Message.t(), tag()) :: Message.t()
  def wrap(%{acknowledger: {Acknowledger, consumer, data}} = message, tag),
    do: %{message | acknowledger: {__MODULE__, {consumer, tag}, data}}

  @doc "As it would be without a history."
  @spec unwrap(term()) :: term()
  def unwrap(%{acknowledger: {__MODULE__, {consumer, _tag}, data}} = message),
    do: %{message | acknowledger: {Acknowledger, consumer, data}}

  def unwrap(message), do: message

  @spec put_place(tag(), Native.slot(), History.place()) :: true
  def put_place({_, member, places}, slot, place),
    do: :ets.insert(places, {{member, slot}, place})

  @spec place(tag(), Native.slot()) :: History.place()
  def place({_, member, places}, slot), do: :ets.lookup_element(places, {member, slot}, 2)

  @impl Broadway.Acknowledger
  @spec ack(ref(), [Message.t()], [Message.t()]) :: :ok
  def ack({consumer, {sink, member, _} = tag}, successful, failed) do
    for(
      %{acknowledger: {_, _, {slot, epoch, acked}}} <- successful ++ failed,
      part <- List.wrap(acked),
      do: {{slot, epoch}, part}
    )
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Enum.each(fn {{slot, epoch}, offsets} ->
      Sink.write(sink, member, :acked, place(tag, slot), epoch, Spans.new(offsets))
    end)

    Acknowledger.ack(consumer, successful, failed)
  end

  @impl Broadway.Acknowledger
  @spec configure(ref(), term(), keyword()) :: {:ok, term()}
  def configure({consumer, _}, ack_data, options),
    do: Acknowledger.configure(consumer, ack_data, options)
end
