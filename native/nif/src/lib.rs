//! The boundary between the BEAM and the Kafka consumer: decode, call, encode.
#![deny(missing_docs)]

mod atoms;
mod config;
mod decode;
mod error;
mod event;
mod member;
mod records;
mod sink;
mod testing;

rustler::init!("Elixir.OffBroadwayRustKafka.Native");
