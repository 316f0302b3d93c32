defmodule Broadway.Options do
  @moduledoc false

  @shared [
    partition_by: [type: {:fun, 1}],
    spawn_opt: [type: :keyword_list],
    hibernate_after: [type: :pos_integer]
  ]
  @producer [
    module: [required: true, type: :mod_arg],
    concurrency: [type: :pos_integer, default: 1]
  ]
  @processor [
    concurrency: [type: :pos_integer],
    min_demand: [type: :non_neg_integer],
    max_demand: [type: :non_neg_integer, default: 10]
  ]
  @batcher [
    concurrency: [type: :pos_integer, default: 1],
    batch_size: [type: {:custom, __MODULE__, :batch_size, []}, default: 100],
    max_demand: [type: :pos_integer],
    batch_timeout: [type: :pos_integer, default: 1000]
  ]
  @processors [*: [type: :keyword_list, keys: @processor ++ @shared]]
  @batchers [*: [type: :keyword_list, keys: @batcher ++ @shared]]
  @definition [
    name: [required: true, type: :atom],
    shutdown: [type: :pos_integer, default: 30_000],
    max_restarts: [type: :non_neg_integer, default: 3],
    max_seconds: [type: :pos_integer, default: 5],
    resubscribe_interval: [type: :non_neg_integer, default: 100],
    context: [type: :any, default: :context_not_set],
    producer: [required: true, type: :non_empty_keyword_list, keys: @producer ++ tl(@shared)],
    processors: [required: true, type: :non_empty_keyword_list, keys: @processors],
    batchers: [type: :keyword_list, default: [], keys: @batchers]
  ]

  def definition, do: @definition ++ @shared

  def batch_size(size) when is_integer(size) and size > 0, do: {:ok, size}
  def batch_size({_acc, fun} = size) when is_function(fun, 2), do: {:ok, size}
  def batch_size(other), do: {:error, "expected a positive integer, got: #{inspect(other)}"}

  @doc "Gives the top-level `:partition_by` to the processors and batchers without one."
  def carry_over(opts) do
    shared = Keyword.take(opts, [:partition_by])

    Enum.reduce([:processors, :batchers], opts, fn key, opts ->
      update_in(opts[key], &for({name, own} <- &1, do: {name, Keyword.merge(shared, own)}))
    end)
  end
end
