//! How a life ends: all is well at last, and the member leaves.

use std::sync::atomic::Ordering;

use crate::client::Protocol;
use crate::committed::Outcome;
use crate::consumer::{AckId, Progress};
use crate::explicit::Manner;

use super::life::Life;

impl Life {
    /// Lets all be well until nothing is left to do. Lanes are pulled when they were woken only.
    pub(super) fn calm_down(&mut self) {
        if self.left.is_none() && self.leave_by.is_none() {
            self.resume_all();
        }
        self.claim();
        for _ in 0..400 {
            if self.left.is_some() || self.is_done() {
                return;
            }
            if self.client.look().thrown_out {
                self.client.lose();
            }
            self.client.look().refuse_next_commit = false;
            self.client.decide(Outcome::Done);
            while self.client.work(true) {}
            self.turn(60);
            let all = self.client.look().all();
            if self.client.look().ours != all {
                if self.client.protocol == Protocol::Eager && !self.client.look().ours.is_empty() {
                    self.client.take_back(&all);
                }
                self.client.give(&all);
            }
            all.iter()
                .for_each(|partition| self.client.fetch(*partition, 4));
            let due = std::mem::take(&mut *self.ears.due.lock());
            due.into_iter().for_each(|lane| self.pull(lane, 4));
            let ids: Vec<AckId> = self.in_hand.iter().map(|(_, id)| *id).collect();
            self.ack(&ids);
            if self.by_hand {
                self.commit_all();
            }
            self.check();
        }
        let progress: Vec<_> = self
            .consumer
            .shared
            .all()
            .iter()
            .map(|p| Progress::of(p))
            .collect();
        panic!("stuck: {progress:?}; {:?}", self.seen);
    }

    /// Commits what is acked, as only somebody can who asks for it.
    fn commit_all(&mut self) {
        for partition in self.consumer.shared.all() {
            let marks = Progress::of(&partition);
            if let (Some(marks), Some(seen)) = (marks, self.seen.get_mut(&partition.partition)) {
                seen.asked.insert(marks.committable);
            }
        }
        let _ = self.consumer.commit_all(Manner::default());
    }

    fn is_done(&self) -> bool {
        let cluster = self.client.look();
        let committed = |p: &i32| cluster.committed.get(p).copied();
        let rest = |p: &i32| {
            cluster
                .at(*p)
                .records
                .range(committed(p).unwrap_or(0)..)
                .count()
        };
        let all = cluster.all();
        cluster.unanswered.is_none()
            && cluster.ours == all
            && all.iter().all(|p| committed(p).is_some() && rest(p) == 0)
    }

    /// Closes; that it ends in time is seen at every turn.
    pub(super) fn end(&mut self, timeout: u64) {
        self.close(timeout);
        while self.left.is_none() {
            self.client.decide(Outcome::Done);
            self.turn(60);
            self.check();
        }
        assert_eq!(self.waiting.load(Ordering::SeqCst), 0, "unanswered");
        assert!(self.seen.values().all(|seen| !seen.open) || self.left.as_ref().unwrap().is_err());
    }
}
