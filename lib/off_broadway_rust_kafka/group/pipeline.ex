defmodule OffBroadwayRustKafka.Group.Pipeline do
  @moduledoc false
  # One pipeline of a group: which partitions it is for, whether it runs, and how often it crashed.

  alias OffBroadwayRustKafka.{Assignment, Crashes}

  @enforce_keys [:key]
  defstruct @enforce_keys ++
              [:pid, :ref, :timer, status: :none, partitions: MapSet.new(), tree: [], crashes: []]

  @typedoc "What it is for."
  @type key :: {:partition, String.t(), non_neg_integer()} | {:topic, String.t()} | :all

  @typedoc """
  `:queued` is about to start, `:stopping` drains, `:aside` does not run although it has partitions.
  """
  @type status :: :none | :queued | :running | :stopping | :aside

  @type t :: %__MODULE__{
          key: key(),
          status: status(),
          partitions: MapSet.t(Assignment.place()),
          pid: pid() | nil,
          ref: reference() | nil,
          tree: [pid()],
          timer: reference() | nil,
          crashes: Crashes.t()
        }

  @spec key(:partition | :topic | :group, String.t(), non_neg_integer()) :: key()
  def key(:partition, topic, partition), do: {:partition, topic, partition}
  def key(:topic, topic, _partition), do: {:topic, topic}
  def key(:group, _topic, _partition), do: :all

  @spec claim(key()) :: OffBroadwayRustKafka.Native.claim()
  def claim({:topic, topic}), do: {:topics, [topic]}
  def claim(partition_or_all), do: partition_or_all

  @doc "Its topic and partition, `nil` where it is not of one."
  @spec place(key()) :: {String.t() | nil, non_neg_integer() | nil}
  def place({:partition, topic, partition}), do: {topic, partition}
  def place({:topic, topic}), do: {topic, nil}
  def place(:all), do: {nil, nil}

  @doc "For people."
  @spec label(key()) :: String.t()
  def label({:partition, topic, partition}), do: "#{topic}/#{partition}"
  def label({:topic, topic}), do: topic
  def label(:all), do: "all topics"

  @doc "The name that it has unless it is given one."
  @spec name(GenServer.name(), key()) :: atom()
  def name(group, {:partition, topic, partition}), do: :"#{base(group)}.#{topic}.#{partition}"
  def name(group, {:topic, topic}), do: :"#{base(group)}.#{topic}"
  def name(group, :all), do: :"#{base(group)}.Pipeline"

  @spec base(GenServer.name()) :: String.t()
  defp base(name) when is_atom(name), do: inspect(name)
  defp base({_kind, term}), do: inspect(term)
  defp base({:via, _module, term}), do: inspect(term)
end
