//! Delivering again what is unacked: for a lane whose process was replaced, or one partition.

use crate::partition::{Flow, Partition};
use crate::service::Service;

impl Service {
    /// Delivers again what is unacked on a lane whose process was replaced.
    pub(crate) fn redeliver_lane(&self, lane: usize) {
        for partition in self.shared.all() {
            if partition.lane == lane {
                self.redeliver(&partition);
            }
        }
        self.shared.lanes[lane].intake.lock().withheld -= 1;
        self.shared.lanes[lane].bell.ring();
    }

    /// Delivers again what is unacked of a slot's partition.
    pub(crate) fn redeliver_slot(&self, slot: u32) {
        if let Some(partition) = self.shared.partition(slot) {
            // No pull may come between the cursor's step back and the hold: it would go past both.
            self.shared.lanes[partition.lane].intake.lock().withheld += 1;
            self.redeliver(&partition);
            self.shared.lanes[partition.lane].intake.lock().withheld -= 1;
            self.shared.lanes[partition.lane].bell.ring();
        }
    }

    /// The caller withholds the lane.
    fn redeliver(&self, partition: &Partition) {
        // One that is held is sought already: the seek's answer finds that the cursor moved.
        let unsought = {
            let mut state = partition.lock();
            let unacked = state.flow != Flow::Stopped && state.cursor.redeliver().is_some();
            unacked && state.flow != Flow::Held
        };
        if unsought {
            self.set_aside(partition, Flow::Held);
            self.seek(partition);
        }
    }
}
