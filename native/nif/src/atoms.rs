//! Every atom that crosses the boundary.
#![allow(missing_docs, reason = "each is its own name")]

rustler::atoms! {
    nil,
    ok,
    error,
    // Messages.
    off_broadway_rust_kafka,
    wake,
    // Pulls.
    more,
    armed,
    // Events.
    assigned,
    revoking,
    kept,
    revoked,
    lost,
    committed,
    commit_failed,
    stalled,
    redelivered,
    reset,
    connected,
    disconnected,
    statistics,
    log,
    token_wanted,
    paused,
    resumed,
    sought,
    subscribed,
    closed,
    // What is paused, where a seek goes, where a topic starts, what an explicit commit is of.
    all,
    beginning,
    end,
    earliest,
    latest,
    timestamp,
    offsets,
    records,
    // What is claimed.
    topics,
    partition,
    // Faults of a property.
    unknown,
    invalid,
}
