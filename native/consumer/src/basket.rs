//! What a pull has taken, and what it has room for.

use std::num::NonZeroUsize;

use crate::intake::{Delivered, Pulled};
use crate::message::Message;
use crate::partition::State;
use crate::queue::CHUNK;

/// How much a pull may take besides its demand.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// The record that crosses it still goes.
    Around(usize),
    /// The record that would cross it does not.
    Below(usize),
}

impl Bound {
    /// For a thread that may be busy for some milliseconds.
    pub(crate) const LONG: Bound = Bound::Around(4 * 1024 * 1024);
    /// For one that may be busy for a small part of one.
    pub(crate) const SHORT: Bound = Bound::Below(128 * 1024);
}

// Records that a pull reads for other lanes at most.
const OTHERS: usize = 4 * CHUNK;
const FEW_OTHERS: usize = 100;

/// A pull under way.
pub(crate) struct Basket {
    /// Messages that are still asked for.
    demand: usize,
    chunk_size: Option<NonZeroUsize>,
    /// Records that the last message may still carry.
    room: usize,
    bound: Bound,
    bytes: usize,
    /// Records that were read for other lanes.
    others: usize,
    /// A record did not go in.
    full: bool,
    /// A partition has to be paused before anything more is read.
    pub(crate) stopped: bool,
    /// The only partition is at its cap: an ack makes it go on.
    pub(crate) waits: bool,
    records: Vec<Delivered>,
    chunks: Vec<usize>,
}

impl Basket {
    pub(crate) fn new(demand: usize, chunk_size: Option<NonZeroUsize>, bound: Bound) -> Basket {
        let mut basket = Basket {
            demand,
            chunk_size,
            room: 0,
            bound,
            bytes: 0,
            others: 0,
            full: false,
            stopped: false,
            waits: false,
            records: Vec::new(),
            chunks: Vec::new(),
        };
        basket.records.reserve(basket.wanted().min(CHUNK));
        basket
    }

    /// Records it may have room for.
    pub(crate) fn wanted(&self) -> usize {
        let chunk_size = self.chunk_size.map_or(1, NonZeroUsize::get);
        self.demand
            .saturating_mul(chunk_size)
            .saturating_add(self.room)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full || self.demand == 0 && self.room == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stopped || self.waits || self.is_full()
    }

    /// Whether a record would be the first of its message.
    pub(crate) fn begins(&self, slot: u32, state: &State, message: Option<&Message>) -> bool {
        let (true, Some(last), Some(message)) = (self.room > 0, self.records.last(), message)
        else {
            return true;
        };
        let same_run = last.slot == slot && last.epoch == state.cursor.epoch();
        !same_run || state.passes_over(message)
    }

    pub(crate) fn has_room_for(&mut self, message: Option<&Message>, begins: bool) -> bool {
        self.full = self.full
            || begins && self.demand == 0
            || match self.bound {
                Bound::Around(bytes) => self.bytes >= bytes,
                Bound::Below(bytes) => self.bytes + message.map_or(0, Message::size) > bytes,
            };
        !self.full
    }

    pub(crate) fn put(&mut self, slot: u32, epoch: u32, message: Message, begins: bool) {
        self.bytes += message.size();
        self.count(begins);
        self.records.push(Delivered {
            slot,
            epoch,
            message,
        });
    }

    /// So that nobody is held up for long by what is another lane's.
    pub(crate) fn read_for_another(&mut self, size: usize) {
        self.bytes += size;
        self.others += 1;
        self.full |= match self.bound {
            Bound::Around(bytes) => self.bytes >= bytes || self.others >= OTHERS,
            Bound::Below(bytes) => self.bytes >= bytes || self.others >= FEW_OTHERS,
        };
    }

    fn count(&mut self, begins: bool) {
        if begins {
            self.demand = self.demand.saturating_sub(1);
        }
        let Some(chunk_size) = self.chunk_size else {
            return;
        };
        match self.chunks.last_mut() {
            Some(chunk) if !begins => {
                *chunk += 1;
                self.room = self.room.saturating_sub(1);
            }
            _ => {
                self.chunks.push(1);
                self.room = chunk_size.get() - 1;
            }
        }
    }

    pub(crate) fn into_pulled(self, more: bool) -> Pulled {
        Pulled {
            records: self.records,
            chunks: self.chunks,
            more,
        }
    }
}
