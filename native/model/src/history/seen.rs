//! What the outside has seen of one partition since it was assigned, made of plain sets.

use std::collections::{BTreeMap, BTreeSet};

use crate::consumer::Progress;
use crate::log::Log;

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) slot: u32,
    pub(super) epoch: u32,
    pub(super) start: i64,
    /// Whether each was acked.
    pub(super) delivered: BTreeMap<i64, bool>,
    /// The last one of this attempt.
    pub(super) last: Option<i64>,
    pub(super) open: bool,
    /// What was asked for to be committed.
    pub(super) asked: BTreeSet<i64>,
}

impl Seen {
    pub(super) fn new(slot: u32, epoch: u32, start: i64) -> Seen {
        Seen {
            slot,
            epoch,
            start,
            delivered: BTreeMap::new(),
            last: None,
            open: true,
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn deliver(&mut self, epoch: u32, offset: i64) {
        assert!(self.open, "{offset} delivered after the revoke");
        assert_eq!(epoch, self.epoch, "{offset} delivered in another epoch");
        assert!(self.last < Some(offset), "{offset} after {:?}", self.last);
        assert!(offset >= self.start, "{offset} below the start");
        let before = self.delivered.insert(offset, false);
        assert_ne!(before, Some(true), "{offset} delivered after its ack");
        self.last = Some(offset);
    }

    /// What is unacked comes once more, from its beginning.
    pub(super) fn begin_attempt(&mut self, offset: i64, count: u64) {
        assert_eq!(self.unacked().next(), Some(offset));
        assert_eq!(self.unacked().count() as u64, count);
        self.last = None;
    }

    /// What is unacked from here on comes once more, if it came before.
    pub(super) fn go_on(&mut self, from: i64) {
        self.last = Some(from - 1);
    }

    pub(super) fn ack(&mut self, slot: u32, epoch: u32, offset: i64) {
        if self.open && (slot, epoch) == (self.slot, self.epoch) {
            if let Some(acked) = self.delivered.get_mut(&offset) {
                *acked = true;
            }
        }
    }

    /// What is committed was handled.
    pub(super) fn commit(&mut self, offset: i64) {
        self.asked.insert(offset);
        let below = self.delivered.range_mut(..offset);
        below.for_each(|(_, acked)| *acked = true);
    }

    pub(super) fn unacked(&self) -> impl Iterator<Item = i64> + '_ {
        let unacked = self.delivered.iter().filter(|(_, acked)| !**acked);
        unacked.map(|(offset, _)| *offset)
    }

    /// The member's own marks are what was seen from outside.
    pub(super) fn check_marks(&self, marks: Option<Progress>, committed: Option<i64>) {
        assert_eq!(marks.is_some(), self.open, "{self:?}");
        let Some(marks) = marks else { return };
        let acked = self.delivered.values().filter(|acked| **acked).count();
        assert_eq!((marks.slot, marks.epoch), (self.slot, self.epoch));
        assert_eq!(marks.in_flight, self.unacked().count() as u64, "in flight");
        assert_eq!(marks.acked, acked as u64, "acked");
        assert!(marks.committed <= committed, "never committed: {marks:?}");
        self.check_commit(marks.committable, None);
    }

    /// A commit passes nothing that is unacked, and nothing that was not delivered.
    pub(super) fn check_commit(&self, offset: i64, log: Option<&Log>) {
        let passed = self.unacked().find(|unacked| *unacked < offset);
        assert_eq!(passed, None, "{offset} passes what is unacked: {self:?}");
        let Some(log) = log else { return };
        let mut records = log.records.range(self.start..).take_while(|o| **o < offset);
        let skipped = records.find(|o| !self.delivered.contains_key(o));
        assert_eq!(skipped, None, "{offset} skips a record: {self:?}");
    }

    /// Where commits are made by hand, one that nobody asked for must not be.
    pub(super) fn check_asked(&self, offset: i64) {
        assert!(
            self.asked.contains(&offset),
            "{offset} of its own accord: {self:?}"
        );
    }

    /// After a close that nothing disturbed all that was asked for is committed.
    pub(super) fn check_end_by_hand(&self, committed: Option<i64>) {
        assert!(
            committed >= self.asked.last().copied(),
            "{committed:?}: {self:?}"
        );
    }

    /// After a close that nothing disturbed exactly the prefix is committed.
    pub(super) fn check_end(&self, committed: Option<i64>, log: &Log) {
        match self.unacked().next() {
            Some(lowest) => assert_eq!(committed, Some(lowest), "{self:?}"),
            None => {
                let handled = self.delivered.keys().last();
                let handled = handled.map_or(self.start, |last| last + 1);
                assert!(committed >= Some(handled), "{committed:?}: {self:?}");
                self.check_commit(committed.unwrap_or(0), Some(log));
            }
        }
    }
}
