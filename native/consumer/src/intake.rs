//! Pulling: from a pool's queue, through the partitions' cursors, to the caller.

use std::collections::VecDeque;

use crate::aging::Aging;
use crate::basket::{Basket, Bound};
use crate::lane::Lane;
use crate::limits::RECORD;
use crate::message::Message;
use crate::partition::{Offered, State};
use crate::queue::Queue;
use crate::runs::take_run;
use crate::shared::{Fault, Shared};
use crate::supply::supply;
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

/// A pool's side of fetching.
#[derive(Default)]
pub(crate) struct Intake {
    /// Where the pool's partitions are forwarded to; none once the member is closing.
    pub(crate) queue: Option<Queue>,
    /// Taken from the queue and not looked at yet, because a pull reached its bound.
    pub(crate) fetched: VecDeque<Message>,
    /// The size of a record that was read lately.
    pub(crate) typical: usize,
    pub(crate) aging: Aging,
}

impl Intake {
    /// Takes what is in the queue now, up to so many bytes with what was taken before. What is left in it
    /// when a partition is paused librdkafka forgets, and fetches again.
    pub(crate) fn take_queued(&mut self, spare: usize) {
        let Some(queue) = &self.queue else { return };
        let room = spare.checked_div(self.typical).unwrap_or(0);
        let mut wanted = queue.len().min(room.saturating_sub(self.fetched.len()));
        while wanted > 0 {
            let before = self.fetched.len();
            match queue.consume(wanted, &mut self.fetched) {
                0 => return,
                count => wanted -= count,
            }
            self.aging.count(self.fetched.range(before..));
        }
    }
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
        typical,
        aging,
    } = &mut *intake;
    let Some(queue) = queue else {
        return Pulled::default();
    };
    // While disarmed no wake-up is sent from this thread, which may be a scheduler's.
    lane.bell.disarm();
    if lane.is_withheld() || shared.all_paused() {
        lane.bell.arm();
        return Pulled::default();
    }
    let mut basket = Basket::new(demand, shared.chunk_size, bound);
    basket.stopped = lane.pool.has_full();
    for _ in 0..ROUNDS {
        basket.waits = false;
        take_parked(shared, lane, &mut basket);
        take_fetched(shared, lane, fetched, aging, &mut basket);
        while !basket.is_closed() {
            let at_most = basket.wanted().min(may_read(shared, *typical));
            if queue.consume(at_most, fetched) == 0 {
                break;
            }
            *typical = typical_of(fetched);
            aging.count(fetched.iter());
            take_fetched(shared, lane, fetched, aging, &mut basket);
            aging.step(shared);
        }
        if basket.is_full() {
            return basket.into_pulled(true);
        }
        lane.bell.arm();
        // The service thread wakes the lane when it has paused what is full.
        basket.stopped = lane.pool.has_full();
        let quiet = basket.stopped || basket.waits || fetched.is_empty() && queue.len() == 0;
        if quiet && lane.ready.lock().is_empty() || !lane.bell.disarm() {
            return basket.into_pulled(false);
        }
    }
    basket.into_pulled(true)
}

/// How many records to read at a time: as many as one partition may park on top of the others.
/// The first one tells how large they are.
pub(crate) fn may_read(shared: &Shared, typical: usize) -> usize {
    let share = shared.limits.share();
    share.checked_div(typical).unwrap_or(1).max(1)
}

pub(crate) fn typical_of(fetched: &VecDeque<Message>) -> usize {
    fetched.back().map_or(0, Message::size) + RECORD
}

/// Parked records are older than anything fetched later of their partition: they go first.
fn take_parked(shared: &Shared, lane: &Lane, basket: &mut Basket) {
    let ready = std::mem::take(&mut *lane.ready.lock());
    let caps = shared.caps_on(Some(lane.index()));
    for slot in ready {
        // One that has moved meanwhile has nothing parked that is older.
        let partition = shared.partition(slot);
        let Some(partition) = partition.filter(|it| it.lane() == Some(lane.index())) else {
            continue;
        };
        let mut state = partition.lock();
        let before = state.parked_bytes();
        loop {
            let begins = basket.begins(slot, &state, state.first_parked());
            if !basket.has_room_for(state.first_parked(), begins) {
                state.stay_ready();
                lane.ready.lock().push(slot);
                break;
            }
            let Some(offered) = state.unpark(begins, &caps) else {
                break;
            };
            take_offered(shared, lane, slot, &state, offered, begins, basket);
        }
        shared.limits.count(before, state.parked_bytes());
        if state.is_drained(shared.limits.share()) {
            lane.pool.put_drained(slot);
            shared.kick();
        }
    }
}

/// Offers what was fetched.
fn take_fetched(
    shared: &Shared,
    lane: &Lane,
    fetched: &mut VecDeque<Message>,
    aging: &mut Aging,
    basket: &mut Basket,
) {
    let share = shared.limits.share();
    let caps = shared.caps_on(Some(lane.index()));
    let alone = lane.pool.is_of_one();
    while !basket.is_closed() {
        let run = take_run(shared, fetched, |partition, state, mut run| {
            let own = partition.lane() == Some(lane.index());
            aging.watch(partition.slot, state, |state| {
                while !basket.is_closed() {
                    let Some(next) = run.first() else { break };
                    if !own {
                        basket.read_for_another(next.size());
                        let Some(message) = run.take() else { break };
                        basket.stopped |=
                            supply(shared, &lane.pool, partition, state, message, share);
                        continue;
                    }
                    let begins = basket.begins(partition.slot, state, Some(next));
                    if !basket.has_room_for(Some(next), begins) {
                        break;
                    }
                    // Nobody's records are behind it.
                    if alone && state.keeps_waiting(begins, &caps) {
                        basket.waits = true;
                        break;
                    }
                    let Some(message) = run.take() else { break };
                    let offered = state.offer(message, begins, &caps, share);
                    take_offered(shared, lane, partition.slot, state, offered, begins, basket);
                }
            });
        });
        if run.is_none() {
            return;
        }
    }
}

fn take_offered(
    shared: &Shared,
    lane: &Lane,
    slot: u32,
    state: &State,
    offered: Offered,
    begins: bool,
    basket: &mut Basket,
) {
    match offered {
        Offered::Delivered(message, epoch) => basket.put(slot, epoch, message, begins),
        Offered::Kept => {}
        Offered::Filled => {
            basket.stopped = true;
            lane.pool.put_full(slot);
            shared.kick();
        }
        Offered::Fault(offset, code, text) => shared.report_fault(Fault {
            slot,
            epoch: state.cursor.epoch(),
            offset,
            code,
            text,
        }),
    }
}
