//! The group: who has which partitions, and the rebalances by which that changes.

use std::collections::BTreeSet;

use crate::client::{Client, Protocol};
use crate::cluster::{Cluster, TOPIC};
use crate::offsets::Entry;
use crate::polled::Polled;

pub(crate) struct Rebalance {
    pub(crate) assigns: bool,
    pub(crate) partitions: BTreeSet<i32>,
}

impl Cluster {
    /// The member assigned, or unassigned: if a rebalance waits, that is the answer to it.
    pub(crate) fn answered(&mut self, assigns: bool) {
        let Some(rebalance) = self.unanswered.take() else {
            return;
        };
        // librdkafka would take it for the answer to what the member has not read yet.
        assert_eq!(rebalance.assigns, assigns, "the answer to another question");
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
            self.down = false;
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
    /// Assigns partitions, unless a rebalance waits.
    pub(crate) fn give(&self, partitions: &BTreeSet<i32>) {
        let mut cluster = self.look();
        let out = cluster.lost || cluster.thrown_out || cluster.failed || cluster.closing;
        if out || cluster.unanswered.is_some() {
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
        let out = !cluster.joined || cluster.failed || cluster.closing;
        if out || !self.may_revoke(&cluster) {
            return;
        }
        let whole = self.protocol == Protocol::Eager || cluster.unanswered.is_some();
        let gone = if whole {
            cluster.ours.clone()
        } else {
            partitions & &cluster.ours
        };
        let event = cluster.ask(false, gone);
        self.events.post(event);
    }

    /// The member joins anew before it has answered a revoke, and is given what it had.
    pub(crate) fn give_again(&self) {
        let mut cluster = self.look();
        let out = cluster.lost || cluster.thrown_out || cluster.failed || cluster.closing;
        let Some(waits) = cluster.unanswered.as_ref().filter(|it| !it.assigns) else {
            return;
        };
        if out || !self.events.is_empty() {
            return;
        }
        let had = waits.partitions.clone();
        let event = cluster.ask(true, had);
        self.events.post(event);
    }

    /// A revoke comes behind no other, nor behind an assignment that is not read yet.
    fn may_revoke(&self, cluster: &Cluster) -> bool {
        let waits = cluster.unanswered.as_ref();
        waits.is_none_or(|waits| waits.assigns && self.events.is_empty())
    }

    /// The group gives our partitions to others without asking; we are told of it later.
    pub(crate) fn lose(&self) {
        let mut cluster = self.look();
        if cluster.closing {
            return;
        }
        cluster.thrown_out = false;
        cluster.generation += 1;
        cluster.lost = !cluster.ours.is_empty();
    }

    /// What follows by itself, once the member had its turn: a loss is told, and a close goes on.
    pub(crate) fn go_on(&self) {
        let mut cluster = self.look();
        let over = cluster.lost || cluster.closing;
        if over && !cluster.ours.is_empty() && self.may_revoke(&cluster) {
            let gone = cluster.ours.clone();
            let event = cluster.ask(false, gone);
            self.events.post(event);
        }
    }
}
