defmodule OffBroadwayRustKafka.TestStage do
  @moduledoc false
  # A stage whose telemetry the test hears, as that of a `OffBroadwayRustKafka.TestPipeline`:
  # `{:telemetry, name, event, measurements, metadata}`.

  alias OffBroadwayRustKafka.{History, Kafka, Stage, TestPipeline}

  @enforce_keys [:name, :group, :id]
  defstruct @enforce_keys

  @type t :: %__MODULE__{name: atom(), group: String.t(), id: term()}

  @doc """
  Starts a stage, for as long as the test runs, with these options besides where to read. `:history` records
  it, under the label of its name.
  """
  @spec start(Kafka.t(), [String.t()], keyword()) :: t()
  def start(kafka, topics, options \\ []) do
    {history, options} = Keyword.pop(options, :history)
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"
    options = [name: name] ++ options(kafka, topics, options)
    TestPipeline.listen(name)
    child = Supervisor.child_spec(child(history, options), id: name, restart: :temporary)
    ExUnit.Callbacks.start_supervised!(child)
    %__MODULE__{name: name, group: options[:group_id], id: name}
  end

  @doc "What a stage, or a stream, is given."
  @spec options(Kafka.t(), [String.t()], keyword()) :: keyword()
  def options(kafka, topics, options \\ []) do
    [
      hosts: kafka.bootstrap,
      group_id: Kafka.random_name("group"),
      topics: topics,
      offset_reset_policy: :earliest,
      config: TestPipeline.config(kafka)
    ]
    |> Keyword.merge(options)
  end

  @doc "Stops it as its supervisor would."
  @spec stop(t()) :: :ok
  def stop(%{id: id}), do: ExUnit.Callbacks.stop_supervised!(id)

  @spec child(History.t() | nil, keyword()) :: Supervisor.child_spec()
  defp child(nil, options), do: Stage.child_spec(options)

  defp child(history, options) do
    member = History.Stage.member(history, options)
    heard = Supervisor.child_spec({History.Member, member}, id: make_ref())
    ExUnit.Callbacks.start_supervised!(heard)
    %{Stage.child_spec(options) | start: {History.Stage, :start_link, [member, options]}}
  end
end
