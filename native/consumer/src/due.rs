//! That there is something to commit, and how soon.

use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Set by acks and explicit commits, taken by the service thread.
pub(crate) struct Due {
    wanted: AtomicBool,
    /// Not to wait for the interval.
    now: AtomicBool,
    acked: AtomicU64,
    threshold: Option<u64>,
}

impl Due {
    /// `threshold` is how many acks do not wait for the interval.
    pub(crate) fn new(threshold: Option<u64>) -> Due {
        Due {
            wanted: AtomicBool::new(false),
            now: AtomicBool::new(false),
            acked: AtomicU64::new(0),
            threshold,
        }
    }

    /// Something is to be committed, in its time; answers whether that is news.
    pub(crate) fn want(&self) -> bool {
        !self.wanted.swap(true, Ordering::AcqRel)
    }

    /// The same, at once.
    pub(crate) fn want_now(&self) -> bool {
        let sooner = !self.now.swap(true, Ordering::AcqRel);
        self.want() || sooner
    }

    /// Counts acks; answers whether they have come to the threshold.
    pub(crate) fn count(&self, acked: u64) -> bool {
        self.threshold.is_some_and(|threshold| {
            let before = self.acked.fetch_add(acked, Ordering::AcqRel);
            before.saturating_add(acked) >= threshold
        })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(crate) fn is_wanted_now(&self) -> bool {
        self.now.load(Ordering::Acquire)
    }

    /// Begins anew: whatever was set before this is read after it.
    pub(crate) fn take(&self) -> bool {
        if self.threshold.is_some() {
            self.acked.store(0, Ordering::Release);
        }
        self.now.swap(false, Ordering::AcqRel);
        self.wanted.swap(false, Ordering::AcqRel)
    }
}
