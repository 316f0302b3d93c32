//! What callers and the service thread share.

use std::num::NonZeroUsize;
use std::sync::Arc;

use delivery::SlotTable;

use crate::chunks::Caps;
use crate::code::Code;
use crate::config::Config;
use crate::event::Sink;
use crate::kick::Kick;
use crate::lane::Lane;
use crate::partition::Partition;
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};

pub(crate) struct Shared {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) caps: Caps,
    pub(crate) chunk_size: Option<NonZeroUsize>,
    pub(crate) sink: Arc<dyn Sink>,
    partitions: RwLock<Partitions>,
    faults: Mutex<Vec<Fault>>,
    commit_due: AtomicBool,
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
        Shared {
            lanes: (0..config.lanes.max(1))
                .map(|lane| Lane::new(lane, Arc::clone(&sink)))
                .collect(),
            caps: Caps::of(config),
            chunk_size: config.chunk_size,
            sink,
            partitions: RwLock::default(),
            faults: Mutex::default(),
            commit_due: AtomicBool::new(false),
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
        let mut partitions = self.partitions.write();
        let slot = partitions.table.slot_for(topic, partition);
        let lane = lane_of(topic, partition, self.lanes.len());
        let made = Arc::new(Partition::new(Arc::from(topic), partition, slot, lane));
        // Only the service thread makes slots, so the new one is the next.
        partitions.by_slot.push(Arc::clone(&made));
        made
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
        if !self.commit_due.swap(true, Ordering::AcqRel) {
            self.kick();
        }
    }

    pub(crate) fn commit_wanted(&self) -> bool {
        self.commit_due.load(Ordering::Acquire)
    }

    pub(crate) fn take_commit_wanted(&self) -> bool {
        self.commit_due.swap(false, Ordering::AcqRel)
    }
}

/// The lane of a partition: the same on every start, and neighbours on different lanes.
fn lane_of(topic: &str, partition: i32, lanes: usize) -> usize {
    // FNV-1a.
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lanes = lanes.max(1) as u64;
    (hash % lanes).wrapping_add(partition.unsigned_abs().into()) as usize % lanes as usize
}

#[cfg(test)]
mod tests {
    use super::lane_of;

    #[test]
    fn neighbouring_partitions_go_to_different_lanes_and_all_lanes_are_used() {
        for lanes in 1..9 {
            let taken: Vec<usize> = (0..lanes as i32)
                .map(|p| lane_of("orders", p, lanes))
                .collect();
            let mut sorted = taken.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..lanes).collect::<Vec<_>>());
        }
    }
}
