//! Pulling: from a lane's queue, through the partitions' cursors, to the caller.

use std::collections::VecDeque;

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
    /// The records, in order per partition; never more than were asked for.
    pub records: Vec<Delivered>,
    /// Whether there may be more right now. If not, a wake-up follows as soon as there is.
    pub more: bool,
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
    demand: usize,
    bound: Bound,
    bytes: usize,
    /// A record did not go in.
    full: bool,
    records: Vec<Delivered>,
}

impl Basket {
    fn new(demand: usize, bound: Bound) -> Basket {
        Basket {
            demand,
            bound,
            bytes: 0,
            full: false,
            records: Vec::with_capacity(demand.min(CHUNK)),
        }
    }

    fn is_full(&self) -> bool {
        self.full || self.records.len() >= self.demand
    }

    fn has_room_for(&mut self, message: Option<&Message>) -> bool {
        self.full = self.is_full()
            || match self.bound {
                Bound::Around(bytes) => self.bytes >= bytes,
                Bound::Below(bytes) => self.bytes + message.map_or(0, Message::size) > bytes,
            };
        !self.full
    }

    fn put(&mut self, slot: u32, epoch: u32, message: Message) {
        self.bytes += message.size();
        self.records.push(Delivered {
            slot,
            epoch,
            message,
        });
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

/// Marks up to `demand` records of a lane delivered and hands them over.
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
    let mut basket = Basket::new(demand, bound);
    for _ in 0..ROUNDS {
        take_parked(shared, lane, queue, &mut basket);
        take_fetched(shared, fetched, &mut basket);
        while !basket.is_full() && queue.consume(basket.demand - basket.records.len(), fetched) > 0
        {
            take_fetched(shared, fetched, &mut basket);
        }
        if basket.is_full() {
            return Pulled {
                records: basket.records,
                more: true,
            };
        }
        lane.bell.arm();
        let quiet = queue.len() == 0 && lane.ready.lock().is_empty();
        if quiet || !lane.bell.disarm() {
            return Pulled {
                records: basket.records,
                more: false,
            };
        }
    }
    Pulled {
        records: basket.records,
        more: true,
    }
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
            if !basket.has_room_for(state.first_parked()) {
                state.stay_ready();
                lane.ready.lock().push(slot);
                break;
            }
            let Some(offered) = state.unpark(queue, shared.max_in_flight) else {
                break;
            };
            take_offered(shared, slot, &state, offered, basket);
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
            if !basket.has_room_for(Some(next)) {
                return;
            }
            let (Some(message), Some(partition), Some(state)) =
                (fetched.pop_front(), &partition, &mut state)
            else {
                continue;
            };
            let offered = state.offer(message, shared.max_in_flight);
            take_offered(shared, partition.slot, state, offered, basket);
        }
    }
}

fn take_offered(shared: &Shared, slot: u32, state: &State, offered: Offered, basket: &mut Basket) {
    match offered {
        Offered::Delivered(message, epoch) => basket.put(slot, epoch, message),
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
