defmodule OffBroadwayRustKafka.Options do
  @moduledoc false
  # What a pipeline is given, checked by its schema and as a whole: trusted from then on.

  alias OffBroadwayRustKafka.{
    Commits,
    Credentials,
    MessageFormat,
    Migration,
    Native,
    OnFatal,
    Properties
  }

  alias OffBroadwayRustKafka.Options.Schema

  @producer "OffBroadwayRustKafka.Producer"

  # librdkafka's default of max.poll.interval.ms.
  @poll_interval 300_000

  # What KIP-848 leaves to the broker; librdkafka refuses the rest of such a member's start.
  @set_by_broker ~w(session.timeout.ms heartbeat.interval.ms partition.assignment.strategy
                    group.protocol.type)

  @enforce_keys [:hosts, :group_id, :topics, :commit_interval, :drain_timeout, :properties] ++
                  [:on_fatal, :on_unacked, :max_buffered_bytes, :headers, :message_format] ++
                  [:offset_reset_policy, :telemetry_interval]
  @derive {Inspect, except: [:oauthbearer, :properties]}
  defstruct @enforce_keys ++
              [:oauthbearer, :max_in_flight, :chunk_size, :unacked_timeout] ++
              [:commit_threshold, commit_strategy: :async]

  @type t :: %__MODULE__{
          hosts: [String.t(), ...],
          group_id: String.t(),
          topics: [{String.t(), Native.policy()}, ...],
          offset_reset_policy: Native.policy(),
          commit_interval: non_neg_integer(),
          commit_strategy: Commits.strategy(),
          commit_threshold: pos_integer() | nil,
          drain_timeout: non_neg_integer(),
          max_in_flight: pos_integer() | nil,
          max_buffered_bytes: pos_integer(),
          chunk_size: pos_integer() | nil,
          headers: boolean(),
          message_format: MessageFormat.name(),
          unacked_timeout: pos_integer() | nil,
          on_fatal: OnFatal.choice(),
          on_unacked: :report | :redeliver | :stop,
          telemetry_interval: pos_integer() | nil,
          oauthbearer: Credentials.source(),
          properties: [{String.t(), Properties.value()}]
        }

  @doc "Checks what `subject` was given: a producer, if it is not said what."
  @spec validate!(term(), subject :: String.t()) :: t()
  def validate!(options, subject \\ @producer) do
    if not Keyword.keyword?(options) do
      raise ArgumentError, "#{subject} expects a keyword list of options, got another term"
    end

    with {:ok, options, properties} <- Migration.translate(options),
         %__MODULE__{} = options <- checked(options, properties) do
      options
    else
      {:error, message} -> refuse!(message, subject)
    end
  catch
    {:refused, message} -> refuse!(message, subject)
  end

  @spec checked(keyword(), [{String.t(), Properties.value()}]) :: t() | {:error, String.t()}
  defp checked(options, properties) do
    case NimbleOptions.validate(options, Schema.producer()) do
      {:ok, options} ->
        options |> build(properties) |> validate_format!() |> validate_whole!()

      {:error, error} ->
        {:error, Exception.message(error)}
    end
  end

  @doc "The options of a member outside of Broadway, which are those of a schema; `subject` was given them."
  @spec validate_member!(keyword(), NimbleOptions.t(), subject :: String.t()) :: {t(), keyword()}
  def validate_member!(options, schema, subject) do
    case NimbleOptions.validate(options, schema) do
      {:ok, options} ->
        member = options |> build([]) |> validate_whole!()
        with {:error, message} <- Properties.check(member.properties), do: refuse(message)
        {member, options}

      {:error, error} ->
        refuse!(Exception.message(error), subject)
    end
  catch
    {:refused, message} -> refuse!(message, subject)
  end

  @spec validate_whole!(t()) :: t()
  defp validate_whole!(options),
    do: options |> validate_drain!() |> validate_protocol!() |> put_mechanism!()

  @spec refuse!(String.t(), subject :: String.t()) :: no_return()
  def refuse!(message, subject \\ @producer),
    do: raise(ArgumentError, "invalid options given to #{subject}: #{message}")

  @spec refuse(String.t()) :: no_return()
  defp refuse(message), do: throw({:refused, message})

  @spec build(keyword(), [{String.t(), Properties.value()}]) :: t()
  defp build(options, properties) do
    default = options[:offset_reset_policy]

    %__MODULE__{
      hosts: options[:hosts],
      group_id: options[:group_id],
      topics: for({name, policy} <- options[:topics], do: {name, policy || default}),
      offset_reset_policy: default,
      commit_interval: options[:commit_interval],
      commit_strategy: Keyword.get(options, :commit_strategy, :async),
      commit_threshold: options[:commit_threshold],
      drain_timeout: options[:drain_timeout],
      max_in_flight: options[:max_in_flight],
      max_buffered_bytes: options[:max_buffered_bytes],
      chunk_size: options[:chunk_size],
      headers: options[:headers],
      message_format: options[:message_format],
      unacked_timeout: options[:unacked_timeout],
      oauthbearer: options[:oauthbearer],
      on_fatal: options[:on_fatal],
      on_unacked: options[:on_unacked],
      telemetry_interval: options[:telemetry_interval],
      properties: membership(options) ++ options[:config] ++ properties
    }
  end

  @spec membership(keyword()) :: Native.properties()
  defp membership(options) do
    protocol = if options[:group_protocol] == :consumer, do: [{"group.protocol", "consumer"}]
    instance = if id = options[:instance_id], do: [{"group.instance.id", id}]
    List.wrap(protocol) ++ List.wrap(instance)
  end

  @spec validate_protocol!(t()) :: t()
  defp validate_protocol!(%{properties: [{"group.protocol", "consumer"} | rest]} = options) do
    for {name, _} <- rest, name in @set_by_broker do
      refuse(
        "property #{inspect(name)} cannot be set with group_protocol: :consumer, under which the " <>
          "broker decides it: remove it, or set it for the group on the broker"
      )
    end

    options
  end

  defp validate_protocol!(options), do: options

  @spec put_mechanism!(t()) :: t()
  defp put_mechanism!(options) do
    case Credentials.properties(options.oauthbearer, options.properties) do
      {:ok, properties} -> %{options | properties: options.properties ++ properties}
      {:error, message} -> refuse(message)
    end
  end

  @spec validate_format!(t()) :: t()
  defp validate_format!(%{chunk_size: size, message_format: format})
       when size != nil and format != :value do
    refuse(
      ":message_format of #{inspect(format)} and :chunk_size contradict each other: a chunk's records " <>
        "are tuples, see OffBroadwayRustKafka.Chunk"
    )
  end

  defp validate_format!(options), do: options

  @spec validate_drain!(t()) :: t()
  defp validate_drain!(options) do
    interval = poll_interval(options.properties)

    if 2 * options.drain_timeout > interval do
      refuse(
        "invalid value for :drain_timeout option: expected at most half of the " <>
          "max.poll.interval.ms of #{interval}, got: #{options.drain_timeout}"
      )
    end

    options
  end

  # What is no number is librdkafka's to refuse.
  @spec poll_interval([{String.t(), Properties.value()}]) :: integer()
  defp poll_interval(properties) do
    with {_, value} <- List.keyfind(properties, "max.poll.interval.ms", 0),
         {interval, ""} <- Integer.parse(value) do
      interval
    else
      _ -> @poll_interval
    end
  end
end
