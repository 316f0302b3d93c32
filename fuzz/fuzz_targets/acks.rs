//! Lists of acks as a caller of the NIF may send them, of any slot, epoch and offset, between
//! everything else that befalls a slot. What they do is what they do to plain sets.
#![no_main]

use consumer::{AckId, AckRange, Consumer};
use delivery::{Ack, Cursor};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[path = "../../native/delivery/tests/model/reference.rs"]
mod reference;

use reference::Model;

const SLOTS: u8 = 3;

#[derive(Arbitrary, Debug)]
enum Step {
    /// One call of the NIF.
    Acks(Vec<Acked>),
    /// One call too.
    Ranges(Vec<Ranged>),
    Assign {
        slot: u8,
        start: i64,
        committed: Option<i64>,
    },
    /// So many records without a gap, after one.
    Deliver {
        slot: u8,
        gap: u16,
        count: u8,
    },
    DeliverAny {
        slot: u8,
        offset: i64,
    },
    Advance {
        slot: u8,
        position: i64,
    },
    Redeliver {
        slot: u8,
    },
    /// All that is due is sent.
    Commit,
    /// The broker's answer to one of the commits sent, whenever that was.
    Confirm {
        which: u16,
    },
    Revoke {
        slot: u8,
    },
}

#[derive(Arbitrary, Debug)]
enum Acked {
    /// What is in flight, counted from the oldest: so many.
    InFlight {
        slot: u8,
        skip: u8,
        count: u8,
    },
    /// Near the next offset, in an epoch near the current one.
    Near {
        slot: u8,
        epochs: i8,
        offsets: i8,
    },
    Any {
        slot: u32,
        epoch: u32,
        offset: i64,
    },
}

#[derive(Arbitrary, Debug)]
enum Ranged {
    /// From one in flight, counted from the oldest, to so many after it, and as far to each side.
    InFlight {
        slot: u8,
        epochs: i8,
        skip: u8,
        count: u8,
        beyond: i8,
    },
    Any {
        slot: u32,
        epoch: u32,
        first: i64,
        last: i64,
    },
}

/// A slot as it should be.
#[derive(Default)]
struct Slot {
    epoch: u32,
    assigned: Option<Model>,
    acked: u64,
}

struct Run {
    consumer: Consumer,
    slots: [Slot; SLOTS as usize],
    /// Slot, epoch and offset of what was sent to be committed.
    commits: Vec<(u32, u32, i64)>,
    commit_wanted: bool,
}

impl Slot {
    fn ack(&mut self, epoch: u32, offset: i64) -> bool {
        let model = self.assigned.as_mut().filter(|_| epoch == self.epoch);
        let acked = model.is_some_and(|model| model.ack(offset) == Ack::Acked);
        self.acked += u64::from(acked);
        acked
    }

    fn ack_range(&mut self, epoch: u32, first: i64, last: i64) -> bool {
        let model = self.assigned.as_ref().filter(|_| first <= last);
        let unacked = model.map(|model| model.unacked.range(first..=last).copied().collect());
        let unacked: Vec<i64> = unacked.unwrap_or_default();
        unacked
            .into_iter()
            .fold(false, |acked, offset| self.ack(epoch, offset) || acked)
    }

    fn to_commit(&self) -> Option<i64> {
        let model = self.assigned.as_ref()?;
        (model.committed < Some(model.committable())).then(|| model.committable())
    }

    fn check(&self, cursor: &Cursor) {
        assert_eq!(cursor.epoch(), self.epoch);
        assert_eq!(cursor.to_commit(), self.to_commit());
        let (Some(tracker), Some(model)) = (cursor.tracker(), &self.assigned) else {
            return assert_eq!(cursor.is_assigned(), self.assigned.is_some());
        };
        assert_eq!(tracker.next(), model.next());
        assert_eq!(tracker.committable(), model.committable());
        assert_eq!(tracker.in_flight(), model.unacked.len() as u64);
        assert_eq!(tracker.oldest_unacked(), model.unacked.first().copied());
        assert_eq!(tracker.acked(), self.acked);
        assert!(tracker.uncommittable() >= tracker.in_flight());
    }
}

impl Run {
    fn cursor<T>(&self, slot: u8, act: impl FnOnce(&mut Cursor) -> T) -> T {
        let slot = u32::from(slot % SLOTS);
        self.consumer.with_cursor(slot, act).expect("a slot")
    }

