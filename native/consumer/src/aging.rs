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
    parked: VecDeque<Mark>,
}

/// Records of one partition, up to an offset.
struct Mark {
    slot: u32,
    through: i64,
    /// What had been read by then.
    read: usize,
}

impl Mark {
    fn set_apart(&self, shared: &Shared) {
        if let Some(partition) = shared.partition(self.slot) {
            partition.lock().set_apart(self.through);
        }
    }
}

// No answer has more bytes between two values that follow one another, but for large headers.
const GAP: usize = 1 << 20;

// Of a record without key and value.
const LEAST: usize = 8;

impl Aging {
    /// Counts what was read: what is between one value and the next is the record's too. Nothing is
    /// counted while nothing is parked.
    pub(crate) fn count<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) {
        if self.parked.is_empty() {
            return;
        }
        let mut last: Option<usize> = None;
        for message in messages {
            let at = message.address();
            let gap = at.zip(last).map(|(at, last)| at.abs_diff(last));
            let gap = gap.filter(|gap| *gap <= GAP).unwrap_or(0);
            self.read = self.read.wrapping_add(gap.max(message.size()).max(LEAST));
            last = at;
        }
    }

    /// Runs what may park records of a partition, and takes note of them.
    pub(crate) fn watch(&mut self, slot: u32, state: &mut State, park: impl FnOnce(&mut State)) {
        let before = state.newest_parked();
        park(state);
        if let Some(through) = state.newest_parked().filter(|it| Some(*it) != before) {
            self.parked.push_back(Mark {
                slot,
                through,
                read: self.read,
            });
        }
    }

    /// Copies what is parked since more was read than may be kept.
    pub(crate) fn step(&mut self, shared: &Shared) {
        while let Some(slow) = self.next(shared.limits.kept()) {
            slow.set_apart(shared);
        }
    }

    /// Copies all that is parked: some of what was fetched is forgotten, and will not be counted. Many
    /// answers may go by in which little is read.
    pub(crate) fn end(&mut self, shared: &Shared) {
        for slow in self.parked.drain(..) {
            slow.set_apart(shared);
        }
    }

    fn next(&mut self, kept: usize) -> Option<Mark> {
        let oldest = self.parked.front()?;
        let old = self.read.wrapping_sub(oldest.read) > kept;
        old.then(|| self.parked.pop_front()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Aging, Mark, LEAST};
    use crate::message::Message;

    fn parked(slot: u32, read: usize) -> Mark {
        Mark {
            slot,
            through: 0,
            read,
        }
    }

    #[test]
    fn what_is_parked_is_slow_once_more_than_may_be_kept_was_read_after_it() {
        let mut aging = Aging {
            read: 100,
            parked: [parked(1, 0), parked(2, 50), parked(3, 51)].into(),
        };
        let slow: Vec<u32> = std::iter::from_fn(|| aging.next(49))
            .map(|it| it.slot)
            .collect();
        assert_eq!(slow, [1, 2]);
        assert!(aging.next(49).is_none());
    }

    #[test]
    fn records_without_key_and_value_age_what_is_parked_too() {
        let mut aging = Aging::default();
        let tombstones: Vec<Message> = (0..3).map(Message::tombstone).collect();
        aging.count(tombstones.iter());
        assert_eq!(aging.read, 0);
        aging.parked.push_back(parked(1, 0));
        aging.count(tombstones.iter());
        assert_eq!(aging.read, 3 * LEAST);
    }
}
