//! A queue that partitions fetch into: of one lane, or of all that were claimed.
//!
//! librdkafka compares a queue's length with its limit before it fetches. Lanes that are claimed are
//! as many as there are partitions, so they share a queue, and the limit holds for all of them. Who
//! reads it puts what is another lane's by for that one.

use std::sync::Arc;

use crate::intake::Intake;
use crate::lane::{Bell, Lane};
use crate::partition::Partition;
use crate::service::Service;
use crate::supply::read_some;
use crate::sync::{AtomicBool, Mutex, Ordering};

pub(crate) struct Pool {
    /// Held during a pull, and by the service thread when it takes partitions away.
    pub(crate) intake: Mutex<Intake>,
    /// Of the one lane that reads it; none where there may be many.
    pub(crate) bell: Option<Arc<Bell>>,
    /// Slots to be paused: nothing is read from the queue until they are.
    full: Mutex<Vec<u32>>,
    /// One partition fetches into it, of the one lane that reads it.
    of_one: AtomicBool,
    /// Slots to be resumed.
    drained: Mutex<Vec<u32>>,
    /// Lanes that something was put by for.
    supplied: Mutex<Vec<usize>>,
}

impl Pool {
    pub(crate) fn new(bell: Option<Arc<Bell>>) -> Pool {
        Pool {
            intake: Mutex::new(Intake::default()),
            bell,
            full: Mutex::new(Vec::new()),
            of_one: AtomicBool::new(false),
            drained: Mutex::new(Vec::new()),
            supplied: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn is_of_one(&self) -> bool {
        self.of_one.load(Ordering::Relaxed)
    }

    pub(crate) fn put_full(&self, slot: u32) {
        self.full.lock().push(slot);
    }

    pub(crate) fn has_full(&self) -> bool {
        !self.full.lock().is_empty()
    }

    pub(crate) fn take_full(&self) -> Vec<u32> {
        std::mem::take(&mut *self.full.lock())
    }

    pub(crate) fn put_drained(&self, slot: u32) {
        self.drained.lock().push(slot);
    }

    pub(crate) fn take_drained(&self) -> Vec<u32> {
        std::mem::take(&mut *self.drained.lock())
    }

    pub(crate) fn put_supplied(&self, lane: usize) {
        self.supplied.lock().push(lane);
    }
}

impl Service {
    /// Takes note of pools that one partition fetches into. What they are wakes nobody: whoever assigns
    /// does so afterwards.
    pub(crate) fn count_assigned(&self) {
        let assigned = self.assigned();
        for pool in &self.shared.pools {
            let of_pool = |it: &&Arc<Partition>| std::ptr::eq(self.shared.pool_of(it), &**pool);
            let count = assigned.iter().filter(of_pool).take(2).count();
            let of_one = count == 1 && pool.bell.is_some();
            pool.of_one.store(of_one, Ordering::Relaxed);
        }
    }

    /// Wakes lanes that others read for, and reads for those that wait.
    pub(crate) fn step_pools(&self) {
        for pool in self.shared.pools.iter().filter(|it| it.bell.is_none()) {
            self.wake_supplied(pool);
            self.read_for_others(pool);
        }
    }

    fn wake_supplied(&self, pool: &Pool) {
        let supplied = std::mem::take(&mut *pool.supplied.lock());
        for lane in supplied {
            self.shared.ring(Some(lane));
        }
    }

    /// No lane waits while the queue holds something that may be its own.
    fn read_for_others(&self, pool: &Pool) {
        let waits = || self.shared.lanes.iter().any(Lane::waits);
        if self.shared.all_paused() || !waits() {
            return;
        }
        // Others may have the intake in between.
        let read = || read_some(&self.shared, pool, &mut pool.intake.lock());
        while !pool.has_full() && waits() && read() {
            self.wake_supplied(pool);
        }
    }
}
