//! Rebalances: answered as soon as start positions are known, or what was in flight is drained.

use std::time::Instant;

use crate::client::Protocol;
use crate::clock;
use crate::event::Event;
use crate::lookup::Job;
use crate::offsets::{Entry, Offsets};
use crate::positions::{Position, Wanted};
use crate::revoke::{end_epochs, Revoke};
use crate::service::Service;
use crate::takeover::Kept;

/// The rebalance under way.
#[derive(Default)]
pub(crate) struct Rebalance {
    /// The group will answer the first join with an assignment, be it empty.
    joining: bool,
    /// Counts rebalances, so that an answer to a superseded one is dropped.
    number: u64,
    pub(crate) stage: Stage,
    // As the last assignment had it: a member that has left answers no question.
    protocol: Protocol,
    /// Assigned, and not answered yet. An incremental assignment that comes before the answer, as
    /// when the topics change meanwhile, names only what is new.
    pub(crate) pending: Vec<Wanted>,
}

#[derive(Default)]
pub(crate) enum Stage {
    #[default]
    Settled,
    /// Start positions are being looked up.
    Assigning,
    /// Waiting for what is in flight, until a deadline.
    Draining(Revoke, Instant),
    /// Waiting for the last commit, until a deadline.
    Committing(Revoke, Instant),
}

impl Rebalance {
    pub(crate) fn new(joining: bool) -> Rebalance {
        Rebalance {
            joining,
            ..Rebalance::default()
        }
    }

    pub(crate) fn is_joining(&self) -> bool {
        self.joining
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Settled)
    }

    pub(crate) fn is_revoking(&self) -> bool {
        matches!(self.stage, Stage::Draining(..) | Stage::Committing(..))
    }

    pub(crate) fn is_committing(&self) -> bool {
        matches!(self.stage, Stage::Committing(..))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Draining(_, deadline) | Stage::Committing(_, deadline) => Some(*deadline),
            Stage::Settled | Stage::Assigning => None,
        }
    }

    /// Ends a drain at once.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if let Stage::Draining(_, deadline) = &mut self.stage {
            *deadline = now;
        }
    }
}

impl Service {
    pub(crate) fn begin(&mut self) {
        self.rebalance.number += 1;
        self.rebalance.stage = Stage::Settled;
        self.lookup.supersede(self.rebalance.number);
    }

    pub(crate) fn begin_assign(&mut self, entries: Vec<Entry>) {
        self.begin();
        self.rebalance.joining = false;
        if !self.is_closing() {
            self.rebalance.protocol = self.client.protocol();
        }
        self.brokers_down = false;
        if self.rebalance.protocol == Protocol::Eager {
            self.replace_assignment(&entries);
        }
        self.rebalance
            .pending
            .extend(entries.into_iter().map(|entry| {
                let had = self.shared.find(&entry.topic, entry.partition);
                let topic_id = had.and_then(|partition| partition.lock().topic_id);
                (entry.topic, entry.partition, topic_id)
            }));
        self.look_up_pending();
    }

    pub(crate) fn look_up_pending(&mut self) {
        // An unanswered empty assignment would hold the other members up; one that comes while we
        // leave is given back by the close that follows.
        if self.rebalance.pending.is_empty() || self.leaving.is_some() {
            return self.assign_positions(&[]);
        }
        self.rebalance.stage = Stage::Assigning;
        self.lookup.send(Job::Start {
            rebalance: self.rebalance.number,
            partitions: self.rebalance.pending.clone(),
        });
    }

    /// An assignment comes on top of another when librdkafka joins again before the answer to it:
    /// what it does not name is somebody else's by now.
    fn replace_assignment(&mut self, entries: &[Entry]) {
        self.rebalance.pending.clear();
        let mut gone = self.assigned();
        gone.retain(|partition| !names(entries, &partition.topic, partition.partition));
        for partition in &gone {
            self.stop(partition);
        }
        let (revoked, _) = end_epochs(&gone);
        self.count_assigned();
        if !revoked.is_empty() {
            self.shared.sink.event(Event::Lost(revoked));
        }
    }

    /// Answers an assignment whose start positions were found.
    pub(crate) fn apply_assignment(&mut self, rebalance: u64, positions: &[Position]) {
        if rebalance != self.rebalance.number || !matches!(self.rebalance.stage, Stage::Assigning) {
            return;
        }
        self.rebalance.stage = Stage::Settled;
        self.assign_positions(positions);
    }

    /// Answers an assignment that is not wanted any more: unanswered it would hold the close up.
    pub(crate) fn abandon_assignment(&mut self) {
        if matches!(self.rebalance.stage, Stage::Assigning) {
            self.begin();
            self.assign_positions(&[]);
        }
    }

    fn assign_positions(&mut self, positions: &[Position]) {
        self.rebalance.pending.clear();
        let mut assigned = Vec::with_capacity(positions.len());
        let mut kept = Vec::new();
        let list = Offsets::new(positions.iter().map(|position| {
            let start = match self.keep(position) {
                Some(Kept::Going(partition)) => {
                    let start = partition.start;
                    kept.push(partition);
                    start
                }
                Some(Kept::At(next)) => next,
                None => {
                    assigned.push(self.take_over(position));
                    position.start
                }
            };
            (position.topic.as_str(), position.partition, start)
        }));
        self.count_assigned();
        if assigned.len() < positions.len() {
            self.look_soon();
        }
        if let Err(error) = self.assign(&list) {
            self.report(error);
        }
        let found = positions.iter();
        let found = found.filter_map(|it| self.shared.find(&it.topic, it.partition));
        self.pause_unclaimed(&found.collect::<Vec<_>>());
        self.commits.hurry(clock::now());
        self.shared.want_commit();
        if !assigned.is_empty() {
            self.shared.sink.event(Event::Assigned(assigned));
        }
        if !kept.is_empty() {
            self.shared.sink.event(Event::Kept(kept));
        }
        self.resume();
    }

    /// Gets fetching and pulling under way again: librdkafka had paused every partition.
    pub(crate) fn resume(&self) {
        for lane in self.shared.lanes.iter() {
            lane.bell.ring();
        }
        let assigned = self.assigned();
        let places = assigned.iter().map(|p| (p.topic.to_string(), p.partition));
        self.nudge.send(places.collect());
    }
}

pub(crate) fn names(entries: &[Entry], topic: &str, partition: i32) -> bool {
    let mut entries = entries.iter();
    entries.any(|entry| entry.partition == partition && entry.topic == topic)
}
