//! Delivering again what is unacked: for a lane whose process was replaced, or one partition.

use crate::event::{Event, Redelivered};
use crate::lane::Lane;
use crate::partition::{Flow, Partition};
use crate::service::Service;

impl Service {
    /// Delivers again what is unacked on a lane whose process was replaced.
    pub(crate) fn redeliver_lane(&self, lane: usize) {
        let all = self.shared.all();
        let of_lane = all.iter().filter(|it| it.lane() == Some(lane));
        let again: Vec<Redelivered> = of_lane.filter_map(|it| self.redeliver(it)).collect();
        if let Some(lane) = self.shared.lanes.get(lane) {
            self.let_in(lane, again);
        }
    }

    /// Delivers again what is unacked of a slot's partition.
    pub(crate) fn redeliver_slot(&self, slot: u32) {
        let Some(partition) = self.shared.partition(slot) else {
            return;
        };
        let lane = partition
            .lane()
            .and_then(|lane| self.shared.lanes.get(lane));
        if let Some(lane) = lane {
            // No pull may come between the cursor's step back and the hold: it would go past both.
            lane.withhold();
            let again = self.redeliver(&partition);
            self.let_in(lane, again.into_iter().collect());
        }
    }

    /// The caller withholds the lane.
    fn redeliver(&self, partition: &Partition) -> Option<Redelivered> {
        let flow = partition.lock().flow;
        if flow == Flow::Unclaimed {
            return None;
        }
        let again = self.begin_attempt(partition)?;
        // Nothing is delivered of one that goes. If it stays after all, that begins with what is unacked.
        if flow == Flow::Stopped {
            return None;
        }
        // One that is held is sought already: the seek's answer finds that the cursor moved.
        if flow != Flow::Held {
            self.set_aside(partition, Flow::Held);
            self.seek(partition);
        }
        Some(again)
    }

    fn let_in(&self, lane: &Lane, again: Vec<Redelivered>) {
        lane.let_in();
        lane.bell.ring();
        if !again.is_empty() {
            self.shared.sink.event(Event::Redelivered(again));
        }
    }
}
