//! What a member's life showed from outside, held against the plain sets of `seen`.

use crate::consumer::Progress;
use crate::event::{Event, Revoked, Stalled};
use crate::journal::{self, Note};

use super::life::{Life, DRAIN_TIMEOUT, UNACKED_TIMEOUT};
use super::seen::Seen;

impl Life {
    /// Sees to what the member told and sent since the last time.
    pub(super) fn read_journal(&mut self) {
        for note in journal::take() {
            match note {
                Note::Sent(offsets) => {
                    for (partition, offset) in offsets {
                        let mut cluster = self.client.look();
                        let seen = &self.seen[&partition];
                        assert!(seen.open, "a commit after the end of {seen:?}");
                        seen.check_commit(offset, Some(cluster.at(partition)));
                        if self.by_hand {
                            seen.check_asked(offset);
                            // After a seek the first one may go anywhere.
                            let sought = cluster.sought.entry(partition).or_default();
                            sought.last_mut().into_iter().for_each(|to| *to = offset);
                        }
                    }
                }
                Note::Told(Event::Assigned(assigned)) => {
                    for it in assigned {
                        let seen = Seen::new(it.slot, it.epoch, it.start);
                        let before = self.seen.insert(it.partition, seen);
                        assert!(before.is_none_or(|before| !before.open), "assigned twice");
                    }
                }
                Note::Told(Event::Kept(kept)) => {
                    for it in kept {
                        let seen = self.seen.get_mut(&it.partition).unwrap();
                        assert!(seen.open, "kept after the end of {seen:?}");
                        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
                        seen.go_on(it.start);
                    }
                }
                Note::Told(Event::Reset {
                    partition,
                    from,
                    to,
                    ..
                }) => {
                    let exists = self.client.look().at(partition).has(from);
                    assert!(!exists, "{from} was left, which exists");
                    let before = &self.seen[&partition];
                    let seen = Seen::new(before.slot, before.epoch + 1, to);
                    self.seen.insert(partition, seen);
                }
                Note::Told(Event::Redelivered(again)) => {
                    for it in again {
                        let seen = self.seen.get_mut(&it.partition).unwrap();
                        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
                        seen.begin_attempt(it.offset, it.count);
                    }
                }
                Note::Told(Event::Revoked(revoked, took)) => {
                    let unacked: u64 = revoked.iter().map(|it| it.unacked).sum();
                    let given_up = self.leave_by.is_some() || self.nobodys || self.just_claimed;
                    let waited = took >= DRAIN_TIMEOUT || given_up;
                    assert!(unacked == 0 || waited, "{unacked} not waited for: {took:?}");
                    revoked.iter().for_each(|it| self.revoked(it));
                }
                Note::Told(Event::Lost(lost)) => {
                    lost.iter().for_each(|it| self.revoked(it));
                }
                Note::Told(Event::Stalled(stalled)) => {
                    stalled.iter().for_each(|it| self.stalled(it));
                }
                Note::Told(Event::Sought(sought)) => {
                    for it in sought {
                        let before = &self.seen[&it.partition];
                        assert!(before.open, "sought after the end of {before:?}");
                        assert_eq!((it.slot, it.epoch), (before.slot, before.epoch + 1));
                        assert_eq!(it.unacked, before.unacked().count() as u64);
                        let mut cluster = self.client.look();
                        cluster.sought.entry(it.partition).or_default().push(it.to);
                        drop(cluster);
                        let seen = Seen::new(it.slot, it.epoch, it.to);
                        self.seen.insert(it.partition, seen);
                    }
                }
                Note::Told(Event::Paused(paused) | Event::Resumed(paused)) => self.paused = paused,
                Note::Told(_) => {}
            }
        }
    }

    fn revoked(&mut self, it: &Revoked) {
        let seen = self.seen.get_mut(&it.partition).unwrap();
        assert!(seen.open, "revoked twice");
        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
        assert_eq!(it.unacked, seen.unacked().count() as u64);
        seen.open = false;
        if self.leave_by.is_some() && !self.disturbed {
            let cluster = self.client.look();
            let committed = cluster.committed.get(&it.partition).copied();
            if self.by_hand {
                seen.check_end_by_hand(committed);
            } else {
                seen.check_end(committed, cluster.at(it.partition));
            }
        }
    }

    /// The oldest unacked record is what it is told to be; it is asked for again.
    fn stalled(&self, it: &Stalled) {
        let seen = &self.seen[&it.partition];
        assert!(seen.open, "stalled after the end of {seen:?}");
        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
        assert_eq!(Some(it.offset), seen.unacked().next());
        assert_eq!(it.in_flight, seen.unacked().count() as u64);
        assert!(it.age >= UNACKED_TIMEOUT, "too early: {it:?}");
        let _ = self.consumer.redeliver(vec![it.slot]);
    }

    pub(super) fn check(&self) {
        for partition in self.consumer.shared.all() {
            let marks = Progress::of(&partition);
            let committed = self.client.committed_offset(partition.partition);
            if let Some(seen) = self.seen.get(&partition.partition) {
                seen.check_marks(marks, committed);
            }
        }
    }
}
