//! Delivering again what is unacked: for a lane whose process was replaced, or one partition.

use crate::event::{Event, Redelivered};
use crate::partition::{Flow, Partition};
use crate::service::Service;

impl Service {
    /// Delivers again what is unacked on a lane whose process was replaced.
    pub(crate) fn redeliver_lane(&self, lane: usize) {
        let all = self.shared.all();
        let of_lane = all.iter().filter(|partition| partition.lane == lane);
        let again: Vec<Redelivered> = of_lane.filter_map(|it| self.redeliver(it)).collect();
        self.let_in(lane, again);
    }

    /// Delivers again what is unacked of a slot's partition.
    pub(crate) fn redeliver_slot(&self, slot: u32) {
        if let Some(partition) = self.shared.partition(slot) {
            // No pull may come between the cursor's step back and the hold: it would go past both.
            self.shared.lanes[partition.lane].intake.lock().withheld += 1;
            let again = self.redeliver(&partition);
            self.let_in(partition.lane, again.into_iter().collect());
        }
    }

    /// The caller withholds the lane.
    fn redeliver(&self, partition: &Partition) -> Option<Redelivered> {
        let mut state = partition.lock();
        if state.flow == Flow::Stopped {
            return None;
        }
        let offset = state.begin_attempt()?;
        let again = Redelivered {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch: state.cursor.epoch(),
            offset,
            count: state.cursor.tracker().map_or(0, |it| it.in_flight()),
        };
        // One that is held is sought already: the seek's answer finds that the cursor moved.
        let sought = state.flow == Flow::Held;
        drop(state);
        if !sought {
            self.set_aside(partition, Flow::Held);
            self.seek(partition);
        }
        Some(again)
    }

    fn let_in(&self, lane: usize, again: Vec<Redelivered>) {
        self.shared.lanes[lane].intake.lock().withheld -= 1;
        self.shared.lanes[lane].bell.ring();
        if !again.is_empty() {
            self.shared.sink.event(Event::Redelivered(again));
        }
    }
}
