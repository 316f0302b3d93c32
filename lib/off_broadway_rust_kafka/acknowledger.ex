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

  # One call stays far below a millisecond, so it needs no dirty scheduler. It is the blocks of 64 offsets that
  # count, in which the consumer keeps them.
  @most_per_call 500
  @block 64

  @typep ack_range ::
           {Native.slot(), Native.epoch(), first :: Native.offset(), last :: Native.offset()}

  @impl Broadway.Acknowledger
  @spec ack(Native.consumer(), [Message.t()], [Message.t()]) :: :ok
  def ack(consumer, successful, failed) do
    successful |> ranges(ranges(failed, [])) |> send_ranges(consumer, [], 0)
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

  @spec send_ranges([ack_range()], Native.consumer(), [ack_range()], non_neg_integer()) :: :ok
  defp send_ranges(acks, consumer, taken, blocks) when blocks >= @most_per_call do
    Native.ack_ranges(consumer, taken)
    send_ranges(acks, consumer, [], 0)
  end

  defp send_ranges([{_, _, first, last} = ack | acks], consumer, taken, blocks),
    do: send_ranges(acks, consumer, [ack | taken], blocks + 1 + div(last - first, @block))

  defp send_ranges([], _consumer, [], _blocks), do: :ok
  defp send_ranges([], consumer, taken, _blocks), do: Native.ack_ranges(consumer, taken)

  # Records that follow one another are one range.
  @spec ranges([Message.t()], [ack_range()]) :: [ack_range()]
  defp ranges([%{acknowledger: {_, _, {slot, epoch, offset}}} | messages], [
         {slot, epoch, first, last} | ranges
       ])
       when offset == last + 1,
       do: ranges(messages, [{slot, epoch, first, offset} | ranges])

  defp ranges([%{acknowledger: {_, _, {slot, epoch, offset}}} | messages], ranges)
       when is_integer(offset),
       do: ranges(messages, [{slot, epoch, offset, offset} | ranges])

  defp ranges([%{acknowledger: {_, _, {slot, epoch, of_chunk}}} | messages], ranges) do
    of_chunk = for {first, last} <- of_chunk, do: {slot, epoch, first, last}
    ranges(messages, of_chunk ++ ranges)
  end

  defp ranges([], ranges), do: ranges
end
