//! A lane: the queue its partitions fetch into, and its wake-ups.

use std::sync::Arc;

use crate::event::Sink;
use crate::intake::Intake;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Where partitions go: one attached process pulls what is here.
pub(crate) struct Lane {
    pub(crate) bell: Arc<Bell>,
    /// Held during a pull, and by the service thread when it takes partitions away.
    pub(crate) intake: Mutex<Intake>,
    /// Slots that left their cap and have records parked.
    pub(crate) ready: Mutex<Vec<u32>>,
    attached: AtomicBool,
}

/// Sends a lane's wake-ups, one for each time it was armed.
pub(crate) struct Bell {
    lane: usize,
    armed: AtomicBool,
    sink: Arc<dyn Sink>,
}

impl Lane {
    pub(crate) fn new(lane: usize, sink: Arc<dyn Sink>) -> Lane {
        let bell = Bell {
            lane,
            armed: AtomicBool::new(false),
            sink,
        };
        Lane {
            bell: Arc::new(bell),
            intake: Mutex::new(Intake::default()),
            ready: Mutex::new(Vec::new()),
            attached: AtomicBool::new(false),
        }
    }

    /// Whether this is not the first attachment.
    pub(crate) fn attach(&self) -> bool {
        self.attached.swap(true, Ordering::AcqRel)
    }
}

impl Bell {
    /// Asks for a wake-up; the caller then looks once more for what came before.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Takes the wish back; `false` when the wake-up is on its way already.
    pub(crate) fn disarm(&self) -> bool {
        self.armed.swap(false, Ordering::SeqCst)
    }

    /// Wakes the lane if it is armed. For threads that a [`Sink`] may be called from.
    pub(crate) fn ring(&self) {
        if self.disarm() {
            self.sink.wake(self.lane);
        }
    }
}
