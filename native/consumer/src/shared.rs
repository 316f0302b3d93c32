//! What callers and the service thread share.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use delivery::SlotTable;

use crate::chunks::Caps;
use crate::claims::{Claim, Claims};
use crate::code::Code;
use crate::config::Config;
use crate::due::Due;
use crate::event::Sink;
use crate::kick::Kick;
use crate::lane::{Bell, Lane};
use crate::limits::Limits;
use crate::partition::Partition;
use crate::paused::Paused;
use crate::pool::Pool;
use crate::shelf::Shelf;
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};

pub(crate) struct Shared {
    pub(crate) lanes: Shelf<Lane>,
    /// One for each lane where their number is fixed, else one for all.
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) claims: Mutex<Claims>,
    claims_changed: AtomicBool,
    caps: Caps,
    pub(crate) chunk_size: Option<NonZeroUsize>,
    pub(crate) limits: Limits,
    pub(crate) sink: Arc<dyn Sink>,
    partitions: RwLock<Partitions>,
    faults: Mutex<Vec<Fault>>,
    due: Due,
    pub(crate) commit_by_hand: bool,
    paused: Mutex<Paused>,
    // Of what is paused, for pulls.
    all_paused: AtomicBool,
    /// How long a close may take that was asked for.
    close: Mutex<Option<Duration>>,
    pub(crate) kick: Kick,
}

#[derive(Default)]
struct Partitions {
    table: SlotTable,
    by_slot: Vec<Arc<Partition>>,
}

/// A partition failed in the middle of its records.
pub(crate) struct Fault {
    pub(crate) slot: u32,
    pub(crate) epoch: u32,
    pub(crate) offset: i64,
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Shared {
    pub(crate) fn new(config: &Config, sink: Arc<dyn Sink>, kick: Kick) -> Shared {
        let (lanes, pools) = lanes(config.lanes, &sink);
        let mut claims = Claims::default();
        if config.lanes > 0 {
            claims.put(Claim::All, 0..config.lanes);
        }
        Shared {
            limits: Limits::new(config.max_buffered_bytes, config.lanes),
            lanes,
            pools,
            claims: Mutex::new(claims),
            claims_changed: AtomicBool::new(false),
            caps: Caps::new(config.max_in_flight, config.chunk_size),
            chunk_size: config.chunk_size,
            sink,
            partitions: RwLock::default(),
            faults: Mutex::default(),
            due: Due::new(config.commit_threshold),
            commit_by_hand: config.commit_by_hand,
            paused: Mutex::new(config.paused.clone()),
            all_paused: AtomicBool::new(config.paused.all),
            close: Mutex::default(),
            kick,
        }
    }

    /// Makes the service thread look at what changed.
    pub(crate) fn kick(&self) {
        self.kick.kick();
    }

    pub(crate) fn partition(&self, slot: u32) -> Option<Arc<Partition>> {
        self.partitions.read().by_slot.get(slot as usize).cloned()
    }

    pub(crate) fn find(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read();
        let slot = partitions.table.find(topic, partition)?;
        partitions.by_slot.get(slot as usize).cloned()
    }

    /// Every partition that ever had a slot.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().by_slot.clone()
    }

    /// Finds or makes the partition's slot.
    pub(crate) fn partition_for(&self, topic: &str, partition: i32) -> Arc<Partition> {
        if let Some(found) = self.find(topic, partition) {
            return found;
        }
        let held = self.paused.lock().covers(topic, partition);
        let mut partitions = self.partitions.write();
        let slot = partitions.table.slot_for(topic, partition);
        let lane = self.claims.lock().lane_for(topic, partition);
        let made = Arc::new(Partition::new(
            Arc::from(topic),
            partition,
            slot,
            lane,
            self.commit_by_hand,
        ));
        made.lock().hold(held);
        // Only the service thread makes slots, so the new one is the next.
        partitions.by_slot.push(Arc::clone(&made));
        made
    }

    pub(crate) fn paused(&self) -> Paused {
        self.paused.lock().clone()
    }

