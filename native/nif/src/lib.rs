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

// librdkafka allocates several times for each record, on one thread, and frees on another, which glibc's
// malloc is slow at; and glibc gives large buffers back to the kernel, which clears their pages again. The
// crate's feature `override` makes it the malloc of all of this library, librdkafka too, and of nothing else.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

rustler::init!("Elixir.OffBroadwayRustKafka.Native");
