defmodule Bench.Memory do
  @moduledoc false
  # A producer that answers all demand at once, with one value, round the partitions.

  use GenStage

  @behaviour Broadway.Producer

  alias Broadway.{Message, NoopAcknowledger}

  @spec partition(Message.t()) :: non_neg_integer()
  def partition(message), do: message.metadata.partition

  @impl Broadway.Producer
  def prepare_for_start(_module, options), do: {[], options}

  @impl GenStage
  def init(options) do
    templates =
      for partition <- 0..(options[:partitions] - 1) do
        %Message{
          data: :binary.copy("x", options[:bytes]),
          metadata: %{partition: partition},
          acknowledger: NoopAcknowledger.init()
        }
      end

    {:producer, {List.to_tuple(templates), 0}}
  end

  @impl GenStage
  def handle_demand(demand, {templates, next}) do
    count = tuple_size(templates)
    messages = for n <- next..(next + demand - 1), do: elem(templates, rem(n, count))
    {:noreply, messages, {templates, rem(next + demand, count)}}
  end
end