    fn slot(&mut self, slot: u8) -> &mut Slot {
        &mut self.slots[usize::from(slot % SLOTS)]
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Acks(acked) => self.ack(acked),
            Step::Ranges(ranged) => self.ack_ranges(ranged),
            Step::Assign {
                slot,
                start,
                committed,
            } => {
                let epoch = self.cursor(slot, |cursor| cursor.assign(start, committed));
                let assigned = Some(Model::new(start.max(0), committed));
                *self.slot(slot) = Slot {
                    epoch,
                    assigned,
                    acked: 0,
                };
            }
            Step::Deliver { slot, gap, count } => {
                let end = self.slot(slot).assigned.as_ref().map_or(0, |it| it.end);
                let first = end.saturating_add(gap.into());
                for offset in (first..i64::MAX).take(count.into()) {
                    self.deliver(slot, offset);
                }
            }
            Step::DeliverAny { slot, offset } => self.deliver(slot, offset),
            Step::Advance { slot, position } => {
                self.cursor(slot, |cursor| cursor.advance(position));
                let assigned = self.slot(slot).assigned.as_mut();
                assigned.into_iter().for_each(|it| it.advance(position));
            }
            Step::Redeliver { slot } => {
                let oldest = self.cursor(slot, Cursor::redeliver);
                let assigned = self.slot(slot).assigned.as_mut();
                assert_eq!(oldest, assigned.and_then(Model::redeliver));
            }
            Step::Commit => self.commit(),
            Step::Confirm { which } => self.confirm(which.into()),
            Step::Revoke { slot } => {
                let left = self.cursor(slot, Cursor::revoke);
                let assigned = self.slot(slot).assigned.take();
                assert_eq!(left, assigned.map_or(0, |it| it.unacked.len() as u64));
            }
        }
    }

    fn deliver(&mut self, slot: u8, offset: i64) {
        let delivered = self.cursor(slot, |cursor| cursor.deliver(offset));
        let assigned = self.slot(slot).assigned.as_mut();
        assert_eq!(delivered, assigned.is_some_and(|it| it.deliver(offset)));
    }

    fn ack(&mut self, acked: Vec<Acked>) {
        let acks: Vec<AckId> = acked.into_iter().flat_map(|it| self.named(it)).collect();
        self.consumer.ack(acks.iter().copied(), |_| {});
        for (slot, epoch, offset) in acks {
            let Some(slot) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            self.commit_wanted |= slot.ack(epoch, offset) && slot.to_commit().is_some();
        }
    }

    fn ack_ranges(&mut self, ranged: Vec<Ranged>) {
        let ranges: Vec<AckRange> = ranged.into_iter().map(|it| self.range(it)).collect();
        self.consumer.ack_ranges(ranges.iter().copied(), |_| {});
        for (slot, epoch, first, last) in ranges {
            let Some(slot) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            self.commit_wanted |= slot.ack_range(epoch, first, last) && slot.to_commit().is_some();
        }
    }

    fn range(&mut self, ranged: Ranged) -> AckRange {
        match ranged {
            Ranged::InFlight {
                slot,
                epochs,
                skip,
                count,
                beyond,
            } => {
                let at = self.slot(slot);
                let epoch = at.epoch.wrapping_add_signed(epochs.into());
                let unacked = at.assigned.iter().flat_map(|it| &it.unacked).copied();
                let mut some = unacked.skip(skip.into()).take(usize::from(count) + 1);
                let first = some.next().unwrap_or(0);
                let last = some.last().unwrap_or(first);
                let (first, last) = (
                    first.saturating_sub(beyond.into()),
                    last.saturating_add(beyond.into()),
                );
                ((slot % SLOTS).into(), epoch, first, last)
            }
            Ranged::Any {
                slot,
                epoch,
                first,
                last,
            } => (slot, epoch, first, last),
        }
    }

    fn named(&mut self, acked: Acked) -> Vec<AckId> {
        match acked {
            Acked::InFlight { slot, skip, count } => {
                let Slot {
                    epoch, assigned, ..
                } = self.slot(slot);
                let unacked = assigned.iter().flat_map(|it| &it.unacked);
                let some = unacked.skip(skip.into()).take(count.into());
                some.map(|offset| ((slot % SLOTS).into(), *epoch, *offset))
                    .collect()
            }
            Acked::Near {
                slot,
                epochs,
                offsets,
            } => {
                let at = self.slot(slot);
                let next = at.assigned.as_ref().map_or(0, Model::next);
                let epoch = at.epoch.wrapping_add_signed(epochs.into());
                let offset = next.saturating_add(offsets.into());
                vec![((slot % SLOTS).into(), epoch, offset)]
            }
            Acked::Any {
                slot,
                epoch,
                offset,
            } => vec![(slot, epoch, offset)],
        }
    }

    fn commit(&mut self) {
        assert_eq!(self.consumer.take_commit_wanted(), self.commit_wanted);
        self.commit_wanted = false;
        for (slot, at) in (0..).zip(&self.slots) {
            let due = at.to_commit().map(|offset| (slot, at.epoch, offset));
            self.commits.extend(due);
        }
    }

    fn confirm(&mut self, which: usize) {
        let Some(&(slot, epoch, offset)) = self.commits.get(which % self.commits.len().max(1))
        else {
            return;
        };
        let confirm = |cursor: &mut Cursor| cursor.confirm(epoch, offset);
        self.consumer.with_cursor(slot, confirm);
        let at = &mut self.slots[slot as usize];
        if let Some(model) = at.assigned.as_mut().filter(|_| epoch == at.epoch) {
            model.committed = model.committed.max(Some(offset));
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut run = Run {
        consumer: Consumer::unconnected(SLOTS.into()),
        slots: Default::default(),
        commits: Vec::new(),
        commit_wanted: false,
    };
    for step in steps {
        run.step(step);
        for (slot, at) in (0..).zip(&run.slots) {
            run.cursor(slot, |cursor| at.check(cursor));
        }
    }
});
