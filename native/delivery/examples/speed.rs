//! Nanoseconds a record costs in the tracker: one deliver and one ack.
//! `cargo run --release -p delivery --example speed`

use delivery::{Ack, Tracker};
use std::time::Instant;

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

fn main() {
    println!("in flight   dense   every 100th   every 5000th   (ns a record, acked shuffled)");
    for window in [1, 100, 10_000, 100_000, 1_000_000] {
        let [dense, sparse, segments] = [1, 100, 5000].map(|step| measure(window, step));
        println!("{window:>9}   {dense:>5.1}   {sparse:>11.1}   {segments:>12.1}");
    }
}
