//! Sends so many records a second, each with the time in it.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::ClientConfig;

use crate::args::Args;
use crate::read::{figure, now_ns};
use crate::Failure;

/// How often it sends what is due: the fewer records a second, the less often.
const SHORTEST_TICK: Duration = Duration::from_millis(1);
const LONGEST_TICK: Duration = Duration::from_millis(10);
/// Records a second at first.
const FEW: f64 = 100.0;
const SECOND: Duration = Duration::from_secs(1);

/// So many records a second until it is ended, after `slowly` seconds of few: whoever reads them may
/// start meanwhile, and begins with no backlog. What of them it could send, it tells once a second. All of a
/// tick go to one partition, as a producer's own partitioner does with records without a key.
pub fn pace(args: &Args) -> Result<(), Failure> {
    let topic = args.text("topic")?;
    let partitions: i32 = args.number("partitions")?;
    let bytes: usize = args.number("bytes")?;
    let rate: f64 = args.number("rate")?;
    let slowly: f64 = args.number("slowly")?;
    let producer = producer(args)?;
    let mut value = vec![b'.'; bytes.max(8)];
    let tick = Duration::from_secs_f64(1.0 / rate).clamp(SHORTEST_TICK, LONGEST_TICK);
    let started = Instant::now();
    let (mut sent, mut told, mut told_at) = (0_u64, 0_u64, started);
    for partition in (0..partitions).cycle() {
        let elapsed = started.elapsed().as_secs_f64();
        let few = rate.min(FEW) * elapsed.min(slowly);
        let due = (few + rate * (elapsed - slowly).max(0.0)) as u64;
        while sent < due {
            value[..8].copy_from_slice(&now_ns().to_be_bytes());
            send(&producer, topic, partition, &value)?;
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        let since_told = told_at.elapsed();
        if since_told >= SECOND {
            figure("sent", (sent - told) as f64 / since_told.as_secs_f64());
            (told, told_at) = (sent, Instant::now());
        }
        thread::sleep(tick);
    }
    Ok(())
}

// Waits where librdkafka has no room for more.
fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) -> Result<(), Failure> {
    let mut record = BaseRecord::<(), [u8]>::to(topic)
        .partition(partition)
        .payload(value);
    while let Err((error, back)) = producer.send(record) {
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                producer.poll(SHORTEST_TICK)
            }
            other => return Err(other.into()),
        };
        record = back;
    }
    Ok(())
}

fn producer(args: &Args) -> Result<BaseProducer, Failure> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", args.text("brokers")?)
        .set("linger.ms", args.text("linger")?)
        .create()?;
    Ok(producer)
}
