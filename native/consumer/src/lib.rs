//! One Kafka consumer-group member: its lanes, its rebalances, its commits.
//!
//! This crate knows librdkafka and nothing of the BEAM. A [`Consumer`] owns one member; whoever
//! holds it pulls records lane by lane, acks them, and hears of everything else through a
//! [`Sink`].
#![deny(missing_docs)]

mod asked;
mod asking;
mod authenticate;
mod basket;
mod certificates;
mod chunks;
mod claiming;
mod claims;
mod client;
mod clock;
mod code;
mod codes;
mod command;
mod commit;
mod conf;
mod config;
mod connections;
mod consumer;
mod credentials;
mod describe;
mod due;
mod error;
mod event;
mod explicit;
mod heartbeat;
mod hold;
mod intake;
mod kick;
mod known;
mod lane;
mod leave;
mod limits;
mod look;
mod lookup;
mod message;
mod metadata;
mod nudge;
mod offsets;
mod parked;
mod partition;
mod pause;
mod paused;
mod polled;
mod pool;
mod positions;
mod queue;
mod rebalance;
mod redelivery;
mod reposition;
mod requests;
mod revoke;
mod runs;
mod seeks;
mod service;
mod shared;
mod shelf;
mod stall;
mod subscription;
mod supply;
mod sync;
mod takeover;
mod targets;
mod text;
mod waiter;
mod worker;

pub use claims::Claim;
pub use code::Code;
pub use codes::codes;
pub use conf::check;
pub use config::{Config, PropertyFault, ResetPolicy, Topic};
pub use consumer::{AckId, AckRange, Buffered, Consumer, Progress};
pub use credentials::Credentials;
pub use error::Error;
pub use event::{Assigned, Event, Offset, Redelivered, Revoked, Sink, Sought, Stalled};
pub use explicit::{Manner, Place, Wish};
pub use intake::{Delivered, Pulled};
pub use message::{Headers, Message};
pub use paused::{Paused, Scope, Subject};
pub use seeks::SeekTo;
pub use shelf::Shelf;
pub use waiter::Answer;
