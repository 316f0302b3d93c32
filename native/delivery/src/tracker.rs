//! One partition's delivery state inside one assignment.

use crate::window::{Mark, Window};

/// What an ack did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The offset was in flight and is acked now.
    Acked,
    /// The offset was acked before; nothing changed.
    Duplicate,
    /// The offset was never delivered; nothing changed.
    Unknown,
    /// The ack belongs to another assignment; nothing changed. Only a
    /// [`Cursor`](crate::Cursor) answers this.
    Stale,
}

/// What was delivered of a partition since its start position, and what of that is acked.
///
/// Only delivered offsets count, so gaps (compaction, control records, aborted
/// transactions) hold nothing up. Memory follows the records between the oldest
/// unacked one and the last delivered one, whatever the distance of their offsets.
///
/// A redelivery is an *attempt* inside the same assignment: [`redeliver`](Self::redeliver)
/// says where to seek to, and from there [`deliver`](Self::deliver) accepts again
/// what is still unacked, once and in order. An ack counts whichever attempt it
/// comes from.
#[derive(Clone, Debug)]
pub struct Tracker {
    start: i64,
    // committable <= next <= end; next < end only while an attempt has something to bring.
    committable: i64,
    next: i64,
    end: i64,
    in_flight: u64,
    acked: u64,
    window: Window,
}

impl Tracker {
    /// A tracker whose first record is at `start` or above. A negative start counts as 0.
    pub fn new(start: i64) -> Self {
        let start = start.max(0);
        Tracker {
            start,
            committable: start,
            next: start,
            end: start,
            in_flight: 0,
            acked: 0,
            window: Window::default(),
        }
    }

    /// The start position.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The lowest offset [`deliver`](Self::deliver) accepts: the position to
    /// fetch from. It is the offset after the last delivered one or, while an
    /// attempt has something left to redeliver, the first of that.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The offset after the last delivered one, or the position advanced to: no
    /// attempt moves it.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Marks an offset delivered. `true`: hand the record out. `false`: drop it,
    /// nothing changed. Dropped are offsets below [`next`](Self::next), those an
    /// attempt meets that are acked or that did not exist when they were passed
    /// before, and what is no record's offset: negative ones, and `i64::MAX`,
    /// which no position can follow.
    ///
    /// Unacked offsets that an attempt passes over (the log may have lost them
    /// since) stay in flight.
    pub fn deliver(&mut self, offset: i64) -> bool {
        if offset < self.next || offset == i64::MAX {
            return false;
        }
        if offset < self.end {
            return self.deliver_again(offset);
        }
        self.window.push(offset);
        if self.in_flight == 0 {
            self.committable = offset;
        }
        self.in_flight += 1;
        self.end = offset + 1;
        self.next = self.end;
        true
    }

    fn deliver_again(&mut self, offset: i64) -> bool {
        let unacked = self.window.mark(offset) == Mark::Unacked;
        if unacked {
            self.next = self.window.unacked_after(offset).unwrap_or(self.end);
        }
        unacked
    }

    /// Acks an offset, in any order and from any attempt.
    ///
    /// Below [`committable`](Self::committable) the single offsets are forgotten:
    /// from the start position up to there the answer is [`Ack::Duplicate`], in
    /// gaps too.
    pub fn ack(&mut self, offset: i64) -> Ack {
        if offset < self.start || offset >= self.end {
            return Ack::Unknown;
        }
        if offset < self.committable {
            return Ack::Duplicate;
        }
        match self.window.ack(offset) {
            Mark::Absent => Ack::Unknown,
            Mark::Acked => Ack::Duplicate,
            Mark::Unacked => {
                self.in_flight -= 1;
                self.acked += 1;
                if offset == self.next {
                    self.next = self.window.unacked_after(offset).unwrap_or(self.end);
                }
                if offset == self.committable {
                    self.committable = self.window.trim().unwrap_or(self.end);
                }
                Ack::Acked
            }
        }
    }

    /// Acks every delivered offset from `first` to `last`, as [`ack`](Self::ack) does
    /// one by one, and answers how many were in flight. The cost follows the blocks
    /// of offsets there, not the records.
    pub fn ack_range(&mut self, first: i64, last: i64) -> u64 {
        let first = first.max(self.committable);
        let last = last.min(self.end - 1);
        if first > last {
            return 0;
        }
        let acked = self.window.ack_range(first, last);
        if acked == 0 {
            return 0;
        }
        self.in_flight -= acked;
        self.acked += acked;
        if (first..=last).contains(&self.next) {
            self.next = self.window.unacked_after(last).unwrap_or(self.end);
        }
        if first == self.committable {
            self.committable = self.window.trim().unwrap_or(self.end);
        }
        acked
    }

    /// Says that no record is left below `position`: what was not delivered there
    /// does not exist (control records, trailing gaps). Moves
    /// [`next`](Self::next) up to it, never back.
    ///
    /// While an attempt has something left to redeliver this changes nothing: a
    /// position read before the seek must not skip it.
    pub fn advance(&mut self, position: i64) {
        if self.redelivering() || position <= self.end {
            return;
        }
        self.end = position;
        self.next = position;
        if self.in_flight == 0 {
            self.committable = position;
        }
    }

    /// Begins an attempt: answers the lowest unacked offset, to seek to, or
    /// `None` when nothing is in flight. An attempt may begin inside another.
    pub fn redeliver(&mut self) -> Option<i64> {
        let oldest = self.oldest_unacked()?;
        self.next = oldest;
        Some(oldest)
    }

    /// Whether an attempt has something left to redeliver. What it delivers is in
    /// flight already: a cap on that must let it pass.
    pub fn redelivering(&self) -> bool {
        self.next < self.end
    }

    /// The offset to commit: the lowest unacked one, or [`next`](Self::next) when
    /// nothing is in flight. Never goes back.
    pub fn committable(&self) -> i64 {
        self.committable
    }

    /// How many records are delivered and not acked, each counted once however
    /// often it was redelivered.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many delivered records, acked or not, a crash would bring again: those
    /// from the oldest unacked one on. Counts up to 63 acked ones below it too.
    pub fn uncommittable(&self) -> u64 {
        self.window.held()
    }

    /// How many offsets lie from the oldest unacked one to the last delivered one
    /// (or the position advanced to), gaps included; 0 when nothing is in flight.
    pub fn span(&self) -> u64 {
        self.end.abs_diff(self.committable)
    }

    /// The lowest offset in flight.
    pub fn oldest_unacked(&self) -> Option<i64> {
        (self.in_flight > 0).then_some(self.committable)
    }

    /// How many acks were taken, duplicates and refused ones not counted.
    pub fn acked(&self) -> u64 {
        self.acked
    }
}
