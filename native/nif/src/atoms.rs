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
    revoked,
    lost,
    committed,
    commit_failed,
    stalled,
    redelivered,
    reset,
    log,
    closed,
    // Faults of a property.
    unknown,
    invalid,
}