    /// Whether nothing is to be pulled. Whoever reads it holds a pool's intake, and sees what was
    /// set before that was free.
    pub(crate) fn all_paused(&self) -> bool {
        self.all_paused.load(Ordering::Acquire)
    }

    /// Takes note of what is paused; whether that is news.
    pub(crate) fn set_paused(&self, paused: &Paused) -> bool {
        self.all_paused.store(paused.all, Ordering::Release);
        let before = std::mem::replace(&mut *self.paused.lock(), paused.clone());
        before != *paused
    }

    /// The queue that a partition fetches into.
    pub(crate) fn pool_of(&self, partition: &Partition) -> &Pool {
        // Where a partition can be nobody's there is one pool, else one for each lane.
        let lane = partition.lane().filter(|_| !self.has_claimed_lanes());
        &self.pools[lane.unwrap_or(0)]
    }

    /// How much of one partition of a lane may be in flight.
    pub(crate) fn caps_on(&self, lane: Option<usize>) -> Caps {
        let own = lane.and_then(|lane| self.lanes.get(lane)?.max_in_flight());
        own.map_or(self.caps, |own| Caps::new(own, self.chunk_size))
    }

    /// Wakes a lane that waits.
    pub(crate) fn ring(&self, lane: Option<usize>) {
        if let Some(lane) = lane.and_then(|lane| self.lanes.get(lane)) {
            lane.bell.ring();
        }
    }

    /// Whether lanes are claimed, and their number is not fixed.
    pub(crate) fn has_claimed_lanes(&self) -> bool {
        self.pools.iter().any(|pool| pool.bell.is_none())
    }

    /// Says that partitions may have to go to other lanes.
    pub(crate) fn change_claims(&self) {
        self.claims_changed.store(true, Ordering::Release);
        self.kick();
    }

    pub(crate) fn take_claims_changed(&self) -> bool {
        self.claims_changed.swap(false, Ordering::AcqRel)
    }

    /// Makes the service thread leave, however much else it was asked to do.
    pub(crate) fn want_close(&self, timeout: Duration) {
        self.close.lock().get_or_insert(timeout);
        self.kick();
    }

    pub(crate) fn take_close(&self) -> Option<Duration> {
        self.close.lock().take()
    }

    pub(crate) fn report_fault(&self, fault: Fault) {
        self.faults.lock().push(fault);
        self.kick();
    }

    pub(crate) fn take_faults(&self) -> Vec<Fault> {
        std::mem::take(&mut *self.faults.lock())
    }

    /// Says that there is an offset to commit.
    pub(crate) fn want_commit(&self) {
        if self.due.want() {
            self.kick();
        }
    }

    /// Says that there is one that does not wait for the interval.
    pub(crate) fn want_commit_now(&self) {
        if self.due.want_now() {
            self.kick();
        }
    }

    /// Says that records were acked, and whether there is an offset to commit because of that.
    pub(crate) fn acked(&self, count: u64, committable: bool) {
        let enough = count > 0 && self.due.count(count);
        if committable && enough {
            self.want_commit_now();
        } else if committable {
            self.want_commit();
        }
    }

    pub(crate) fn commit_wanted(&self) -> bool {
        self.due.is_wanted()
    }

    pub(crate) fn commit_wanted_now(&self) -> bool {
        self.due.is_wanted_now()
    }

    pub(crate) fn take_commit_wanted(&self) -> bool {
        self.due.take()
    }
}

/// A fixed number of lanes, each with a pool of its own; or none yet, and a pool for all.
fn lanes(count: usize, sink: &Arc<dyn Sink>) -> (Shelf<Lane>, Vec<Arc<Pool>>) {
    let lanes = Shelf::default();
    if count == 0 {
        return (lanes, vec![Arc::new(Pool::new(None))]);
    }
    lanes.grow_to(count, |index| {
        let bell = Arc::new(Bell::new(index, Arc::clone(sink)));
        let pool = Pool::new(Some(Arc::clone(&bell)));
        Lane::new(bell, Arc::new(pool))
    });
    let pools = lanes.iter().map(|lane| Arc::clone(&lane.pool)).collect();
    (lanes, pools)
}
