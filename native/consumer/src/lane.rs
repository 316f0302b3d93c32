//! A lane: whose partitions' records one process pulls, and its wake-ups.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::Arc;

use crate::event::Sink;
use crate::pool::Pool;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Where partitions go: one attached process pulls what is here.
pub(crate) struct Lane {
    pub(crate) bell: Arc<Bell>,
    /// What its partitions fetch into.
    pub(crate) pool: Arc<Pool>,
    /// Slots that left their cap, or that another lane has read for, and have records parked.
    pub(crate) ready: Mutex<Vec<u32>>,
    attached: AtomicBool,
    /// Redeliveries that have not begun: what they bring goes before anything new. Changed while the
    /// pool's intake is held.
    withheld: AtomicUsize,
    /// Whoever claimed it may have a limit of his own; 0 for the member's.
    max_in_flight: AtomicU64,
}

/// Sends a lane's wake-ups, one for each time it was armed.
pub(crate) struct Bell {
    lane: usize,
    armed: AtomicBool,
    sink: Arc<dyn Sink>,
}

impl Lane {
    pub(crate) fn new(bell: Arc<Bell>, pool: Arc<Pool>) -> Lane {
        Lane {
            bell,
            pool,
            ready: Mutex::new(Vec::new()),
            attached: AtomicBool::new(false),
            withheld: AtomicUsize::new(0),
            max_in_flight: AtomicU64::new(0),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.bell.lane
    }

    pub(crate) fn max_in_flight(&self) -> Option<u64> {
        Some(self.max_in_flight.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    pub(crate) fn set_max_in_flight(&self, most: Option<u64>) {
        let most = most.unwrap_or(0);
        self.max_in_flight.store(most, Ordering::Relaxed);
    }

    /// Whether this is not the first attachment.
    pub(crate) fn attach(&self) -> bool {
        self.attached.swap(true, Ordering::AcqRel)
    }

    /// The next attachment is the first one of whoever claims the lane next.
    pub(crate) fn detach(&self) {
        self.attached.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn withhold(&self) {
        let _no_pull = self.pool.intake.lock();
        self.withheld.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn let_in(&self) {
        let _no_pull = self.pool.intake.lock();
        self.withheld.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_withheld(&self) -> bool {
        self.withheld.load(Ordering::Relaxed) > 0
    }

    /// Whether it has asked for records, and may be given some.
    pub(crate) fn waits(&self) -> bool {
        self.bell.is_armed() && !self.is_withheld()
    }
}

impl Bell {
    pub(crate) fn new(lane: usize, sink: Arc<dyn Sink>) -> Bell {
        Bell {
            lane,
            armed: AtomicBool::new(false),
            sink,
        }
    }

    /// Asks for a wake-up; the caller then looks once more for what came before.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Takes the wish back; `false` when the wake-up is on its way already.
    pub(crate) fn disarm(&self) -> bool {
        self.armed.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    /// Wakes the lane if it is armed. For threads that a [`Sink`] may be called from.
    pub(crate) fn ring(&self) {
        if self.disarm() {
            self.sink.wake(self.lane);
        }
    }
}
