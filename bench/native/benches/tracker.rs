//! What a record costs in the tracker: delivered once, acked once, so many in flight.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion, Throughput};
use delivery::{Ack, Cursor, Tracker};

/// Records in flight at a time: one ack each, a processor's, a batcher's, many batchers', and what should never be.
const WINDOWS: [usize; 6] = [1, 100, 1_000, 10_000, 100_000, 1_000_000];
/// Records in a chunk, up to many chunks that are acked as one.
const CHUNKS: [i64; 4] = [1, 100, 500, 10_000];
/// Distances of offsets: dense, as after compaction, in blocks far apart, and each in a segment of its own.
const STEPS: [(&str, i64); 4] = [
    ("dense", 1),
    ("every 100th", 100),
    ("every 1000th", 1_000),
    ("every 5000th", 5_000),
];

fn tracker(c: &mut Criterion) {
    for (name, step) in STEPS {
        let mut group = c.benchmark_group(format!("tracker, {name} offset"));
        for window in WINDOWS {
            let order = shuffled(window);
            group.throughput(Throughput::Elements(window as u64));
            group.bench_function(BenchmarkId::new("shuffled acks", window), |b| {
                let (mut tracker, mut next) = (Tracker::new(0), 0);
                b.iter(|| {
                    for index in 0..window as i64 {
                        black_box(tracker.deliver((next + index) * step));
                    }
                    for index in &order {
                        assert_eq!(tracker.ack((next + index) * step), Ack::Acked);
                    }
                    next += window as i64;
                    tracker.committable()
                });
            });
        }
        group.finish();
    }
}

/// A chunk's ack: as many records, delivered before, acked as one range.
fn ranges(c: &mut Criterion) {
    for (name, step) in STEPS {
        let mut group = c.benchmark_group(format!("ranges, {name} offset"));
        for records in CHUNKS {
            group.throughput(Throughput::Elements(records as u64));
            group.bench_function(BenchmarkId::new("the ack alone", records), |b| {
                let deliver = || {
                    let mut tracker = Tracker::new(0);
                    for index in 0..records {
                        assert!(tracker.deliver(index * step));
                    }
                    tracker
                };
                let ack = |tracker: &mut Tracker| {
                    let acked = tracker.ack_range(0, black_box((records - 1) * step));
                    assert_eq!(acked, records as u64);
                };
                b.iter_batched_ref(deliver, ack, BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

/// What does not go well: acks of another epoch, and those that come twice.
fn refused(c: &mut Criterion) {
    let mut cursor = Cursor::new();
    let old = cursor.assign(0, None);
    cursor.revoke();
    let epoch = cursor.assign(0, None);
    for offset in 0..1_000 {
        cursor.deliver(offset);
    }
    for offset in 1..1_000 {
        cursor.ack(epoch, offset);
    }
    let mut group = c.benchmark_group("acks that change nothing");
    group.throughput(Throughput::Elements(999));
    for (name, epoch, answer) in [
        ("another epoch", old, Ack::Stale),
        ("twice", epoch, Ack::Duplicate),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                for offset in 1..1_000 {
                    assert_eq!(cursor.ack(black_box(epoch), black_box(offset)), answer);
                }
            });
        });
    }
    group.finish();
}

/// A permutation of `0..size`, the same every time.
fn shuffled(size: usize) -> Vec<i64> {
    let mut order: Vec<i64> = (0..size as i64).collect();
    let mut seed: u64 = 42;
    for index in (1..size).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(index, (seed >> 33) as usize % (index + 1));
    }
    order
}

criterion_group! {
    name = benches;
    config = micro::settings();
    targets = tracker, ranges, refused
}
criterion_main!(benches);
