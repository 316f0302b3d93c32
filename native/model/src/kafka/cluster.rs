//! The brokers, the group, and the client's own state of both, as a test moves them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::client::{Client, Protocol};
use crate::code::Code;
use crate::offsets::Entry;
use crate::polled::Polled;
use crate::queue::Ops;
use crate::sync::MutexGuard;
use crate::topic_partition::TopicPartition;
use crate::types::RDKafkaRespErr;

pub(crate) const TOPIC: &str = "orders";

pub(crate) struct Cluster {
    partitions: Vec<Log>,
    /// Whether the group has ever assigned something, if only nothing.
    joined: bool,
    /// The partitions that the group counts as ours.
    pub(crate) ours: BTreeSet<i32>,
    /// The rebalance that the member has to answer.
    pub(crate) unanswered: Option<Rebalance>,
    pub(crate) lost: bool,
    /// Thrown out of the group, and not told yet.
    pub(crate) thrown_out: bool,
    pub(crate) generation: u32,
    pub(crate) commit: Option<Commit>,
    pub(crate) committed: BTreeMap<i32, i64>,
    pub(crate) refuse_next_commit: bool,
    pub(crate) closing: bool,
}

/// A partition of the topic, and our reading of it.
pub(crate) struct Log {
    pub(crate) records: BTreeSet<i64>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) at: Arc<TopicPartition>,
    pub(crate) ops: Arc<Ops>,
}

pub(crate) struct Rebalance {
    pub(crate) assigns: bool,
    pub(crate) partitions: BTreeSet<i32>,
}

pub(crate) struct Commit {
    pub(crate) entries: Vec<Entry>,
    pub(crate) results: Arc<Ops>,
    pub(crate) generation: u32,
    /// Done, and not answered yet.
    pub(crate) done: bool,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Done, but the answer never came.
    DoneInSilence,
    Refused,
    /// Refused for the first partition, done for the others.
    RefusedInPart,
    /// The group has no such member any more.
    ThrownOut,
}

impl Cluster {
    pub(crate) fn new(partitions: i32) -> Cluster {
        let topic: Arc<str> = Arc::from(TOPIC);
        let log = |number| Log {
            records: BTreeSet::new(),
            start: 0,
            end: 0,
            at: Arc::new(TopicPartition::new(&topic, number)),
            ops: Arc::default(),
        };
        Cluster {
            partitions: (0..partitions).map(log).collect(),
            joined: false,
            ours: BTreeSet::new(),
            unanswered: None,
            lost: false,
            thrown_out: false,
            generation: 1,
            commit: None,
            committed: BTreeMap::new(),
            refuse_next_commit: false,
            closing: false,
        }
    }

    pub(crate) fn at(&self, partition: i32) -> &Log {
        &self.partitions[partition as usize]
    }

    pub(crate) fn at_mut(&mut self, partition: i32) -> &mut Log {
        &mut self.partitions[partition as usize]
    }

    pub(crate) fn all(&self) -> BTreeSet<i32> {
        (0..self.partitions.len() as i32).collect()
    }

    pub(crate) fn assign(&mut self, partition: i32, offset: i64) {
        let mut position = self.at(partition).at.position();
        assert!(offset >= 0, "assigned at {offset}");
        position.begin(offset);
        position.assigned = true;
        position.stuck = false;
    }

    pub(crate) fn unassign(&mut self, partition: i32) {
        let log = self.at(partition);
        let mut position = log.at.position();
        let was_assigned = std::mem::take(&mut position.assigned);
        position.version += 1;
        drop(position);
        // A queue that is not fetched into yet may be joined to its lane's already.
        if was_assigned {
            log.ops.stop();
        }
    }

    pub(crate) fn unassign_all(&mut self) {
        self.all().into_iter().for_each(|p| self.unassign(p));
    }

    /// The member assigned, or unassigned: if a rebalance waits, that is the answer to it.
    pub(crate) fn answered(&mut self, assigns: bool) {
        // An answer to what was superseded answers nothing.
        let Some(rebalance) = self.unanswered.take_if(|it| it.assigns == assigns) else {
            return;
        };
        if !assigns {
            for partition in &rebalance.partitions {
                assert!(!self.at(*partition).at.position().assigned, "not given up");
                self.ours.remove(partition);
            }
            // What was sent before comes before it.
            if let Some(mut commit) = self.commit.take() {
                if commit.generation == self.generation && !self.thrown_out {
                    self.do_commit(&commit.entries);
                    commit.done = true;
                }
                self.commit = Some(commit);
            }
            self.generation += 1;
        }
        if self.ours.is_empty() {
            self.lost = false;
        }
    }

