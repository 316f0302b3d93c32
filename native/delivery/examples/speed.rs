//! Nanoseconds a record costs in the tracker: one deliver and one ack, or its share of an ack of many.
//! `cargo run --release -p delivery --example speed`

use delivery::{Ack, Tracker};
use std::time::{Duration, Instant};

const RECORDS: usize = 5_000_000;

/// A permutation of `0..size` by a fixed linear congruential generator.
fn shuffled(size: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..size).collect();
    let mut seed: u64 = 42;
    for index in (1..size).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(index, (seed >> 33) as usize % (index + 1));
    }
    order
}

/// Keeps `window` records in flight, `step` offsets apart, and acks them shuffled.
fn measure(window: usize, step: i64) -> f64 {
    let order = shuffled(window);
    let rounds = RECORDS / window;
    let mut tracker = Tracker::new(0);
    let started = Instant::now();
    for round in 0..rounds {
        let base = (round * window) as i64;
        for index in 0..window as i64 {
            assert!(tracker.deliver((base + index) * step));
        }
        for &index in &order {
            assert_eq!(tracker.ack((base + index as i64) * step), Ack::Acked);
        }
    }
    let nanoseconds = started.elapsed().as_nanos() as f64;
    assert_eq!(tracker.in_flight(), 0);
    nanoseconds / (rounds * window) as f64
}

/// Delivers as many records, `step` offsets apart, and acks them as one range.
fn measure_range(records: usize, step: i64) -> f64 {
    let rounds = RECORDS / records;
    let mut tracker = Tracker::new(0);
    let mut acking = Duration::ZERO;
    for round in 0..rounds {
        let base = (round * records) as i64;
        for index in 0..records as i64 {
            assert!(tracker.deliver((base + index) * step));
        }
        let started = Instant::now();
        let last = (base + records as i64 - 1) * step;
        assert_eq!(tracker.ack_range(base * step, last), records as u64);
        acking += started.elapsed();
    }
    acking.as_nanos() as f64 / (rounds * records) as f64
}

fn main() {
    println!("in flight   dense   every 100th   every 5000th   (ns a record, acked shuffled)");
    for window in [1, 100, 10_000, 100_000, 1_000_000] {
        let [dense, sparse, segments] = [1, 100, 5000].map(|step| measure(window, step));
        println!("{window:>9}   {dense:>5.1}   {sparse:>11.1}   {segments:>12.1}");
    }
    println!("  a range   dense   every 100th   every 1000th   every 5000th   (ns a record, the ack alone)");
    for records in [1, 10, 100, 500, 10_000] {
        let [a, b, c, d] = [1, 100, 1000, 5000].map(|step| measure_range(records, step));
        println!("{records:>9}   {a:>5.1}   {b:>11.1}   {c:>12.1}   {d:>12.1}");
    }
}
