//! Reads, and tells how fast or how soon.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;

use crate::args::Args;
use crate::consumer::Consumer;
use crate::{usage, Failure};

const PATIENCE: Duration = Duration::from_secs(30);

/// Records a second and the CPU time of each, from the first record to the last one asked for, or
/// until the time is over.
pub fn throughput(args: &Args) -> Result<(), Failure> {
    let records: usize = args.number("records")?;
    let limit = Duration::from_secs(args.number("seconds")?);
    let started = Instant::now();
    let consumer = start(args)?;
    let before = first(&consumer, started)?;
    let (since, cpu) = (Instant::now(), usage::cpu()?);
    figure("first_ms", (since - started).as_secs_f64() * 1e3);
    let mut count = before;
    while count < records && since.elapsed() < limit {
        count += consumer.take(|_| ());
    }
    let (elapsed, cpu) = (since.elapsed(), usage::cpu()?.saturating_sub(cpu));
    let read = (count - before) as f64;
    figure("records", read);
    figure("rate", read / elapsed.as_secs_f64());
    figure("cpu_us", cpu.as_secs_f64() * 1e6 / read);
    figure("peak_mib", usage::peak_kib()? as f64 / 1024.0);
    Ok(())
}

/// The time from the stamp at the beginning of each value to here.
pub fn latency(args: &Args) -> Result<(), Failure> {
    let warm_up = Duration::from_secs(args.number("warm_up")?);
    let limit = warm_up + Duration::from_secs(args.number("seconds")?);
    let started = Instant::now();
    let consumer = start(args)?;
    first(&consumer, started)?;
    let since = Instant::now();
    figure("first_ms", (since - started).as_secs_f64() * 1e3);
    let mut samples = Vec::new();
    while since.elapsed() < limit {
        let measured = since.elapsed() >= warm_up;
        consumer.take(|value| {
            if measured {
                samples.extend(age_ns(value));
            }
        });
    }
    samples.sort_unstable();
    figure(
        "received",
        samples.len() as f64 / (limit - warm_up).as_secs_f64(),
    );
    figure("p50_ms", percentile(&samples, 0.50)?);
    figure("p99_ms", percentile(&samples, 0.99)?);
    Ok(())
}

/// Nanoseconds since the epoch, by the clock that all processes share.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0))
}

fn age_ns(value: &[u8]) -> Option<u64> {
    let stamp = value
        .first_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))?;
    Some(now_ns().saturating_sub(stamp))
}

fn start(args: &Args) -> Result<Consumer, Failure> {
    let headers = args.text("headers")? == "true";
    Consumer::new(&config(args)?, args.text("topic")?, headers)
}

fn first(consumer: &Consumer, started: Instant) -> Result<usize, Failure> {
    while started.elapsed() < PATIENCE {
        let count = consumer.take(|_| ());
        if count > 0 {
            return Ok(count);
        }
    }
    Err(format!("no record within {} s", PATIENCE.as_secs()).into())
}

fn percentile(sorted: &[u64], share: f64) -> Result<f64, Failure> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1)).ok_or("no samples")?;
    Ok(*value as f64 / 1e6)
}

// librdkafka's defaults, but for what is given as `set.NAME=VALUE`. It stores and commits offsets.
fn config(args: &Args) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", args.text("brokers")?)
        .set("group.id", args.text("group")?)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "true");
    for (name, value) in args.beginning_with("set.") {
        config.set(name, value);
    }
    Ok(config)
}

/// A line of standard output.
pub fn figure(name: &str, value: f64) {
    println!("figure {name} {value}");
}
