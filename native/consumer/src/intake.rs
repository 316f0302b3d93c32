//! Pulling: from a lane's queue, through the partitions' cursors, to the caller.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use crate::lane::Lane;
use crate::message::Message;
use crate::partition::{Offered, State};
use crate::queue::{Queue, CHUNK};
use crate::shared::{Fault, Shared};
use crate::sync::MutexGuard;

/// A record that was just marked delivered.
pub struct Delivered {
    /// The slot of its partition.
    pub slot: u32,
    /// The epoch of the assignment it was delivered in.
    pub epoch: u32,
    /// The record.
    pub message: Message,
}

/// What a pull brought.
#[derive(Default)]
pub struct Pulled {
    /// The records, in order per partition; never more messages than were asked for.
    pub records: Vec<Delivered>,
    /// How many of them each message carries, one after the other; empty where each is a message.
    pub chunks: Vec<usize>,
    /// Whether there may be more right now. If not, a wake-up follows as soon as there is.
    pub more: bool,
}

impl Pulled {
    /// How many messages there are, which is what demand counts.
    pub fn messages(&self) -> usize {
        if self.chunks.is_empty() {
            self.records.len()
        } else {
            self.chunks.len()
        }
    }

    /// The records of each message that carries several.
    pub fn in_chunks(&self) -> impl Iterator<Item = &[Delivered]> {
        let mut rest = self.records.as_slice();
        self.chunks.iter().map(move |count| {
            let (chunk, after) = rest.split_at(rest.len().min(*count));
            rest = after;
            chunk
        })
    }
}

/// A lane's side of fetching.
#[derive(Default)]
pub(crate) struct Intake {
    /// Where the lane's partitions are forwarded to; none once the member is closing.
    pub(crate) queue: Option<Queue>,
    /// Taken from the queue and not looked at yet, because a pull reached its bound.
    pub(crate) fetched: VecDeque<Message>,
    /// Redeliveries that have not begun: what they bring goes before anything new.
    pub(crate) withheld: usize,
}

/// How much a pull may take besides its demand.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// The record that crosses it still goes.
    Around(usize),
    /// The record that would cross it does not.
    Below(usize),
}

/// A pull under way.
struct Basket {
    /// Messages that are still asked for.
    demand: usize,
    chunk_size: Option<NonZeroUsize>,
    /// Records that the last message may still carry.
    room: usize,
    bound: Bound,
    bytes: usize,
    /// A record did not go in.
    full: bool,
    records: Vec<Delivered>,
    chunks: Vec<usize>,
}

impl Basket {
    fn new(demand: usize, chunk_size: Option<NonZeroUsize>, bound: Bound) -> Basket {
        let mut basket = Basket {
            demand,
            chunk_size,
            room: 0,
            bound,
            bytes: 0,
            full: false,
            records: Vec::new(),
            chunks: Vec::new(),
        };
        basket.records.reserve(basket.wanted().min(CHUNK));
        basket
    }

    /// Records it may have room for.
    fn wanted(&self) -> usize {
        let chunk_size = self.chunk_size.map_or(1, NonZeroUsize::get);
        self.demand
            .saturating_mul(chunk_size)
            .saturating_add(self.room)
    }

    fn is_full(&self) -> bool {
        self.full || self.demand == 0 && self.room == 0
    }

    /// Whether a record would be the first of its message.
    fn begins(&self, slot: u32, state: &State, message: Option<&Message>) -> bool {
        let (true, Some(last), Some(message)) = (self.room > 0, self.records.last(), message)
        else {
            return true;
        };
        let same_run = last.slot == slot && last.epoch == state.cursor.epoch();
        !same_run || state.passes_over(message)
    }

    fn has_room_for(&mut self, message: Option<&Message>, begins: bool) -> bool {
        self.full = self.full
            || begins && self.demand == 0
            || match self.bound {
                Bound::Around(bytes) => self.bytes >= bytes,
                Bound::Below(bytes) => self.bytes + message.map_or(0, Message::size) > bytes,
            };
        !self.full
    }

