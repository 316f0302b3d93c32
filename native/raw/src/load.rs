//! Fills topics, at full speed.

use std::time::Duration;

use testing::{Record, TestClient};

use crate::args::Args;
use crate::value::pool;
use crate::Failure;

const TIMEOUT: Duration = Duration::from_secs(60);
const VALUES: usize = 1024;
const KEYS: usize = 10_000;
/// Bytes produced before their delivery is waited for.
const CHUNK: usize = 16 << 20;
const CONTENT_TYPE: (&str, Option<&[u8]>) = ("content-type", Some(b"application/json"));

/// Records round the partitions, each with a key and two headers.
pub fn load(args: &Args) -> Result<(), Failure> {
    let topic = args.text("topic")?;
    let partitions: usize = args.number("partitions")?;
    let bytes: usize = args.number("bytes")?;
    let records: usize = args.number("records")?;
    let client = client(args)?;
    let values = pool(VALUES, bytes);
    let keys: Vec<String> = (0..KEYS).map(|n| format!("customer-{n:06}")).collect();
    let traces: Vec<String> = (0..VALUES).map(|n| format!("{:016x}", n * 7919)).collect();
    let chunk = (CHUNK / bytes).clamp(1, 50_000);
    for from in (0..records).step_by(chunk) {
        let batch: Vec<_> = (from..records.min(from + chunk))
            .map(|n| Record {
                partition: (n % partitions) as i32,
                key: Some(keys[n % KEYS].as_bytes()),
                value: Some(&values[n % VALUES]),
                headers: vec![
                    CONTENT_TYPE,
                    ("trace-id", Some(traces[n % VALUES].as_bytes())),
                ],
                timestamp: None,
            })
            .collect();
        client.produce(topic, &batch, TIMEOUT)?;
    }
    Ok(())
}

fn client(args: &Args) -> Result<TestClient, Failure> {
    let properties = [
        ("bootstrap.servers", args.text("brokers")?),
        ("compression.type", args.text("codec")?),
        ("linger.ms", "20"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(TestClient::new(&properties)?)
}
