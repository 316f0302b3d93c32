defmodule OffBroadwayRustKafka.Log do
  @moduledoc false
  # The consumer's events as log lines. What an unreachable broker repeats many times a second is
  # written once per code and interval, with the number of lines left out since.

  alias OffBroadwayRustKafka.{Error, Native}
  alias OffBroadwayRustKafka.Error.Remedy

  require Logger

  @interval_ms 10_000
  @burst 10

  @enforce_keys [:prefix]
  defstruct [:prefix, lines: %{}]

  @type t :: %__MODULE__{
          prefix: String.t(),
          lines: %{
            optional(term()) =>
              {since_ms :: integer(), written :: pos_integer(), left_out :: non_neg_integer()}
          }
        }

  @spec new(name :: term()) :: t()
  def new(name), do: %__MODULE__{prefix: "Kafka consumer of #{inspect(name)}: "}

  @spec write(t(), Native.event(), now_ms :: integer()) :: t()
  def write(log, event, now_ms \\ System.monotonic_time(:millisecond)) do
    case line(event) do
      {level, text} -> put_line(log, level, text)
      {level, key, text} -> limited(log, level, key, text, now_ms)
      nil -> log
    end
  end

  @doc "That the pipeline ends by itself."
  @spec stopping(t(), Error.t()) :: :ok
  def stopping(log, error) do
    put_line(log, :error, "the pipeline ends, as on_fatal: :stop has it, after #{error.code}")
    :ok
  end

  @doc "That what a pipeline was to read is read by none."
  @spec set_aside(t(), what :: String.t(), Error.t(), :set_aside | :stop) :: :ok
  def set_aside(log, what, error, choice) do
    then =
      case choice do
        :set_aside -> "is set aside until it is assigned anew; the others go on"
        :stop -> "ends the group, as on_crash: :stop has it"
      end

    put_line(log, :error, "#{what} #{then}: #{Exception.message(error)}")
    :ok
  end

  @spec line(Native.event()) ::
          {Logger.level(), iodata()} | {Logger.level(), key :: term(), iodata()} | nil
  defp line({:assigned, partitions}), do: {:info, ["assigned ", partitions(partitions)]}

  defp line({:revoked, partitions, drain_ms}) do
    {:info, ["revoked ", partitions(partitions), " after #{drain_ms} ms", unacked(partitions)]}
  end

  defp line({:lost, partitions}),
    do: {:warning, ["lost ", partitions(partitions), unacked(partitions)]}

  defp line({:commit_failed, error, _offsets}) do
    error = Error.from_native(error)
    {:warning, {:commit_failed, error.code}, ["commit failed: ", text(error)]}
  end

  defp line({:stalled, stalled}) do
    stalled =
      for {topic, partition, _, _, offset, in_flight, age_ms} <- stalled do
        "#{topic}/#{partition} at offset #{offset} for #{age_ms} ms (#{in_flight} in flight)"
      end

    {:warning,
     ["unacknowledged, which holds back all commits: ", Enum.intersperse(stalled, ", ")]}
  end

  defp line({:redelivered, again}) do
    again =
      for {topic, partition, _, _, offset, count} <- again,
          do: "#{count} of #{topic}/#{partition} from offset #{offset}"

    {:warning, ["unacknowledged records are delivered again: ", Enum.intersperse(again, ", ")]}
  end

  defp line({:reset, topic, partition, from, to}) do
    {:warning, "offset #{from} of #{topic}/#{partition} does not exist, it goes on at #{to}"}
  end

  defp line({:error, error}) do
    error = Error.from_native(error)
    level = if error.retryable? and not error.fatal?, do: :warning, else: :error
    {level, {:error, error.code, error.topic, error.partition}, text(error)}
  end

  defp line({:log, level, facility, message}) do
    text = [facility, ": ", message]

    case level(level) do
      # Asked for by the property debug, all of it.
      :debug -> {:debug, text}
      :info -> {:info, {:info, facility}, text}
      level -> {level, {:log, facility}, text}
    end
  end

  defp line({:closed, {:error, error}}) do
    {:warning, ["closed, not cleanly: ", Exception.message(Error.from_native(error))]}
  end

  defp line(_not_for_the_log), do: nil

  @spec text(Error.t()) :: iodata()
  defp text(error) do
    remedy = Remedy.remedy(error.code)
    [Exception.message(error), if(remedy, do: [". What to do: ", remedy], else: "")]
  end

  @spec limited(t(), Logger.level(), term(), iodata(), integer()) :: t()
  defp limited(log, level, key, text, now_ms) do
    allowed = allowed(key)

    case log.lines do
      %{^key => {since_ms, written, left_out}} when now_ms - since_ms < @interval_ms ->
        if written < allowed,
          do: log |> put_line(level, text) |> count(key, {since_ms, written + 1, left_out}),
          else: count(log, key, {since_ms, written, left_out + 1})

      %{^key => {_, _, left_out}} when left_out > 0 ->
        text = [text, " (and #{left_out} more like it)"]
        log |> put_line(level, text) |> count(key, {now_ms, 1, 0})

      _ ->
        log |> put_line(level, text) |> count(key, {now_ms, 1, 0})
    end
  end

  # Of what librdkafka says for information one line need not be like another.
  @spec allowed(key :: term()) :: pos_integer()
  defp allowed({:info, _facility}), do: @burst
  defp allowed(_key), do: 1

  @spec count(t(), key :: term(), {integer(), pos_integer(), non_neg_integer()}) :: t()
  defp count(log, key, counted), do: put_in(log.lines[key], counted)

  @spec put_line(t(), Logger.level(), iodata()) :: t()
  defp put_line(log, level, text) do
    Logger.log(level, fn -> [log.prefix, text] end)
    log
  end

  # librdkafka writes syslog levels.
  @spec level(0..7) :: Logger.level()
  defp level(level) when level <= 3, do: :error
  defp level(4), do: :warning
  defp level(7), do: :debug
  defp level(_notice_or_info), do: :info

  @spec partitions([tuple()]) :: iodata()
  defp partitions(partitions) do
    partitions
    |> Enum.map(fn {topic, partition, _, _, _} -> "#{topic}/#{partition}" end)
    |> Enum.intersperse(", ")
  end

  @spec unacked([tuple()]) :: iodata()
  defp unacked(partitions) do
    case partitions |> Enum.map(&elem(&1, 4)) |> Enum.sum() do
      0 -> ""
      count -> ", #{count} records unacknowledged"
    end
  end
end
