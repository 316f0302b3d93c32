defmodule Soak.Pipeline do
  @moduledoc false
  # A member in this VM: its handlers do as their mood is.

  use Broadway

  alias OffBroadwayRustKafka.History
  alias Soak.Mood

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(broadway), do: Broadway.start_link(__MODULE__, broadway)

  @impl Broadway
  def handle_message(_processor, message, %{mood: mood}) do
    Mood.work(mood)
    History.handled(message)
    message
  end

  @impl Broadway
  def handle_batch(_batcher, messages, _info, %{mood: mood}),
    do: Enum.reject(messages, &Mood.left_out?(mood, &1.metadata.offset))
end
