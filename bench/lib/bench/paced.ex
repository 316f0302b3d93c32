defmodule Bench.Paced do
  @moduledoc false
  # Records that come so many a second, for as long as a run lasts.

  alias Bench.{Command, Job, Measure, Medians, Plan, Raw}
  alias Bench.Connectors.Ours

  @bytes 100
  @warm_up 2
  # Until a VM is up, and has a record, there are few: else it would begin with a backlog.
  @slowly 3

  @doc "The bytes of each record."
  @spec bytes() :: pos_integer()
  def bytes, do: @bytes

  @spec title(Plan.load()) :: String.t()
  def title(rate) when is_integer(rate), do: "#{rate} records a second"
  def title(share), do: "#{round(share * 100)} % of the maximum rate"

  @doc "Records a second; `nil` when the rate that it is a share of was not measured."
  @spec rate(Plan.load(), Measure.results(), Plan.t()) :: pos_integer() | nil
  def rate(rate, _reads, _plan) when is_integer(rate), do: rate

  def rate(share, reads, %{reads: [{shape, _, _, _} | _]}) do
    most = Medians.figure(reads, shape, Ours, :defaults, "rate")
    most && round(most * share)
  end

  @doc "Seconds after the first record that do not count: some of them at the full rate."
  @spec warm_up(Plan.load()) :: pos_integer()
  def warm_up(load), do: @warm_up + slowly(load)

  @doc "Runs it while the records come; its figures, and what could be sent."
  @spec run(Job.t(), Plan.load(), pos_integer(), (() -> Measure.result())) :: Measure.result()
  def run(job, load, rate, fun) do
    pacing = [rate: rate, slowly: slowly(load), linger: 0]
    options = [partitions: job.partitions, bytes: job.bytes] ++ pacing
    pace = Command.start(Raw.command("pace", job, options))
    result = fun.()

    case {result, Command.stop(pace)} do
      {{:ok, figures}, {:ok, sent}} -> {:ok, Map.merge(figures, sent)}
      {{:error, _} = failed, _} -> failed
      {_, {:error, reason}} -> {:error, "the records' source #{reason}"}
    end
  end

  @spec slowly(Plan.load()) :: non_neg_integer()
  defp slowly(rate) when is_integer(rate), do: 0
  defp slowly(_share), do: @slowly
end
