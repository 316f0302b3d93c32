//! Revokes: what is in flight is drained, what was handled is committed, and then they are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Protocol;
use crate::clock::{self, after};
use crate::event::{Event, Revoked};
use crate::offsets::{Entry, Offsets};
use crate::partition::{Flow, Partition};
use crate::queue::Queue;
use crate::rebalance::{names, Stage};
use crate::service::Service;

pub(crate) struct Revoke {
    partitions: Vec<Arc<Partition>>,
    since: Instant,
}

// Past it the prefix is redelivered to the next owner: better than to be thrown out of the group.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

impl Service {
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
        let going = going(&partitions);
        for partition in &partitions {
            self.stop(partition);
        }
        if !going.is_empty() {
            self.shared.sink.event(Event::Revoking(going));
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
        self.count_assigned();
        let list = Offsets::new(revoked.iter().map(|r| (&*r.topic, r.partition, 0)));
        if let Err(error) = self.unassign(&list) {
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
        if self.rebalance.protocol() == Protocol::Cooperative && self.leaving.is_none() {
            self.resume();
            if !self.rebalance.pending.is_empty() {
                self.look_up_pending();
            }
        }
    }
}

/// Those that are ours, before they are given up.
fn going(partitions: &[Arc<Partition>]) -> Vec<Revoked> {
    let ours = partitions.iter().filter_map(|partition| {
        let state = partition.lock();
        let tracker = state.cursor.tracker()?;
        Some(Revoked {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch: state.cursor.epoch(),
            unacked: tracker.in_flight(),
        })
    });
    ours.collect()
}

/// Ends the epochs of those that have one. Their queues are to be dropped after librdkafka has taken
/// the partitions back.
pub(crate) fn end_epochs(partitions: &[Arc<Partition>]) -> (Vec<Revoked>, Vec<Option<Queue>>) {
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
        let state = partition.lock();
        let tracker = state.cursor.tracker();
        // What was in flight where nobody is any more will not be acked.
        partition.lane().is_none() || tracker.is_none_or(|it| it.in_flight() == 0)
    })
}

fn is_committed(revoke: &Revoke) -> bool {
    revoke
        .partitions
        .iter()
        .all(|partition| partition.lock().cursor.to_commit().is_none())
}
