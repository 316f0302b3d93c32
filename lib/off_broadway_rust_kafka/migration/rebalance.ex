defmodule OffBroadwayRustKafka.Migration.Rebalance do
  @moduledoc false
  # Timeouts of membership. How long a group waits for a member that gives partitions up is, on the
  # wire, librdkafka's `max.poll.interval.ms`; here it also bounds the drain.

  alias OffBroadwayRustKafka.Migration.{Given, Translation}

  @poll_interval "max.poll.interval.ms"
  @session "session.timeout.ms"

  # Defaults of librdkafka's and of ours.
  @session_ms 45_000
  @drain_ms 10_000

  @set_by_broker %{
    session_timeout_seconds: {@session, 1_000, 1..3_600},
    heartbeat_rate_seconds: {"heartbeat.interval.ms", 1_000, 1..3_600}
  }

  @spec group(atom(), term(), Translation.t(), from :: String.t()) :: Translation.t()
  def group(:rebalance_timeout_seconds, value, translation, from) do
    seconds = Given.integer(value, 1..86_400, from)
    timeout(translation, seconds * 1_000, from)
  end

  def group(key, value, translation, from) do
    case @set_by_broker do
      %{^key => rule} ->
        refuse_by_protocol(translation, from)
        Given.number(translation, value, rule, from)

      _ ->
        Given.unknown(from)
    end
  end

  @doc "How many milliseconds a member may take to give partitions up."
  @spec timeout(Translation.t(), pos_integer(), from :: String.t()) :: Translation.t()
  def timeout(translation, ms, from) do
    translation = Translation.put_property(translation, @poll_interval, ms, from)

    if Keyword.has_key?(translation.options, :drain_timeout),
      do: translation,
      else: Translation.put(translation, :drain_timeout, min(div(ms, 2), @drain_ms), from)
  end

  @doc "librdkafka wants it to be no less than the session timeout, where there is one."
  @spec fit_poll_interval(Translation.t()) :: Translation.t()
  def fit_poll_interval(%{properties: properties} = translation) do
    with false <- kip_848?(translation),
         {_, ms, from} <- List.keyfind(properties, @poll_interval, 0),
         session when session > 0 <- session_ms(translation),
         true <- String.to_integer(ms) < session do
      entry = {@poll_interval, to_string(session), from}
      %{translation | properties: List.keyreplace(properties, @poll_interval, 0, entry)}
    else
      _ -> translation
    end
  end

  # What is no number is librdkafka's to refuse.
  @spec session_ms(Translation.t()) :: integer()
  defp session_ms(translation) do
    case Integer.parse(Translation.property(translation, @session) || to_string(@session_ms)) do
      {ms, ""} -> ms
      _ -> 0
    end
  end

  @spec refuse_by_protocol(Translation.t(), from :: String.t()) :: :ok
  defp refuse_by_protocol(translation, from) do
    if kip_848?(translation) do
      Translation.refuse(
        "#{from} cannot be set with group_protocol: :consumer, under which the broker decides it: " <>
          "remove it, or set it for the group on the broker"
      )
    end

    :ok
  end

  @spec kip_848?(Translation.t()) :: boolean()
  defp kip_848?(%{options: options}), do: options[:group_protocol] == :consumer
end
