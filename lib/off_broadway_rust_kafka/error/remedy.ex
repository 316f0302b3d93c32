defmodule OffBroadwayRustKafka.Error.Remedy do
  @moduledoc false
  # What to do about errors that time alone does not end: for the log, for guides/errors.md, and for
  # what `:on_fatal` is about.

  # Somebody has to change something: the user, its permissions, the options or the brokers.
  @fatal [
    authentication:
      "check sasl.mechanism, the password or token, and that the brokers know the user",
    sasl_authentication_failed:
      "check sasl.mechanism, the password or token, and that the brokers know the user",
    unsupported_sasl_mechanism: "set sasl.mechanism to one that the brokers' listener has",
    illegal_sasl_state: "set security.protocol to what the brokers' listener has",
    ssl:
      "check security.protocol, ssl.ca.location, the host names and dates of the brokers' " <>
        "certificates, and the client's own certificate",
    topic_authorization_failed: "permit the user to READ and DESCRIBE the topic",
    group_authorization_failed: "permit the user to READ the group",
    cluster_authorization_failed:
      "permit the user what the brokers' authorizer log says that they denied",
    fenced_instance_id:
      "another member has this :instance_id: give each its own, then restart this pipeline",
    inconsistent_group_protocol:
      "give all members of the group one :group_protocol and a partition.assignment.strategy in common",
    invalid_config: "correct what the message names",
    invalid_group_id: "choose another :group_id",
    invalid_session_timeout:
      "set session.timeout.ms between the brokers' group.min.session.timeout.ms and " <>
        "group.max.session.timeout.ms",
    unsupported_assignor: "remove group.remote.assignor, or set it to one that the brokers have",
    unsupported_feature:
      "the brokers are too old for an option; group_protocol: :consumer needs Kafka 4.0",
    unsupported_version:
      "the brokers are too old for an option; group_protocol: :consumer needs Kafka 4.0"
  ]

  # These end by themselves when another member leaves, so they are no reason to stop.
  @passing [
    unreleased_instance_id:
      "wait, or stop the member that has this :instance_id; one that was killed has it until its " <>
        "session ends",
    group_max_size_reached:
      "start fewer members, or raise the brokers' group.max.size (with group_protocol: :consumer, " <>
        "group.consumer.max.size)"
  ]

  @remedies Map.new(@fatal ++ @passing)
  @fatal_codes Keyword.keys(@fatal)
  @passing_codes Keyword.keys(@passing)

  @doc "The codes that are fatal whoever reports them."
  @spec fatal_codes() :: [atom(), ...]
  def fatal_codes, do: @fatal_codes

  @doc "Whether waiting is in vain."
  @spec fatal?(atom()) :: boolean()
  def fatal?(code), do: code in @fatal_codes

  @doc "Whether another member that leaves ends it."
  @spec passing?(atom()) :: boolean()
  def passing?(code), do: code in @passing_codes

  @doc "All codes with something to do about them."
  @spec remedies() :: %{atom() => String.t()}
  def remedies, do: @remedies

  @doc "What to do about it, in one sentence, if anybody can do something."
  @spec remedy(atom()) :: String.t() | nil
  def remedy(code), do: @remedies[code]
end
