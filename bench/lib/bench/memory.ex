defmodule Bench.Memory do
  @moduledoc false
  # A producer that answers all demand at once, with one value, round the partitions. Its messages are
  # bare, or carry what ours do: each is made anew then, as a record's offset is its own.

  use GenStage

  @behaviour Broadway.Producer

  alias Broadway.{Message, NoopAcknowledger}

  @topic "orders"

  @spec partition(Message.t()) :: non_neg_integer()
  def partition(message), do: message.metadata.partition

  @impl Broadway.Producer
  def prepare_for_start(_module, options), do: {[], options}

  @impl GenStage
  def init(options) do
    data = :binary.copy("x", options[:bytes])
    templates = for partition <- 0..(options[:partitions] - 1), do: bare(data, partition)
    {:producer, {options[:messages] || :bare, List.to_tuple(templates), 0}}
  end

  @impl GenStage
  def handle_demand(demand, {kind, templates, next}) do
    messages = for n <- next..(next + demand - 1), do: message(kind, templates, n)
    {:noreply, messages, {kind, templates, next + demand}}
  end

  @spec bare(binary(), non_neg_integer()) :: Message.t()
  defp bare(data, partition) do
    %Message{
      data: data,
      metadata: %{partition: partition},
      acknowledger: NoopAcknowledger.init()
    }
  end

  @spec message(:bare | :full, tuple(), non_neg_integer()) :: Message.t()
  defp message(:bare, templates, n), do: elem(templates, rem(n, tuple_size(templates)))

  defp message(:full, templates, n) do
    %{data: data, metadata: %{partition: partition}} = message(:bare, templates, n)

    %Message{
      data: data,
      metadata: %{
        topic: @topic,
        partition: partition,
        offset: n,
        key: <<n::64>>,
        ts: n,
        headers: [{<<"content-type">>, <<n::64>>}, {<<"trace">>, <<n::64>>}]
      },
      acknowledger: {NoopAcknowledger, nil, {partition, 1, n}},
      batch_key: {@topic, partition}
    }
  end
end
