//! One Kafka consumer-group member: its lanes, its rebalances, its commits.
//!
//! This crate knows librdkafka and nothing of the BEAM. A [`Consumer`] owns one member; whoever
//! holds it pulls records lane by lane, acks them, and hears of everything else through a
//! [`Sink`].
#![deny(missing_docs)]

mod asking;
mod chunks;
mod client;
mod clock;
mod code;
mod commit;
mod conf;
mod config;
mod consumer;
mod describe;
mod error;
mod event;
mod heartbeat;
mod intake;
mod kick;
mod known;
mod lane;
mod leave;
mod lookup;
mod message;
mod metadata;
mod nudge;
mod offsets;
mod partition;
mod polled;
mod positions;
mod queue;
mod rebalance;
mod redelivery;
mod reposition;
mod requests;
mod service;
mod shared;
mod stall;
mod sync;
mod text;
mod worker;

pub use code::Code;
pub use conf::check;
pub use config::{Config, PropertyFault, ResetPolicy, Topic};
pub use consumer::{AckId, AckRange, Consumer, Progress};
pub use error::Error;
pub use event::{Assigned, Event, Offset, Redelivered, Revoked, Sink, Stalled};
pub use intake::{Delivered, Pulled};
pub use message::{Headers, Message};
