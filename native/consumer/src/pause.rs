//! Partitions that have their share of records parked: librdkafka stops to fetch them, and goes on
//! after what was read last.

use std::sync::Arc;

use crate::offsets::Offsets;
use crate::partition::Partition;
use crate::pool::Pool;
use crate::service::Service;

impl Service {
    /// Pauses and resumes what lanes asked for.
    pub(crate) fn step_pauses(&self) {
        for pool in &self.shared.pools {
            self.pause_full(pool);
            self.resume_drained(pool);
        }
    }

    fn pause_full(&self, pool: &Pool) {
        if !pool.has_full() {
            return;
        }
        // A pull that read on meanwhile would be behind the position that is kept.
        let mut intake = pool.intake.lock();
        let full = self.those(pool.take_full(), |partition| partition.lock().pause());
        if !full.is_empty() {
            intake.take_queued(self.shared.limits.spare());
            intake.aging.end(&self.shared);
        }
        self.client.pause(&offsets(&full));
        drop(intake);
        if let Some(bell) = &pool.bell {
            bell.ring();
        }
    }

    fn resume_drained(&self, pool: &Pool) {
        let drained = self.those(pool.take_drained(), |partition| partition.lock().resume());
        if drained.is_empty() {
            return;
        }
        self.client.resume(&offsets(&drained));
        let places = drained.iter().map(|p| (p.topic.to_string(), p.partition));
        self.nudge.send(places.collect());
    }

    fn those(&self, slots: Vec<u32>, wanted: impl Fn(&Partition) -> bool) -> Vec<Arc<Partition>> {
        let known = slots
            .into_iter()
            .filter_map(|slot| self.shared.partition(slot));
        known.filter(|partition| wanted(partition)).collect()
    }
}

fn offsets(partitions: &[Arc<Partition>]) -> Offsets {
    Offsets::new(partitions.iter().map(|p| (&*p.topic, p.partition, 0)))
}
