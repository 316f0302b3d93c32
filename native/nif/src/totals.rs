//! What the pulls of a member brought, in sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use consumer::Delivered;

/// Counts that only grow.
#[derive(Default)]
pub(crate) struct Totals {
    pulls: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
}

impl Totals {
    /// Adds a pull that began then; one that brought nothing is none.
    pub(crate) fn add(&self, records: &[Delivered], begun: Instant) {
        if records.is_empty() {
            return;
        }
        let bytes: usize = records.iter().map(|it| it.message.size()).sum();
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.pulls.fetch_add(1, Ordering::Relaxed);
        self.records
            .fetch_add(records.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Pulls, records, bytes of keys and values, microseconds.
    pub(crate) fn get(&self) -> (u64, u64, u64, u64) {
        (
            self.pulls.load(Ordering::Relaxed),
            self.records.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
            self.nanos.load(Ordering::Relaxed) / 1_000,
        )
    }
}
