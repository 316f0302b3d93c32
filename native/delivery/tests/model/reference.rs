//! The model: one assignment, made of plain sets.

use std::collections::BTreeSet;

use delivery::Ack;

/// One assignment, as slowly and plainly as it can be said.
#[derive(Debug, Default)]
pub struct Model {
    pub start: i64,
    pub end: i64,
    pub delivered: BTreeSet<i64>,
    pub unacked: BTreeSet<i64>,
    /// What the current attempt has still to bring.
    pub again: BTreeSet<i64>,
    pub committed: Option<i64>,
}

impl Model {
    pub fn new(start: i64, committed: Option<i64>) -> Self {
        Model {
            start,
            end: start,
            committed,
            ..Model::default()
        }
    }

    pub fn next(&self) -> i64 {
        self.again.first().copied().unwrap_or(self.end)
    }

    pub fn committable(&self) -> i64 {
        self.unacked.first().copied().unwrap_or(self.end)
    }

    pub fn deliver(&mut self, offset: i64) -> bool {
        let new = offset >= self.end && offset < i64::MAX;
        if !new && !self.again.contains(&offset) {
            return false;
        }
        self.again.retain(|&other| other > offset);
        if new {
            self.delivered.insert(offset);
            self.unacked.insert(offset);
            self.end = offset + 1;
        }
        true
    }

    pub fn ack(&mut self, offset: i64) -> Ack {
        let forgotten = (self.start..self.committable()).contains(&offset);
        if self.unacked.remove(&offset) {
            self.again.remove(&offset);
            Ack::Acked
        } else if forgotten || self.delivered.contains(&offset) {
            Ack::Duplicate
        } else {
            Ack::Unknown
        }
    }

    pub fn advance(&mut self, position: i64) {
        if self.again.is_empty() {
            self.end = self.end.max(position);
        }
    }

    pub fn redeliver(&mut self) -> Option<i64> {
        self.again = self.unacked.clone();
        self.again.first().copied()
    }
}
