defmodule Soak.Setting do
  @moduledoc false
  # What a round is played with, left to chance: the group's protocol, its topic, its pipelines.

  @enforce_keys [:protocol, :static?, :partitions, :commit_interval, :concurrency] ++
                  [:processors, :batchers, :on_unacked, :members, :chunk_size]
  defstruct @enforce_keys

  @type protocol :: :cooperative | :eager | :consumer
  @type t :: %__MODULE__{
          protocol: protocol(),
          static?: boolean(),
          partitions: pos_integer(),
          commit_interval: non_neg_integer(),
          concurrency: pos_integer(),
          processors: keyword(),
          batchers: keyword(),
          on_unacked: :report | :redeliver,
          members: pos_integer(),
          chunk_size: pos_integer() | nil
        }

  # Soon enough for a round to see what happens after it.
  @session_ms 6_000
  @unacked_ms 4_000
  @drain_ms 4_000

  # However often stages are killed, a pipeline has to go on.
  @restarts 1_000
  @shutdown_ms 10_000

  @doc "By the process's own seed of `:rand`."
  @spec random() :: t()
  def random do
    %__MODULE__{
      protocol: Enum.random([:cooperative, :cooperative, :eager, :consumer]),
      static?: Enum.random([false, false, true]),
      partitions: Enum.random(24..50),
      commit_interval: Enum.random([0, 50, 200, 1_000]),
      concurrency: Enum.random(1..3),
      processors: [concurrency: Enum.random(1..4), max_demand: Enum.random([5, 20, 100])],
      batchers: batchers(Enum.random([true, true, false])),
      on_unacked: Enum.random([:report, :redeliver]),
      members: Enum.random(2..3),
      chunk_size: Enum.random([nil, nil, 3, 50, 500])
    }
  end

  @spec batchers(boolean()) :: keyword()
  defp batchers(false), do: []

  defp batchers(true) do
    [
      default: [
        batch_size: Enum.random([1, 10, 50]),
        batch_timeout: Enum.random([10, 100]),
        concurrency: Enum.random(1..2)
      ]
    ]
  end

  @doc "The options of a member of this name, as `TestPipeline` wants them."
  @spec pipeline(t(), String.t(), String.t()) :: keyword()
  def pipeline(setting, group, name) do
    [
      group: group,
      concurrency: setting.concurrency,
      processors: setting.processors,
      batchers: setting.batchers,
      producer: producer(setting, name),
      broadway: [shutdown: @shutdown_ms, max_restarts: @restarts, max_seconds: 1]
    ]
  end

  @doc "Of these those of a member that has stages, which take records one by one."
  @spec stages(keyword()) :: keyword()
  def stages(options), do: Keyword.delete(options[:producer], :chunk_size)

  @spec producer(t(), String.t()) :: keyword()
  defp producer(setting, name) do
    [
      commit_interval: setting.commit_interval,
      drain_timeout: @drain_ms,
      unacked_timeout: @unacked_ms,
      on_unacked: setting.on_unacked,
      group_protocol: if(setting.protocol == :consumer, do: :consumer, else: :classic),
      config: ["topic.metadata.refresh.interval.ms": 5_000] ++ config(setting.protocol)
    ] ++ chunks(setting) ++ if(setting.static?, do: [instance_id: name], else: [])
  end

  @spec chunks(t()) :: keyword()
  defp chunks(%{chunk_size: nil}), do: []
  defp chunks(%{chunk_size: size}), do: [chunk_size: size]

  @spec config(protocol()) :: keyword()
  defp config(:consumer), do: []

  defp config(protocol) do
    strategy = if protocol == :eager, do: "range,roundrobin", else: "cooperative-sticky"

    [
      "session.timeout.ms": @session_ms,
      "heartbeat.interval.ms": 500,
      "partition.assignment.strategy": strategy
    ]
  end

  @doc "For a reader."
  @spec text(t()) :: String.t()
  def text(setting) do
    batches =
      with [default: batcher] <- setting.batchers, do: "batches of #{batcher[:batch_size]}"

    Enum.join(
      [
        setting.protocol,
        if(setting.static?, do: "static members", else: "dynamic members"),
        "#{setting.partitions} partitions",
        "commits every #{setting.commit_interval} ms",
        "#{setting.concurrency} producers",
        "#{setting.processors[:concurrency]} processors",
        if(setting.chunk_size, do: "chunks of #{setting.chunk_size}", else: "single records"),
        if(batches == [], do: "no batches", else: batches),
        "on_unacked #{setting.on_unacked}"
      ],
      ", "
    )
  end
end
