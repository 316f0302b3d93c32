//! An embedded mock Kafka cluster and a client to look at any cluster from outside: what the
//! tests and the demo stand on. Knows no BEAM.

#![deny(missing_docs)]

mod client;
mod cluster;
mod delivery;
mod error;
mod members;
mod metadata;
mod reader;
mod topics;

pub use client::{Record, TestClient, Transaction};
pub use cluster::{State, TestCluster};
pub use error::{codes, Error};
pub use members::Member;
pub use metadata::Partition;
pub use rdkafka::error::RDKafkaErrorCode;
