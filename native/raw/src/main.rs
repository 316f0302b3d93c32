//! What the bench compares with: librdkafka without a BEAM, read as fast as it gives. And the
//! records that all connectors read.
//!
//!     raw read    brokers= topic= group= records= seconds=     how fast
//!     raw latency brokers= topic= group= warm_up= seconds=     how soon
//!     raw load    brokers= topic= partitions= bytes= records= codec=
//!     raw pace    brokers= topic= partitions= bytes= rate= slowly= linger=
//!
//! The first two take librdkafka's properties as `set.NAME=VALUE`, and `headers=true` or `false`: whether
//! each record's headers are read.
//! Figures are lines of `figure NAME VALUE` on standard output. It ends when its standard input does.

#![deny(missing_docs)]

mod args;
mod consumer;
mod load;
mod pace;
mod read;
mod usage;
mod value;

use std::io::Read;
use std::process::ExitCode;
use std::thread;

use args::Args;

/// Whatever went wrong: it is only told.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    thread::spawn(end_with_input);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    let args = Args::parse(given)?;
    match command.as_str() {
        "read" => read::throughput(&args),
        "latency" => read::latency(&args),
        "load" => load::load(&args),
        "pace" => pace::pace(&args),
        _ => Err(format!("read, latency, load or pace, got: \"{command}\"").into()),
    }
}

/// Who started this is gone, or wants it to end.
fn end_with_input() {
    let mut input = std::io::stdin().lock();
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer), Ok(count) if count > 0) {}
    std::process::exit(0);
}
