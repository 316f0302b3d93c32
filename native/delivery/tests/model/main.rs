//! Random lives of a slot, against a model made of plain sets.
//!
//! After each step every answer and every mark must be the model's, and the
//! invariants must hold that the crate's documentation states.

mod reference;
mod steps;

use std::collections::BTreeSet;

use delivery::{Ack, Cursor};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use reference::Model;
use steps::{start, step, Step};

/// All that can be seen of a cursor.
fn observe(cursor: &Cursor) -> impl PartialEq + std::fmt::Debug {
    let tracker = cursor.tracker().map(|tracker| {
        (
            (tracker.start(), tracker.next(), tracker.committable()),
            (tracker.in_flight(), tracker.acked(), tracker.span()),
            (tracker.oldest_unacked(), tracker.redelivering()),
        )
    });
    (
        (cursor.epoch(), cursor.is_assigned()),
        (cursor.committed(), cursor.to_commit()),
        tracker,
    )
}

/// The cursor under test beside its model, and what happened so far.
struct Life {
    cursor: Cursor,
    epoch: u32,
    model: Option<Model>,
    /// Commits sent: epoch and offset.
    commits: Vec<(u32, i64)>,
    /// The last offset emitted in the current attempt.
    emitted: Option<i64>,
    /// Offsets acked in the current epoch.
    acked: BTreeSet<i64>,
    committable: i64,
}

impl Life {
    fn new() -> Self {
        Life {
            cursor: Cursor::new(),
            epoch: 0,
            model: None,
            commits: Vec::new(),
            emitted: None,
            acked: BTreeSet::new(),
            committable: 0,
        }
    }

    fn next(&self) -> i64 {
        self.model.as_ref().map_or(0, Model::next)
    }

    fn end(&self) -> i64 {
        self.model.as_ref().map_or(0, |model| model.end)
    }

    fn unacked(&self) -> Vec<i64> {
        let unacked = self.model.iter().flat_map(|model| &model.unacked);
        unacked.copied().collect()
    }

