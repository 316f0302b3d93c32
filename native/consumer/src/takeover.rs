//! Partitions that are assigned: begun anew, or kept.

use crate::event::Assigned;
use crate::partition::Flow;
use crate::positions::Position;
use crate::service::Service;

/// A partition that is assigned once more, and was ours all the time.
pub(crate) enum Kept {
    /// It goes on here.
    At(i64),
    /// It had been told that it goes.
    Going(Assigned),
}

impl Service {
    /// Where a partition goes on that is assigned once more, and was ours all the time.
    pub(crate) fn keep(&self, position: &Position) -> Option<Kept> {
        let partition = self.shared.find(&position.topic, position.partition)?;
        let was_going = {
            let state = partition.lock();
            state.cursor.tracker()?;
            state.flow == Flow::Stopped
        };
        self.set_aside(&partition, Flow::Running);
        self.resume_claimed(&partition);
        let state = partition.lock();
        let next = state.cursor.tracker()?.next();
        Some(if was_going {
            Kept::Going(Assigned {
                topic: position.topic.clone(),
                partition: position.partition,
                slot: partition.slot,
                epoch: state.cursor.epoch(),
                start: next,
            })
        } else {
            Kept::At(next)
        })
    }

    /// Begins a partition's epoch and joins its queue to its lane's.
    pub(crate) fn take_over(&self, position: &Position) -> Assigned {
        let partition = self
            .shared
            .partition_for(&position.topic, position.partition);
        self.resume_claimed(&partition);
        let intake = self.shared.pool_of(&partition).intake.lock();
        let claimed = partition.lane().is_some();
        let mut state = partition.lock();
        let epoch = state.begin_epoch(position.start, position.committed);
        state.topic_id = position.topic_id;
        state.queue = self
            .client
            .partition_queue(&position.topic, position.partition);
        if let Some(queue) = &state.queue {
            queue.forward(intake.queue.as_ref().filter(|_| claimed));
        }
        state.flow = if claimed {
            Flow::Running
        } else {
            Flow::Unclaimed
        };
        Assigned {
            topic: position.topic.clone(),
            partition: position.partition,
            slot: partition.slot,
            epoch,
            start: position.start,
        }
    }
}
