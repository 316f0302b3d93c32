defmodule OffBroadwayRustKafka.Error do
  @moduledoc """
  What Kafka, librdkafka or the consumer itself reported, as a value and as an exception.

    * `:code` - librdkafka's name of the error in lower case, without its leading underscore
      (`:unknown_topic_or_part`, `:all_brokers_down`), or one of our own: `:closed`,
      `:invalid_config`, `:invalid_lane`, `:unacked_timeout`, `:claimed`, `:invalid_callback`,
      `:pipeline_crashed`, and those of the functions of `OffBroadwayRustKafka` and
      `OffBroadwayRustKafka.Stage`. [Errors](guides/errors.md) has them all, with what happens by itself and
      what to do
    * `:message` - the reason in words
    * `:retryable?` - the same may succeed later with nothing changed but time; the consumer goes on
      trying by itself
    * `:fatal?` - somebody has to change something (a password, a permission, an option), or the
      member has ended. What the pipeline does then is the producer's option `:on_fatal`
    * `:topic`, `:partition` - what it is about, or `nil`
  """

  alias OffBroadwayRustKafka.Error.Remedy
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
  def from_native({code, message, retryable?, ended?, topic, partition}) do
    fatal? = ended? or Remedy.fatal?(code)

    %__MODULE__{
      code: code,
      message: message,
      retryable?: retryable? and not fatal?,
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
