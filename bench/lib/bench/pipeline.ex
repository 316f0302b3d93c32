defmodule Bench.Pipeline do
  @moduledoc false
  # The Broadway pipeline of every connector that has one: it does nothing but count, or note the age
  # of each record.

  use Broadway

  alias Bench.{Histogram, Job}

  @doc "The pipeline's options; what else the connector needs is started here."
  @callback options(Job.t()) :: keyword()
  @doc "The record's value in a message."
  @callback value(Broadway.Message.t()) :: binary()

  @type context ::
          {:count | :count_batches | :count_chunks, :counters.counters_ref()}
          | {:age, Histogram.t(), connector :: module()}

  @spec start(Job.t(), context()) :: :ok
  def start(job, context) do
    options = [name: __MODULE__, context: context] ++ job.connector.options(job)
    {:ok, _pid} = Broadway.start_link(__MODULE__, options)
    :ok
  end

  @impl Broadway
  def handle_message(_processor, message, {:count, counter}) do
    :counters.add(counter, 1, 1)
    message
  end

  def handle_message(_processor, message, {:count_batches, _counter}), do: message

  def handle_message(_processor, message, {:count_chunks, counter}) do
    :counters.add(counter, 1, message.metadata.count)
    message
  end

  def handle_message(_processor, message, {:age, ages, connector}) do
    <<stamp::64, _rest::binary>> = connector.value(message)
    Histogram.add(ages, :os.system_time(:nanosecond) - stamp)
    message
  end

  @impl Broadway
  def handle_batch(_batcher, messages, _info, {:count_batches, counter}) do
    :counters.add(counter, 1, length(messages))
    messages
  end

  def handle_batch(_batcher, messages, _info, _context), do: messages
end