    fn do_commit(&mut self, entries: &[Entry]) {
        for entry in entries {
            let before = self.committed.insert(entry.partition, entry.offset);
            assert!(before <= Some(entry.offset), "rewound to {entry:?}");
        }
    }

    /// Begins a rebalance: nothing is fetched until it is answered.
    fn ask(&mut self, assigns: bool, partitions: BTreeSet<i32>) -> Polled {
        for log in &self.partitions {
            let mut position = log.at.position();
            if position.assigned {
                position.pause();
            }
        }
        let entries = partitions.iter().map(|partition| Entry {
            topic: TOPIC.to_owned(),
            partition: *partition,
            offset: -1,
            error: None,
        });
        let entries = entries.collect();
        if assigns {
            self.joined = true;
            self.ours.extend(&partitions);
        }
        self.unanswered = Some(Rebalance {
            assigns,
            partitions,
        });
        if assigns {
            Polled::Assign(entries)
        } else {
            Polled::Revoke(entries)
        }
    }
}

impl Client {
    pub(crate) fn look(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock()
    }

    pub(crate) fn log_start(&self, partition: i32) -> i64 {
        self.look().at(partition).start
    }

    pub(crate) fn committed_offset(&self, partition: i32) -> Option<i64> {
        self.look().committed.get(&partition).copied()
    }

    /// Assigns partitions, unless a rebalance waits.
    pub(crate) fn give(&self, partitions: &BTreeSet<i32>) {
        let mut cluster = self.look();
        if cluster.unanswered.is_some() || cluster.closing || cluster.lost || cluster.thrown_out {
            return;
        }
        let whole = self.protocol == Protocol::Eager;
        if whole && !cluster.ours.is_empty() {
            return;
        }
        let news = partitions - &cluster.ours;
        let event = cluster.ask(true, news);
        self.events.post(event);
    }

    /// Revokes partitions of ours; also those of an assignment that was not answered.
    pub(crate) fn take_back(&self, partitions: &BTreeSet<i32>) {
        let mut cluster = self.look();
        let waits = cluster.unanswered.as_ref();
        if waits.is_some_and(|waits| !waits.assigns) || cluster.closing || !cluster.joined {
            return;
        }
        let whole = self.protocol == Protocol::Eager || waits.is_some();
        let gone = if whole {
            cluster.ours.clone()
        } else {
            partitions & &cluster.ours
        };
        let event = cluster.ask(false, gone);
        self.events.post(event);
    }

    /// The group gives our partitions to others without asking.
    pub(crate) fn lose(&self) {
        let mut cluster = self.look();
        if cluster.closing {
            return;
        }
        cluster.thrown_out = false;
        cluster.generation += 1;
        if cluster.ours.is_empty() {
            return;
        }
        cluster.lost = true;
        // A revoke that waits goes on; what it leaves is taken after it.
        if cluster.unanswered.as_ref().is_none_or(|r| r.assigns) {
            let gone = cluster.ours.clone();
            let event = cluster.ask(false, gone);
            self.events.post(event);
        }
    }

    /// What follows an answer by itself.
    pub(crate) fn go_on(&self, cluster: &mut Cluster) {
        let over = cluster.closing || cluster.lost;
        if over && cluster.unanswered.is_none() && !cluster.ours.is_empty() {
            let gone = cluster.ours.clone();
            let event = cluster.ask(false, gone);
            self.events.post(event);
        }
    }

    /// Appends records, after a gap.
    pub(crate) fn append(&self, partition: i32, gap: i64, count: i64) {
        let mut cluster = self.look();
        let log = cluster.at_mut(partition);
        let first = log.end + gap;
        log.records.extend(first..first + count);
        log.end = first + count;
    }

