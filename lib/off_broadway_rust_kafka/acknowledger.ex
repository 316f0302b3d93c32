defmodule OffBroadwayRustKafka.Acknowledger do
  @moduledoc """
  Hands acks to the consumer, from whichever process acks.

  Successful and failed messages count alike: both let the committed offset advance, so a failed
  message is not delivered again. Do with it what must be done in `c:Broadway.handle_failed/2`.

  An ack says which slot, epoch and offset it is for. It is idempotent, and an ack from before a
  rebalance changes nothing. That of a chunk says from which offset to which, and is for all that was
  delivered there. It has no options: `Broadway.Message.configure_ack/2` refuses any.
  """

  @behaviour Broadway.Acknowledger

  alias Broadway.Message
  alias OffBroadwayRustKafka.Native

  require Logger

  # One call stays far below a millisecond, so it needs no dirty scheduler. Of ranges it is the blocks
  # of 64 offsets that count, in which the consumer keeps them.
  @most_per_call 500
  @block 64

  @typep ack_range ::
           {Native.slot(), Native.epoch(), first :: Native.offset(), last :: Native.offset()}

  @impl Broadway.Acknowledger
  @spec ack(Native.consumer(), [Message.t()], [Message.t()]) :: :ok
  def ack(consumer, successful, failed) do
    if chunks?(successful, failed),
      do: send_ranges(ranges(successful) ++ ranges(failed), consumer, [], 0),
      else: send_acks(successful, failed, consumer, [], 0)
  rescue
    # Broadway would fail the whole stage's messages for the sake of one malformed ack.
    error ->
      Logger.error("messages could not be acknowledged: " <> Exception.message(error))
      :ok
  end

  @impl Broadway.Acknowledger
  @spec configure(Native.consumer(), term(), keyword()) :: {:ok, term()}
  def configure(_consumer, ack_data, []), do: {:ok, ack_data}

  def configure(_consumer, _ack_data, options) do
    raise ArgumentError,
          "#{inspect(__MODULE__)} has no options to configure, got: #{inspect(options)}"
  end

  @spec send_acks([Message.t()], [Message.t()], Native.consumer(), list(), non_neg_integer()) ::
          :ok
  defp send_acks(messages, later, consumer, acks, @most_per_call) do
    Native.ack(consumer, acks)
    send_acks(messages, later, consumer, [], 0)
  end

  defp send_acks([%{acknowledger: {_, _, ack}} | messages], later, consumer, acks, count),
    do: send_acks(messages, later, consumer, [ack | acks], count + 1)

  defp send_acks([], [_ | _] = later, consumer, acks, count),
    do: send_acks(later, [], consumer, acks, count)

  defp send_acks([], [], _consumer, [], 0), do: :ok
  defp send_acks([], [], consumer, acks, _count), do: Native.ack(consumer, acks)

  # A pipeline's messages are either all chunks or all records.
  @spec chunks?([Message.t()], [Message.t()]) :: boolean()
  defp chunks?([%{acknowledger: {_, _, {_, _, ranges}}} | _], _failed), do: is_list(ranges)
  defp chunks?([], [_ | _] = failed), do: chunks?(failed, [])
  defp chunks?(_, _), do: false

  @spec send_ranges([ack_range()], Native.consumer(), [ack_range()], non_neg_integer()) :: :ok
  defp send_ranges(acks, consumer, taken, blocks) when blocks >= @most_per_call do
    Native.ack_ranges(consumer, taken)
    send_ranges(acks, consumer, [], 0)
  end

  defp send_ranges([{_, _, first, last} = ack | acks], consumer, taken, blocks),
    do: send_ranges(acks, consumer, [ack | taken], blocks + 1 + div(last - first, @block))

  defp send_ranges([], _consumer, [], _blocks), do: :ok
  defp send_ranges([], consumer, taken, _blocks), do: Native.ack_ranges(consumer, taken)

  @spec ranges([Message.t()]) :: [ack_range()]
  defp ranges(messages) do
    for %{acknowledger: {_, _, {slot, epoch, ranges}}} <- messages,
        {first, last} <- ranges,
        do: {slot, epoch, first, last}
  end
end
