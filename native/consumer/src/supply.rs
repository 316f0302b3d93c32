//! Records that one reads of a queue that lanes share, and another is to have.

use crate::intake::{may_read, typical_of, Intake};
use crate::message::Message;
use crate::partition::{Offered, Partition, State};
use crate::pool::Pool;
use crate::runs::take_run;
use crate::shared::Shared;

/// Reads some of a pool's queue for the lanes that it is of; answers whether there was any.
pub(crate) fn read_some(shared: &Shared, pool: &Pool, intake: &mut Intake) -> bool {
    let Intake {
        queue: Some(queue),
        fetched,
        typical,
        aging,
    } = intake
    else {
        return false;
    };
    if fetched.is_empty() {
        if queue.consume(may_read(shared, *typical), fetched) == 0 {
            return false;
        }
        aging.count(fetched.iter());
    }
    *typical = typical_of(fetched);
    let share = shared.limits.share();
    let mut full = false;
    while !full {
        let run = take_run(shared, fetched, |partition, state, mut run| {
            aging.watch(partition.slot, state, |state| {
                while !full && run.first().is_some() {
                    let Some(message) = run.take() else { break };
                    full = supply(shared, pool, partition, state, message, share);
                }
            });
        });
        if run.is_none() {
            break;
        }
    }
    aging.step(shared);
    true
}

/// Parks a record for the lane that its partition is on. Answers whether nothing more may be read.
pub(crate) fn supply(
    shared: &Shared,
    pool: &Pool,
    partition: &Partition,
    state: &mut State,
    message: Message,
    share: usize,
) -> bool {
    let lane = partition.lane();
    let (offered, ready) = state.put_by(message, &shared.caps_on(lane), share);
    if let (true, Some(index)) = (ready, lane) {
        if let Some(lane) = shared.lanes.get(index) {
            lane.ready.lock().push(partition.slot);
            pool.put_supplied(index);
            shared.kick();
        }
    }
    let full = matches!(offered, Offered::Filled);
    if full {
        pool.put_full(partition.slot);
        shared.kick();
    }
    full
}