    fn delivered(&self) -> Vec<i64> {
        let delivered = self.model.iter().flat_map(|model| &model.delivered);
        delivered.copied().collect()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Deliver { gap } => self.deliver(self.end().saturating_add(gap)),
            Step::DeliverRun { count } => {
                let from = self.end();
                (0..count).for_each(|n| self.deliver(from.saturating_add(n)));
            }
            Step::DeliverAny { offset } => self.deliver(offset),
            Step::DeliverOld { which } => {
                pick(&self.delivered(), which).for_each(|offset| self.deliver(offset));
            }
            Step::Replay { count } => {
                let from = self.next();
                let log = self.delivered().into_iter().filter(|&o| o >= from);
                log.take(count).for_each(|offset| self.deliver(offset));
            }
            Step::Ack { which, times } => {
                for offset in pick(&self.unacked(), which) {
                    (0..times).for_each(|_| self.ack(self.epoch, offset));
                }
            }
            Step::AckMany {
                count,
                newest_first,
            } => {
                let mut offsets = self.unacked();
                if newest_first {
                    offsets.reverse();
                }
                let some = offsets.into_iter().take(count);
                some.for_each(|offset| self.ack(self.epoch, offset));
            }
            Step::AckNear { which, distance } => {
                let start = self.model.as_ref().map_or(0, |model| model.start);
                let mut offsets = self.delivered();
                offsets.push(start);
                for offset in pick(&offsets, which) {
                    self.ack(self.epoch, offset.saturating_add(distance));
                }
            }
            Step::AckAny { offset } => self.ack(self.epoch, offset),
            Step::AckRange {
                from,
                to,
                before,
                after,
            } => {
                let delivered = self.delivered();
                for (from, to) in pick(&delivered, from).zip(pick(&delivered, to)) {
                    let (first, last) = (from.min(to), from.max(to));
                    self.ack_range(first.saturating_sub(before), last.saturating_add(after));
                }
            }
            Step::AckRangeAny { first, last } => self.ack_range(first, last),
            Step::AckForeign { which, epochs } => {
                for offset in pick(&self.unacked(), which) {
                    let other = self.epoch.wrapping_add(epochs);
                    assert_eq!(self.cursor.ack_range(other, 0, i64::MAX), 0);
                    self.ack(self.epoch.wrapping_add(epochs), offset);
                    self.ack(self.epoch.wrapping_sub(epochs), offset);
                }
            }
            Step::Advance { by } => self.advance(self.end().saturating_add(by)),
            Step::AdvanceAny { position } => self.advance(position),
            Step::Redeliver => self.redeliver(),
            Step::Assign { start, committed } => self.assign(start, committed.then_some(start)),
            Step::Revoke => self.revoke(),
            Step::Commit => {
                let due = self.cursor.to_commit();
                self.commits.extend(due.map(|offset| (self.epoch, offset)));
            }
            Step::Confirm { which } => {
                pick(&self.commits.clone(), which).for_each(|(epoch, o)| self.confirm(epoch, o));
            }
        }
    }

    fn deliver(&mut self, offset: i64) {
        let before = observe(&self.cursor);
        let accepted = self.cursor.deliver(offset);
        let expected = self.model.as_mut().map(|model| model.deliver(offset));
        assert_eq!(Some(accepted), expected.or(Some(false)), "deliver {offset}");
        if accepted {
            assert!(Some(offset) > self.emitted, "{offset} emitted out of order");
            assert!(!self.acked.contains(&offset), "{offset} was acked already");
            self.emitted = Some(offset);
        } else {
            assert_eq!(observe(&self.cursor), before, "a refused delivery");
        }
    }

    fn ack(&mut self, epoch: u32, offset: i64) {
        let before = observe(&self.cursor);
        let answer = self.cursor.ack(epoch, offset);
        let expected = match &mut self.model {
            Some(model) if epoch == self.epoch => model.ack(offset),
            _ => Ack::Stale,
        };
        assert_eq!(answer, expected, "ack {offset} in epoch {epoch}");
        if answer == Ack::Acked {
            assert!(self.acked.insert(offset), "{offset} acked twice");
        } else {
            assert_eq!(
                observe(&self.cursor),
                before,
                "{answer:?} changed something"
            );
        }
    }

    /// A range does what acks one by one do to another cursor, and to the model.
    fn ack_range(&mut self, first: i64, last: i64) {
        let mut one_by_one = self.cursor.clone();
        let inside = |offset: &i64| (first..=last).contains(offset);
        let offsets: Vec<i64> = self.unacked().into_iter().filter(inside).collect();
        for offset in &offsets {
            assert_eq!(one_by_one.ack(self.epoch, *offset), Ack::Acked);
            if let Some(model) = &mut self.model {
                model.ack(*offset);
            }
        }
        let acked = self.cursor.ack_range(self.epoch, first, last);
        assert_eq!(acked, offsets.len() as u64, "ack {first} to {last}");
        assert_eq!(
            observe(&self.cursor),
            observe(&one_by_one),
            "ack {first} to {last}"
        );
        self.acked.extend(offsets);
    }

    fn advance(&mut self, position: i64) {
        self.cursor.advance(position);
        if let Some(model) = &mut self.model {
            model.advance(position);
        }
    }

    fn redeliver(&mut self) {
        let expected = self.model.as_mut().and_then(Model::redeliver);
        assert_eq!(self.cursor.redeliver(), expected);
        if expected.is_some() {
            self.emitted = None;
        }
    }

    fn assign(&mut self, start: i64, committed: Option<i64>) {
        self.epoch += 1;
        assert_eq!(self.cursor.assign(start, committed), self.epoch);
        self.model = Some(Model::new(start, committed));
        self.emitted = None;
        self.acked.clear();
        self.committable = start;
    }

    fn revoke(&mut self) {
        let left = self.unacked().len() as u64;
        assert_eq!(self.cursor.revoke(), left);
        self.model = None;
    }

    fn confirm(&mut self, epoch: u32, offset: i64) {
        let before = observe(&self.cursor);
        self.cursor.confirm(epoch, offset);
        match &mut self.model {
            Some(model) if epoch == self.epoch => {
                model.committed = model.committed.max(Some(offset));
            }
            _ => assert_eq!(observe(&self.cursor), before, "a stale confirmation"),
        }
    }

    /// Every mark is the model's.
    fn check_marks(&self) {
        assert_eq!(self.cursor.epoch(), self.epoch);
        assert_eq!(self.cursor.is_assigned(), self.model.is_some());
        assert_eq!(self.cursor.tracker().is_some(), self.model.is_some());
        let (Some(tracker), Some(model)) = (self.cursor.tracker(), &self.model) else {
            assert_eq!(
                (self.cursor.committed(), self.cursor.to_commit()),
                (None, None)
            );
            return;
        };
        let due = model
            .committed
            .is_none_or(|mark| mark < model.committable());
        assert_eq!(tracker.start(), model.start);
        assert_eq!(tracker.next(), model.next());
        assert_eq!(tracker.committable(), model.committable());
        assert_eq!(tracker.in_flight(), model.unacked.len() as u64);
        assert_eq!(tracker.acked(), self.acked.len() as u64);
        assert_eq!(tracker.oldest_unacked(), model.unacked.first().copied());
        assert_eq!(tracker.span(), (model.end - model.committable()) as u64);
        assert_eq!(tracker.redelivering(), !model.again.is_empty());
        assert_eq!(self.cursor.committed(), model.committed);
        assert_eq!(self.cursor.to_commit(), due.then(|| model.committable()));
    }

    /// No commit, made or due, passes an unacked offset, and none goes back.
    fn check_commits(&mut self) {
        let (Some(tracker), Some(model)) = (self.cursor.tracker(), &self.model) else {
            return;
        };
        let marks = [self.cursor.committed(), self.cursor.to_commit()];
        for mark in marks.into_iter().flatten() {
            let passed = model.unacked.range(..mark).next();
            assert_eq!(passed, None, "{mark} passes an unacked offset");
        }
        assert!(self
            .cursor
            .to_commit()
            .is_none_or(|due| Some(due) > self.cursor.committed()));
        assert!(
            tracker.committable() >= self.committable,
            "committable went back"
        );
        self.committable = tracker.committable();
    }
}

fn pick<T: Copy>(from: &[T], which: Index) -> impl Iterator<Item = T> {
    let found = (!from.is_empty()).then(|| *which.get(from));
    found.into_iter()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_slot_behaves_as_its_model_and_keeps_the_invariants(
        start in start(),
        committed in any::<bool>(),
        steps in vec(step(), 1..120),
    ) {
        let mut life = Life::new();
        life.check_marks();
        life.assign(start, committed.then_some(start));
        for step in steps {
            life.run(step);
            life.check_marks();
            life.check_commits();
        }
    }

    #[test]
    fn whatever_happened_before_acking_all_makes_all_committable(
        start in start(),
        steps in vec(step(), 1..120),
    ) {
        let mut life = Life::new();
        life.assign(start, None);
        steps.into_iter().for_each(|step| life.run(step));
        life.run(Step::AckMany { count: usize::MAX, newest_first: true });
        life.check_marks();
        prop_assert_eq!(life.cursor.tracker().map(|t| (t.committable(), t.in_flight())),
            life.model.as_ref().map(|model| (model.end, 0)));
    }
}