    /// Drops the oldest records.
    pub(crate) fn expire(&self, partition: i32, count: usize) {
        let mut cluster = self.look();
        let log = cluster.at_mut(partition);
        let rest = log.records.iter().nth(count).copied();
        log.start = rest.unwrap_or(log.end);
        log.records = log.records.split_off(&log.start);
    }

    /// Fetches records; without any, passes what is none at the end of the log.
    pub(crate) fn fetch(&self, partition: i32, count: usize) {
        let cluster = self.look();
        let log = cluster.at(partition);
        for _ in 0..count {
            let mut position = log.at.position();
            if cluster.unanswered.is_some() || !position.assigned || position.stuck {
                return;
            }
            if position.fetch < log.start || position.fetch > log.end {
                position.stuck = true;
                let offset = position.fetch;
                drop(position);
                let fault = RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
                return log.ops.put(log.at.message(offset, Some(fault)));
            }
            match log.records.range(position.fetch..).next().copied() {
                Some(offset) => {
                    position.fetch = offset + 1;
                    if log.ops.is_astray() {
                        position.taken = Some(offset + 1);
                        self.events.post(Polled::Stray(TOPIC.to_owned(), partition));
                        continue;
                    }
                    drop(position);
                    log.ops.put(log.at.message(offset, None));
                }
                None if position.is_read() && position.fetch < log.end => {
                    position.fetch = log.end;
                    position.taken = Some(log.end);
                }
                None => return,
            }
        }
    }

    /// A partition fails where its next record would be.
    pub(crate) fn fail(&self, partition: i32) {
        let cluster = self.look();
        let log = cluster.at(partition);
        let position = log.at.position();
        if cluster.unanswered.is_some() || !position.assigned || position.stuck {
            return;
        }
        let offset = position.fetch;
        drop(position);
        let fault = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
        log.ops.put(log.at.message(offset, Some(fault)));
    }

    /// A partition's records go to the member's queue, until it is forwarded again.
    pub(crate) fn stray(&self, partition: i32) {
        let cluster = self.look();
        let log = cluster.at(partition);
        let position = log.at.position();
        if position.assigned && position.is_read() {
            log.ops.go_astray();
        }
    }

    /// Decides the commit under way; whether there was one.
    pub(crate) fn decide(&self, outcome: Outcome) -> bool {
        use RDKafkaRespErr::*;
        let mut cluster = self.look();
        let Some(mut commit) = cluster.commit.take() else {
            return false;
        };
        let fenced = commit.generation != cluster.generation || cluster.thrown_out;
        let outcome = match outcome {
            Outcome::Done if commit.done => Outcome::Done,
            _ if commit.done => Outcome::DoneInSilence,
            _ if fenced => Outcome::ThrownOut,
            outcome => outcome,
        };
        let code = match outcome {
            Outcome::Done | Outcome::RefusedInPart => RD_KAFKA_RESP_ERR_NO_ERROR,
            Outcome::DoneInSilence => RD_KAFKA_RESP_ERR__TIMED_OUT,
            Outcome::Refused => RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            Outcome::ThrownOut if commit.generation != cluster.generation => {
                RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
            }
            Outcome::ThrownOut => {
                cluster.thrown_out = true;
                RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
            }
        };
        let refused = match outcome {
            Outcome::Done | Outcome::DoneInSilence => 0,
            Outcome::RefusedInPart => 1,
            Outcome::Refused | Outcome::ThrownOut => commit.entries.len(),
        };
        if outcome == Outcome::RefusedInPart {
            commit.entries[0].error = Code::of(RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
        }
        if !commit.done {
            cluster.do_commit(&commit.entries[refused..]);
        }
        let event = Polled::Commit(Code::of(code), commit.entries);
        commit.results.post(event);
        true
    }

    /// Another member handles records of a partition that is not ours, and commits them.
    pub(crate) fn handled_elsewhere(&self, partition: i32, count: usize) {
        let mut cluster = self.look();
        if cluster.ours.contains(&partition) && !cluster.lost {
            return;
        }
        let log = cluster.at(partition);
        let from = cluster.committed.get(&partition).copied();
        let from = from.unwrap_or(log.start).max(log.start);
        let mut rest = log.records.range(from..).skip(count);
        let next = rest.next().copied().unwrap_or(log.end);
        cluster.committed.insert(partition, next);
    }
}
