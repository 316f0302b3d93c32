//! What a pull's records cost without the BEAM: reading their parts out of librdkafka's messages, and
//! copying them as the NIF copies them into terms.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use consumer::{Delivered, Message};
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use support::{Lab, SOON};
use testing::Record;

#[path = "../../../native/consumer/tests/support/mod.rs"]
mod support;

const BATCH: usize = 500;
const HEADERS: [(&str, Option<&[u8]>); 2] = [
    ("content-type", Some(b"application/json")),
    ("trace-id", Some(b"00000000000012f7")),
];

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("a batch of {BATCH}"));
    for (name, bytes) in [("100 B", 100), ("1 KiB", 1024), ("8 KiB", 8192)] {
        let lab = Lab::new(1);
        let records = pulled(&lab, bytes);
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_function(BenchmarkId::new("read", name), |b| {
            b.iter(|| records.iter().map(read).sum::<usize>());
        });
        group.bench_function(BenchmarkId::new("copy", name), |b| {
            b.iter(|| copied(black_box(&records)));
        });
    }
    group.finish();
}

/// Every part of a record, looked at: how many bytes there are.
fn read(delivered: &Delivered) -> usize {
    parts(&delivered.message)
        .map(|part| black_box(part).len())
        .sum()
}

/// All parts one behind the other.
fn copied(records: &[Delivered]) -> Vec<u8> {
    let mut arena = Vec::with_capacity(records.iter().map(read).sum());
    for delivered in records {
        for part in parts(&delivered.message) {
            arena.extend_from_slice(part);
        }
    }
    arena
}

fn parts(message: &Message) -> impl Iterator<Item = &[u8]> {
    let headers = message
        .headers()
        .flat_map(|(name, value)| [Some(name), value]);
    [message.key(), message.value()]
        .into_iter()
        .chain(headers)
        .flatten()
}

/// Records of such values, with a key and headers, as a pull brings them.
fn pulled(lab: &Lab, bytes: usize) -> Vec<Delivered> {
    let value = vec![b'x'; bytes];
    let record = Record {
        key: Some(b"customer-004711"),
        value: Some(&value),
        headers: HEADERS.to_vec(),
        ..Record::default()
    };
    lab.produce(&vec![record; BATCH]);
    let member = lab.assigned_member(|_| {});
    let mut records = Vec::new();
    while records.len() < BATCH {
        let pulled = member.consumer().pull(0, BATCH - records.len(), || true);
        let pulled = pulled.unwrap();
        let more = pulled.more;
        records.extend(pulled.records);
        if !more && records.len() < BATCH {
            member.wakes.recv_timeout(SOON).unwrap();
        }
    }
    records
}

criterion_group! {
    name = benches;
    config = micro::settings();
    targets = batch
}
criterion_main!(benches);
