//! Rebalances: answered as soon as start positions are known, or what was in flight is drained.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Protocol;
use crate::clock::{self, after};
use crate::event::{Assigned, Event, Revoked};
use crate::lookup::Job;
use crate::offsets::{Entry, Offsets};
use crate::partition::{Flow, Partition};
use crate::positions::{Position, Wanted};
use crate::queue::Queue;
use crate::service::Service;

/// The rebalance under way.
#[derive(Default)]
pub(crate) struct Rebalance {
    /// The group will answer the first join with an assignment, be it empty.
    joining: bool,
    /// Counts rebalances, so that an answer to a superseded one is dropped.
    number: u64,
    stage: Stage,
    // As the last assignment had it: a member that has left answers no question.
    protocol: Protocol,
    /// Assigned, and not answered yet. An incremental assignment that comes before the answer, as
    /// when the topics change meanwhile, names only what is new.
    pending: Vec<Wanted>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Settled,
    /// Start positions are being looked up.
    Assigning,
    /// Waiting for what is in flight, until a deadline.
    Draining(Revoke, Instant),
    /// Waiting for the last commit, until a deadline.
    Committing(Revoke, Instant),
}

struct Revoke {
    partitions: Vec<Arc<Partition>>,
    since: Instant,
}

// Past it the prefix is redelivered to the next owner: better than to be thrown out of the group.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

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
    fn begin(&mut self) {
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

    fn look_up_pending(&mut self) {
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
        let list = Offsets::new(positions.iter().map(|position| {
            let start = self.keep(position).unwrap_or_else(|| {
                assigned.push(self.take_over(position));
                position.start
            });
            (position.topic.as_str(), position.partition, start)
        }));
        if assigned.len() < positions.len() {
            self.look_soon();
        }
        if let Err(error) = self.client.assign(self.rebalance.protocol, &list) {
            self.report(error);
        }
        self.commits.hurry(clock::now());
        self.shared.want_commit();
        if !assigned.is_empty() {
            self.shared.sink.event(Event::Assigned(assigned));
        }
        self.resume();
    }

    /// Where a partition goes on that is assigned once more, and was ours all the time.
    fn keep(&self, position: &Position) -> Option<i64> {
        let partition = self.shared.find(&position.topic, position.partition)?;
        partition.lock().cursor.tracker()?;
        self.set_aside(&partition, Flow::Running);
        let state = partition.lock();
        state.cursor.tracker().map(|tracker| tracker.next())
    }

    /// Begins a partition's epoch and joins its queue to its lane's.
    fn take_over(&self, position: &Position) -> Assigned {
        let partition = self
            .shared
            .partition_for(&position.topic, position.partition);
        let intake = self.shared.lanes[partition.lane].intake.lock();
        let mut state = partition.lock();
        let epoch = state.begin_epoch(position.start, position.committed);
        state.topic_id = position.topic_id;
        state.queue = self
            .client
            .partition_queue(&position.topic, position.partition);
        if let Some(queue) = &state.queue {
            queue.forward(intake.queue.as_ref());
        }
        state.flow = Flow::Running;
        Assigned {
            topic: position.topic.clone(),
            partition: position.partition,
            slot: partition.slot,
            epoch,
            start: position.start,
        }
    }

    /// Gets fetching and pulling under way again: librdkafka had paused every partition.
    pub(crate) fn resume(&self) {
        for lane in &self.shared.lanes {
            lane.bell.ring();
        }
        let assigned = self.assigned();
        let places = assigned.iter().map(|p| (p.topic.to_string(), p.partition));
        self.nudge.send(places.collect());
    }

    pub(crate) fn begin_revoke(&mut self, entries: Vec<Entry>) {
        self.begin();
        self.rebalance
            .pending
            .retain(|(topic, partition, _)| !names(&entries, topic, *partition));
        let now = clock::now();
        let partitions: Vec<Arc<Partition>> = entries
            .iter()
            .filter_map(|entry| self.shared.find(&entry.topic, entry.partition))
            .collect();
        for partition in &partitions {
            self.stop(partition);
        }
        let drain = if self.leaving.is_some() {
            Duration::ZERO
        } else {
            self.drain_timeout
        };
        self.commits.hurry(now);
        self.rebalance.stage = Stage::Draining(
            Revoke {
                partitions,
                since: now,
            },
            after(now, drain),
        );
        self.step_rebalance(now);
    }

    /// Delivers nothing more of a partition.
    pub(crate) fn stop(&self, partition: &Partition) {
        self.set_aside(partition, Flow::Stopped);
    }

    /// Takes the service's own look at how far a revoke has come.
    pub(crate) fn step_rebalance(&mut self, now: Instant) {
        self.rebalance.stage = match std::mem::take(&mut self.rebalance.stage) {
            Stage::Draining(revoke, _) | Stage::Committing(revoke, _)
                if self.client.assignment_lost() =>
            {
                return self.answer_revoke(&revoke, true);
            }
            Stage::Draining(revoke, deadline) if now >= deadline || is_drained(&revoke) => {
                Stage::Committing(revoke, now + COMMIT_TIMEOUT)
            }
            other => other,
        };
        if let Stage::Committing(revoke, deadline) = &self.rebalance.stage {
            self.commits
                .step(&self.shared, &self.client, &self.commit_queue, now, true);
            if is_committed(revoke)
                || self.commits.is_refused_since(revoke.since)
                || now >= *deadline
                || self.leaving_is_over(now)
            {
                if let Stage::Committing(revoke, _) = std::mem::take(&mut self.rebalance.stage) {
                    self.answer_revoke(&revoke, false);
                }
            }
        }
    }

    /// Gives up everything: librdkafka says no word of it when it fails for good.
    pub(crate) fn lose_all(&mut self) {
        self.begin();
        self.rebalance.pending.clear();
        let partitions = self.assigned();
        for partition in &partitions {
            self.stop(partition);
        }
        let since = clock::now();
        self.answer_revoke(&Revoke { partitions, since }, true);
    }

    /// Ends the partitions' epochs and gives them back.
    fn answer_revoke(&mut self, revoke: &Revoke, lost: bool) {
        self.give_back(lost || is_committed(revoke));
        let (revoked, queues) = end_epochs(&revoke.partitions);
        let list = Offsets::new(revoked.iter().map(|r| (&*r.topic, r.partition, 0)));
        let protocol = self.rebalance.protocol;
        if let Err(error) = self.client.unassign(protocol, &list) {
            self.report(error);
        }
        drop(queues);
        if !revoked.is_empty() {
            let event = if lost {
                Event::Lost(revoked)
            } else {
                Event::Revoked(revoked, clock::now().duration_since(revoke.since))
            };
            self.shared.sink.event(event);
        }
        if protocol == Protocol::Cooperative && self.leaving.is_none() {
            self.resume();
            if !self.rebalance.pending.is_empty() {
                self.look_up_pending();
            }
        }
    }
}

fn names(entries: &[Entry], topic: &str, partition: i32) -> bool {
    let mut entries = entries.iter();
    entries.any(|entry| entry.partition == partition && entry.topic == topic)
}

/// Ends the epochs of those that have one. Their queues are to be dropped after librdkafka has taken
/// the partitions back.
fn end_epochs(partitions: &[Arc<Partition>]) -> (Vec<Revoked>, Vec<Option<Queue>>) {
    let ended = partitions.iter().filter_map(|partition| {
        let mut state = partition.lock();
        if !state.cursor.is_assigned() {
            return None;
        }
        let revoked = Revoked {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch: state.cursor.epoch(),
            unacked: state.cursor.revoke(),
        };
        Some((revoked, state.queue.take()))
    });
    ended.unzip()
}

fn is_drained(revoke: &Revoke) -> bool {
    revoke.partitions.iter().all(|partition| {
        partition
            .lock()
            .cursor
            .tracker()
            .is_none_or(|t| t.in_flight() == 0)
    })
}

fn is_committed(revoke: &Revoke) -> bool {
    revoke
        .partitions
        .iter()
        .all(|partition| partition.lock().cursor.to_commit().is_none())
}
