//! The boundary between the BEAM and the Kafka consumer: decode, call, encode.
#![deny(missing_docs)]

mod arena;
mod atoms;
mod claims;
mod codes;
mod commit;
mod config;
mod decode;
mod error;
mod event;
mod member;
mod pace;
mod records;
mod sink;
mod statistics;
mod testing;
mod totals;

rustler::init!("Elixir.OffBroadwayRustKafka.Native");
