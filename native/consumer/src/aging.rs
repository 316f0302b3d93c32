//! Parked records that still lie in the answer they came in.
//!
//! Most are delivered soon after the rest of their answer, and to copy each would cost as much as all else
//! that is done to it here. Those that are not would keep answers in memory, of which they are a small part:
//! they are copied once so much was read after them.

use std::collections::VecDeque;

use crate::message::Message;
use crate::partition::State;
use crate::shared::Shared;

#[derive(Default)]
pub(crate) struct Aging {
    /// Bytes that were read from the queue, ever.
    read: usize,
    /// What was parked, in the order in which it was read.
    parked: VecDeque<Parked>,
}

/// Records of one partition, up to an offset.
struct Parked {
    slot: u32,
    through: i64,
    /// What had been read by then.
    read: usize,
}

// No answer has more bytes between two values that follow one another, but for large headers.
const GAP: usize = 1 << 20;

impl Aging {
    /// Counts what was read: what is between one value and the next is the record's too.
    pub(crate) fn count<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) {
        let mut last: Option<usize> = None;
        for message in messages {
            let at = message.address();
            let gap = at.zip(last).map(|(at, last)| at.abs_diff(last));
            let bytes = gap.filter(|gap| *gap <= GAP);
            self.read = self.read.wrapping_add(bytes.unwrap_or(message.size()));
            last = at;
        }
    }

    /// Runs what may park records of a partition, and takes note of them.
    pub(crate) fn watch<T>(
        &mut self,
        slot: u32,
        state: &mut State,
        park: impl FnOnce(&mut State) -> T,
    ) -> T {
        let before = state.newest_parked();
        let done = park(state);
        if let Some(through) = state.newest_parked().filter(|it| Some(*it) != before) {
            self.parked.push_back(Parked {
                slot,
                through,
                read: self.read,
            });
        }
        done
    }

    /// Copies what is parked since more was read than may be kept.
    pub(crate) fn step(&mut self, shared: &Shared) {
        while let Some(slow) = self.next(shared.limits.kept()) {
            if let Some(partition) = shared.partition(slow.slot) {
                partition.lock().set_apart(slow.through);
            }
        }
    }

    fn next(&mut self, kept: usize) -> Option<Parked> {
        let oldest = self.parked.front()?;
        let old = self.read.wrapping_sub(oldest.read) > kept;
        old.then(|| self.parked.pop_front()).flatten()
    }
}
