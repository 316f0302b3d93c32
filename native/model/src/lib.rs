//! The member's own code on a Kafka that a test plays by hand.
//!
//! Every module that decides something is the consumer's own file. In place of those that call
//! librdkafka, wait on threads or read the clock there are stand-ins under the same names, so that
//! histories run by the thousand and in an order that the test chooses (`history`), and so that
//! loom can try every interleaving of the threads that meet there (`interleavings`). A module that
//! is new in the consumer is named here too.

#![allow(dead_code, missing_docs, reason = "a stage for tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// What the consumer's files call rdkafka is this crate.
extern crate self as rdkafka;

pub mod bindings;
pub mod types;

mod journal;

#[path = "kafka/client.rs"]
mod client;
#[path = "kafka/clock.rs"]
mod clock;
#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/committed.rs"]
mod committed;
#[path = "kafka/conf.rs"]
mod conf;
#[path = "kafka/describe.rs"]
mod describe;
#[path = "kafka/failure.rs"]
mod failure;
#[path = "kafka/group.rs"]
mod group;
#[path = "kafka/log.rs"]
mod log;
#[path = "kafka/message.rs"]
mod message;
#[path = "kafka/nudge.rs"]
mod nudge;
#[path = "kafka/offsets.rs"]
mod offsets;
#[path = "kafka/polled.rs"]
mod polled;
#[path = "kafka/positions.rs"]
mod positions;
#[path = "kafka/queue.rs"]
mod queue;
#[path = "kafka/topic_partition.rs"]
mod topic_partition;
#[path = "kafka/worker.rs"]
mod worker;

#[cfg_attr(not(loom), path = "../../consumer/src/kick.rs")]
#[cfg_attr(loom, path = "loom/kick.rs")]
mod kick;
#[cfg_attr(not(loom), path = "../../consumer/src/sync.rs")]
#[cfg_attr(loom, path = "loom/sync.rs")]
mod sync;

#[path = "../../consumer/src/aging.rs"]
mod aging;
#[path = "../../consumer/src/asked.rs"]
mod asked;
#[path = "../../consumer/src/basket.rs"]
mod basket;
#[path = "../../consumer/src/chunks.rs"]
mod chunks;
#[path = "../../consumer/src/claiming.rs"]
mod claiming;
#[path = "../../consumer/src/claims.rs"]
mod claims;
#[path = "../../consumer/src/code.rs"]
mod code;
#[path = "../../consumer/src/command.rs"]
mod command;
#[path = "../../consumer/src/commit.rs"]
mod commit;
#[path = "../../consumer/src/config.rs"]
mod config;
#[path = "../../consumer/src/consumer.rs"]
mod consumer;
#[path = "../../consumer/src/credentials.rs"]
mod credentials;
#[path = "../../consumer/src/due.rs"]
mod due;
#[path = "../../consumer/src/error.rs"]
mod error;
#[path = "../../consumer/src/event.rs"]
mod event;
#[path = "../../consumer/src/explicit.rs"]
mod explicit;
#[path = "../../consumer/src/hold.rs"]
mod hold;
#[path = "../../consumer/src/intake.rs"]
mod intake;
#[path = "../../consumer/src/lane.rs"]
mod lane;
#[path = "../../consumer/src/leave.rs"]
mod leave;
#[path = "../../consumer/src/limits.rs"]
mod limits;
#[path = "../../consumer/src/look.rs"]
mod look;
#[path = "../../consumer/src/lookup.rs"]
mod lookup;
#[path = "../../consumer/src/parked.rs"]
mod parked;
#[path = "../../consumer/src/partition.rs"]
mod partition;
#[path = "../../consumer/src/pause.rs"]
mod pause;
#[path = "../../consumer/src/paused.rs"]
mod paused;
#[path = "../../consumer/src/pool.rs"]
mod pool;
#[path = "../../consumer/src/rebalance.rs"]
mod rebalance;
#[path = "../../consumer/src/redelivery.rs"]
mod redelivery;
#[path = "../../consumer/src/reposition.rs"]
mod reposition;
#[path = "../../consumer/src/revoke.rs"]
mod revoke;
#[path = "../../consumer/src/runs.rs"]
mod runs;
#[path = "../../consumer/src/seeks.rs"]
mod seeks;
#[path = "../../consumer/src/service.rs"]
mod service;
#[path = "../../consumer/src/shared.rs"]
mod shared;
#[path = "../../consumer/src/shelf.rs"]
mod shelf;
#[path = "../../consumer/src/stall.rs"]
mod stall;
#[path = "../../consumer/src/subscription.rs"]
mod subscription;
#[path = "../../consumer/src/supply.rs"]
mod supply;
#[path = "../../consumer/src/takeover.rs"]
mod takeover;
#[path = "../../consumer/src/waiter.rs"]
mod waiter;

#[cfg(all(test, not(loom)))]
mod history;
#[cfg(all(test, loom))]
#[path = "loom/interleavings.rs"]
mod interleavings;
