defmodule OffBroadwayRustKafka.Error do
  @moduledoc """
  What Kafka, librdkafka or the consumer itself reported, as a value and as an exception.

    * `:code` - librdkafka's name of the error in lower case, without its leading underscore
      (`:unknown_topic_or_part`, `:all_brokers_down`), or one of our own: `:closed`,
      `:invalid_config`, `:invalid_lane`, `:unacked_timeout`
    * `:message` - the reason in words
    * `:retryable?` - the same may succeed later; the consumer goes on trying by itself
    * `:fatal?` - the member cannot go on and gave up its partitions. It starts again after five
      seconds; but not one that was fenced (`:fenced_instance_id`), as another has taken its place:
      that one delivers nothing more until the pipeline restarts
    * `:topic`, `:partition` - what it is about, or `nil`
  """

  alias OffBroadwayRustKafka.Native

  @type t :: %__MODULE__{
          code: atom(),
          message: String.t(),
          retryable?: boolean(),
          fatal?: boolean(),
          topic: String.t() | nil,
          partition: non_neg_integer() | nil
        }

  defexception code: :unknown,
               message: "",
               retryable?: false,
               fatal?: false,
               topic: nil,
               partition: nil

  @impl Exception
  def message(%__MODULE__{code: code, message: message} = error),
    do: "#{code}: #{message}#{subject(error)}"

  @doc false
  @spec from_native(Native.error()) :: t()
  def from_native({code, message, retryable?, fatal?, topic, partition}) do
    %__MODULE__{
      code: code,
      message: message,
      retryable?: retryable?,
      fatal?: fatal?,
      topic: topic,
      partition: partition
    }
  end

  @spec subject(t()) :: String.t()
  defp subject(%__MODULE__{topic: nil}), do: ""
  defp subject(%__MODULE__{topic: topic, partition: nil}), do: " (topic #{inspect(topic)})"

  defp subject(%__MODULE__{topic: topic, partition: partition}),
    do: " (topic #{inspect(topic)}, partition #{partition})"
end
