//! Records of a partition at its cap, and whether more of it is fetched.

use std::collections::VecDeque;

use crate::limits::RECORD;
use crate::message::Message;

/// Records that were in the lane's queue when their partition reached its cap, or came later; in
/// order.
#[derive(Default)]
pub(crate) struct Parked {
    records: VecDeque<Message>,
    bytes: usize,
    /// How many of the first ones were copied.
    apart: usize,
    fetching: Fetching,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fetching {
    #[default]
    On,
    /// To be paused by the service thread.
    Full,
    Paused,
    /// To be resumed by the service thread.
    Drained,
}

// What is left of a share when fetching goes on, so that more comes before it is gone.
const REST: usize = 4;

impl Parked {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn first(&self) -> Option<&Message> {
        self.records.front()
    }

    /// Whether the partition has to be paused: it is said once.
    pub(crate) fn push(&mut self, message: Message, share: usize) -> bool {
        self.bytes += size(&message);
        self.records.push_back(message);
        let full = self.bytes >= share && self.fetching == Fetching::On;
        if full {
            self.fetching = Fetching::Full;
        }
        full
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.records.pop_front()?;
        self.bytes -= size(&message);
        self.apart = self.apart.saturating_sub(1);
        Some(message)
    }

    /// The offset of the newest record.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.records.back().map(Message::offset)
    }

    /// Copies records up to this offset out of the answers they came in.
    pub(crate) fn set_apart(&mut self, through: i64) {
        for record in self.records.range_mut(self.apart..) {
            if record.offset() > through {
                break;
            }
            record.set_apart();
            self.apart += 1;
        }
    }

    /// Whether the partition has to be resumed: it is said once.
    pub(crate) fn is_drained(&mut self, share: usize) -> bool {
        let drained = self.fetching == Fetching::Paused && self.bytes <= share / REST;
        if drained {
            self.fetching = Fetching::Drained;
        }
        drained
    }

    /// Whether a pause is still wanted; from now on it is one.
    pub(crate) fn pause(&mut self) -> bool {
        let wanted = self.fetching == Fetching::Full && !self.is_empty();
        match self.fetching {
            Fetching::Full if wanted => self.fetching = Fetching::Paused,
            Fetching::Full => self.fetching = Fetching::On,
            _ => {}
        }
        wanted
    }

    /// Whether a resumption is still wanted; from now on the partition is fetched.
    pub(crate) fn resume(&mut self) -> bool {
        let wanted = self.fetching == Fetching::Drained;
        if wanted {
            self.fetching = Fetching::On;
        }
        wanted
    }

    /// Forgets all; answers whether librdkafka has the partition paused.
    pub(crate) fn clear(&mut self) -> bool {
        let paused = matches!(self.fetching, Fetching::Paused | Fetching::Drained);
        *self = Parked::default();
        paused
    }
}

fn size(message: &Message) -> usize {
    message.size() + RECORD
}

#[cfg(test)]
mod tests {
    use super::Parked;
    use crate::message::Message;

    #[test]
    fn records_are_set_apart_up_to_an_offset_and_go_from_the_front() {
        let mut parked = Parked::default();
        for offset in [3, 4, 7, 9] {
            parked.push(Message::tombstone(offset), usize::MAX);
        }
        parked.set_apart(7);
        assert_eq!((parked.apart, parked.newest()), (3, Some(9)));
        assert_eq!(parked.pop().map(|it| it.offset()), Some(3));
        parked.set_apart(2);
        assert_eq!(parked.apart, 2);
        parked.set_apart(9);
        while parked.pop().is_some() {}
        assert_eq!((parked.apart, parked.bytes()), (0, 0));
    }
}
