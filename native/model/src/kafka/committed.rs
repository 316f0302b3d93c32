//! What becomes of commits.

use std::sync::Arc;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::code::Code;
use crate::offsets::Entry;
use crate::polled::Polled;
use crate::queue::Ops;
use crate::types::RDKafkaRespErr;

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
    pub(crate) fn do_commit(&mut self, entries: &[Entry]) {
        for entry in entries {
            let before = self.committed.insert(entry.partition, entry.offset);
            let sought = self.sought.entry(entry.partition).or_default();
            let is_it = sought.iter().position(|offset| *offset == entry.offset);
            // What was sought before that is committed no more.
            sought.drain(..is_it.map_or(0, |at| at + 1));
            let is_ahead = before <= Some(entry.offset);
            assert!(is_ahead || is_it.is_some(), "rewound to {entry:?}");
        }
    }
}

impl Client {
    pub(crate) fn committed_offset(&self, partition: i32) -> Option<i64> {
        self.look().committed.get(&partition).copied()
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
        let code = Code::of(code);
        cluster.down &= code.is_some();
        let event = Polled::Commit(code, commit.entries);
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
