defmodule Broadway.Options do
  @moduledoc false
  # The options that are understood, and their defaults. Any other is refused, values are trusted.

  @pipeline [:name, :producer, :processors, :partition_by] ++
              [context: :context_not_set, batchers: [], shutdown: 30_000] ++
              [max_restarts: 3, max_seconds: 5, resubscribe_interval: 100]
  # A rate limit is taken, and not kept.
  @producer [:module, :rate_limiting, concurrency: 1]
  @processor [:partition_by, :concurrency, :min_demand, max_demand: 10]
  @batcher [:partition_by, :max_demand] ++
             [concurrency: 1, batch_size: 100, batch_timeout: 1_000]

  @spec validate!(keyword()) :: keyword()
  def validate!(opts) do
    opts = Keyword.validate!(opts, @pipeline)
    shared = Keyword.take(opts, [:partition_by])
    processor = Keyword.put(shared, :concurrency, 2 * System.schedulers_online())

    opts
    |> Keyword.update!(:producer, &Keyword.validate!(&1, @producer))
    |> Keyword.update!(:processors, &validate_each!(&1, @processor, processor))
    |> Keyword.update!(:batchers, &validate_each!(&1, @batcher, shared))
  end

  @spec validate_each!(keyword(), list(), keyword()) :: keyword()
  defp validate_each!(stages, known, defaults) do
    for {key, own} <- stages,
        do: {key, defaults |> Keyword.merge(own) |> Keyword.validate!(known)}
  end
end
