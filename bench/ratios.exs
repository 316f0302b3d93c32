# What `bin/bench smoke` compares with; it fails where a ratio has fallen by more than a third.
#
# rate_to_broadway   our records a second to those of Broadway alone: both are slowed by whatever else runs
# floor_to_cpu       librdkafka's and Broadway's CPU time of a record, together, to ours
#
# Both with `max_demand: 100`, and with all defaults.
%{
  broadway: %{
    rate_to_broadway: 0.30,
    floor_to_cpu: 0.45,
    defaults_rate_to_broadway: 0.42,
    defaults_floor_to_cpu: 0.40
  },
  stand_ins: %{
    rate_to_broadway: 0.18,
    floor_to_cpu: 0.32,
    defaults_rate_to_broadway: 0.33,
    defaults_floor_to_cpu: 0.32
  }
}