    fn put(&mut self, slot: u32, epoch: u32, message: Message, begins: bool) {
        self.bytes += message.size();
        self.count(begins);
        self.records.push(Delivered {
            slot,
            epoch,
            message,
        });
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

    fn into_pulled(self, more: bool) -> Pulled {
        Pulled {
            records: self.records,
            chunks: self.chunks,
            more,
        }
    }
}

impl Bound {
    /// For a thread that may be busy for some milliseconds.
    pub(crate) const LONG: Bound = Bound::Around(4 * 1024 * 1024);
    /// For one that may be busy for a small part of one.
    pub(crate) const SHORT: Bound = Bound::Below(128 * 1024);
}

// Rounds after which a pull of records that trickle in leaves the rest to the next one.
const ROUNDS: usize = 3;

/// Marks records of a lane delivered and hands them over, in up to `demand` messages.
pub(crate) fn pull(
    shared: &Shared,
    lane: &Lane,
    mut intake: MutexGuard<'_, Intake>,
    demand: usize,
    bound: Bound,
) -> Pulled {
    let Intake {
        queue,
        fetched,
        withheld,
    } = &mut *intake;
    let Some(queue) = queue else {
        return Pulled::default();
    };
    // While disarmed no wake-up is sent from this thread, which may be a scheduler's.
    lane.bell.disarm();
    if *withheld > 0 {
        lane.bell.arm();
        return Pulled::default();
    }
    let mut basket = Basket::new(demand, shared.chunk_size, bound);
    for _ in 0..ROUNDS {
        take_parked(shared, lane, queue, &mut basket);
        take_fetched(shared, fetched, &mut basket);
        while !basket.is_full() && queue.consume(basket.wanted(), fetched) > 0 {
            take_fetched(shared, fetched, &mut basket);
        }
        if basket.is_full() {
            return basket.into_pulled(true);
        }
        lane.bell.arm();
        let quiet = queue.len() == 0 && lane.ready.lock().is_empty();
        if quiet || !lane.bell.disarm() {
            return basket.into_pulled(false);
        }
    }
    basket.into_pulled(true)
}

/// Parked records are older than anything fetched later of their partition: they go first.
fn take_parked(shared: &Shared, lane: &Lane, queue: &Queue, basket: &mut Basket) {
    let ready = std::mem::take(&mut *lane.ready.lock());
    for slot in ready {
        let Some(partition) = shared.partition(slot) else {
            continue;
        };
        let mut state = partition.lock();
        loop {
            let begins = basket.begins(slot, &state, state.first_parked());
            if !basket.has_room_for(state.first_parked(), begins) {
                state.stay_ready();
                lane.ready.lock().push(slot);
                break;
            }
            let Some(offered) = state.unpark(queue, begins, &shared.caps) else {
                break;
            };
            take_offered(shared, slot, &state, offered, begins, basket);
        }
    }
}

/// Offers what was fetched, one lock for each run of a partition.
fn take_fetched(shared: &Shared, fetched: &mut VecDeque<Message>, basket: &mut Basket) {
    while let Some(first) = fetched.front() {
        let run = first.partition_key();
        let partition = shared.find(first.topic(), first.partition());
        let mut state = partition.as_ref().map(|p| p.lock());
        while let Some(next) = fetched.front().filter(|next| next.partition_key() == run) {
            let (Some(partition), Some(state)) = (&partition, &mut state) else {
                fetched.pop_front();
                continue;
            };
            let begins = basket.begins(partition.slot, state, Some(next));
            if !basket.has_room_for(Some(next), begins) {
                return;
            }
            let Some(message) = fetched.pop_front() else {
                return;
            };
            let offered = state.offer(message, begins, &shared.caps);
            take_offered(shared, partition.slot, state, offered, begins, basket);
        }
    }
}

fn take_offered(
    shared: &Shared,
    slot: u32,
    state: &State,
    offered: Offered,
    begins: bool,
    basket: &mut Basket,
) {
    match offered {
        Offered::Delivered(message, epoch) => basket.put(slot, epoch, message, begins),
        Offered::Kept => {}
        Offered::Fault(offset, code, text) => shared.report_fault(Fault {
            slot,
            epoch: state.cursor.epoch(),
            offset,
            code,
            text,
        }),
    }
}
