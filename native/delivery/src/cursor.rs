//! A slot's life: epoch, tracker and committed mark.

use crate::{Ack, Tracker};

/// The state of one slot, assigned or not.
///
/// The epoch counts assignments. An ack or a commit's result carries the epoch it
/// belongs to, so that one from before a rebalance cannot touch the state after it.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    pub(crate) epoch: u32,
    pub(crate) by_hand: bool,
    pub(crate) assignment: Option<Assignment>,
}

#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    tracker: Tracker,
    pub(crate) committed: Option<i64>,
    /// What an explicit commit asks for, where nothing else is committed.
    pub(crate) wanted: Option<i64>,
    /// Whether some of it was to go back.
    pub(crate) goes_back: bool,
    /// How often that was changed, and with which change the broker has confirmed it last.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

impl Cursor {
    /// A cursor that is not assigned, in epoch 0, and commits what is acked.
    pub fn new() -> Self {
        Self::default()
    }

    /// The epoch of the current assignment, or of the last one.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Begins an assignment at the start position and answers its epoch; it ends
    /// one that was not revoked. `committed` is what the broker has for the group
    /// already. With `None` the start position is what
    /// [`to_commit`](Self::to_commit) gives first: pass it also when the start
    /// position replaces the committed offset (a reset).
    pub fn assign(&mut self, start: i64, committed: Option<i64>) -> u32 {
        self.epoch = self.epoch.wrapping_add(1);
        self.assignment = Some(Assignment {
            tracker: Tracker::new(start),
            committed,
            wanted: None,
            goes_back: false,
            asked: 0,
            answered: 0,
        });
        self.epoch
    }

    /// Ends the assignment and answers how many records it leaves unacked; their
    /// acks are stale from now on.
    pub fn revoke(&mut self) -> u64 {
        let assignment = self.assignment.take();
        assignment.map_or(0, |assignment| assignment.tracker.in_flight())
    }

    /// Whether there is an assignment.
    pub fn is_assigned(&self) -> bool {
        self.assignment.is_some()
    }

    /// The assignment's tracker.
    pub fn tracker(&self) -> Option<&Tracker> {
        Some(&self.assignment.as_ref()?.tracker)
    }

    /// [`Tracker::deliver`]; `false` when not assigned.
    pub fn deliver(&mut self, offset: i64) -> bool {
        let tracker = self.tracker_mut();
        tracker.is_some_and(|tracker| tracker.deliver(offset))
    }

    /// [`Tracker::ack`]; [`Ack::Stale`] when the epoch is not the current one or
    /// there is no assignment.
    pub fn ack(&mut self, epoch: u32, offset: i64) -> Ack {
        if epoch != self.epoch {
            return Ack::Stale;
        }
        let tracker = self.tracker_mut();
        tracker.map_or(Ack::Stale, |tracker| tracker.ack(offset))
    }

    /// [`Tracker::ack_range`]; 0 when the epoch is not the current one or there is
    /// no assignment.
    pub fn ack_range(&mut self, epoch: u32, first: i64, last: i64) -> u64 {
        let tracker = (epoch == self.epoch).then(|| self.tracker_mut()).flatten();
        tracker.map_or(0, |tracker| tracker.ack_range(first, last))
    }

    /// [`Tracker::advance`]; nothing when not assigned.
    pub fn advance(&mut self, position: i64) {
        if let Some(tracker) = self.tracker_mut() {
            tracker.advance(position);
        }
    }

    /// [`Tracker::redeliver`]; `None` when not assigned. The epoch stays.
    pub fn redeliver(&mut self) -> Option<i64> {
        self.tracker_mut()?.redeliver()
    }

    /// The offset the broker has for the group, as far as this assignment knows.
    pub fn committed(&self) -> Option<i64> {
        self.assignment.as_ref()?.committed
    }

    /// The offset to commit now: the committable one, when it is above the
    /// committed one or nothing is committed yet. The start position counts, so
    /// that a restart before the first ack begins there again and skips nothing.
    /// [`by_hand`](Self::by_hand) it is what was asked for.
    pub fn to_commit(&self) -> Option<i64> {
        let assignment = self.assignment.as_ref()?;
        if self.by_hand {
            return assignment.wanted;
        }
        let committable = assignment.tracker.committable();
        (assignment.committed < Some(committable)).then_some(committable)
    }

    /// The broker has committed an offset that [`to_commit`](Self::to_commit)
    /// gave in this epoch. Nothing when the epoch is not the current one or there
    /// is no assignment; never moves the committed mark back, unless by hand.
    pub fn confirm(&mut self, epoch: u32, offset: i64) {
        if epoch != self.epoch {
            return;
        }
        if let Some(assignment) = &mut self.assignment {
            if self.by_hand {
                assignment.committed = Some(offset);
                if assignment.wanted == Some(offset) {
                    assignment.wanted = None;
                    assignment.goes_back = false;
                    assignment.answered = assignment.asked;
                }
                return;
            }
            assignment.committed = assignment.committed.max(Some(offset));
        }
    }

    fn tracker_mut(&mut self) -> Option<&mut Tracker> {
        Some(&mut self.assignment.as_mut()?.tracker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_on_a_cursor_that_is_not_assigned() {
        let mut cursor = Cursor::new();
        cursor.confirm(0, 5);
        cursor.advance(5);
        assert!(!cursor.deliver(0));
        assert_eq!(cursor.ack(0, 0), Ack::Stale);
        assert_eq!(cursor.ack_range(0, 0, 9), 0);
        assert_eq!(cursor.redeliver(), None);
        assert_eq!(cursor.revoke(), 0);
        assert_eq!((cursor.to_commit(), cursor.committed()), (None, None));
        assert!(!cursor.is_assigned() && cursor.tracker().is_none());
        assert_eq!(cursor.epoch(), 0);
    }

    #[test]
    fn a_start_position_without_a_committed_offset_is_committed_at_once() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(1000, None);
        assert_eq!(cursor.to_commit(), Some(1000));
        cursor.confirm(epoch, 1000);
        assert_eq!((cursor.to_commit(), cursor.committed()), (None, Some(1000)));
        assert!(cursor.deliver(1000));
        assert_eq!(cursor.to_commit(), None);
    }

    #[test]
    fn only_an_offset_above_the_committed_one_is_committed() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(7, Some(7));
        assert_eq!(cursor.to_commit(), None);
        assert!(cursor.deliver(7) && cursor.deliver(8));
        assert_eq!(cursor.ack(epoch, 8), Ack::Acked);
        assert_eq!(cursor.to_commit(), None);
        assert_eq!(cursor.ack(epoch, 7), Ack::Acked);
        assert_eq!(cursor.to_commit(), Some(9));
    }

    #[test]
    fn a_commit_is_due_until_the_broker_confirms_it() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(0, None);
        assert_eq!(cursor.to_commit(), Some(0));
        cursor.advance(10);
        cursor.confirm(epoch, 0);
        assert_eq!(cursor.to_commit(), Some(10));
        assert_eq!(cursor.to_commit(), Some(10));
        cursor.confirm(epoch, 10);
        assert_eq!(cursor.to_commit(), None);
    }

    #[test]
    fn a_late_confirmation_moves_the_committed_mark_never_back() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(0, None);
        cursor.confirm(epoch, 9);
        cursor.confirm(epoch, 4);
        assert_eq!(cursor.committed(), Some(9));
    }

    #[test]
    fn acks_and_confirmations_of_another_epoch_change_nothing() {
        let mut cursor = Cursor::new();
        let old = cursor.assign(0, Some(0));
        assert!(cursor.deliver(0));
        assert_eq!(cursor.revoke(), 1);
        assert_eq!(cursor.ack(old, 0), Ack::Stale);
        let new = cursor.assign(0, Some(0));
        assert_ne!(old, new);
        assert!(cursor.deliver(0));
        cursor.confirm(old, 1);
        assert_eq!(cursor.ack(old, 0), Ack::Stale);
        assert_eq!(cursor.ack(new + 1, 0), Ack::Stale);
        assert_eq!(cursor.ack_range(old, 0, 9), 0);
        assert_eq!(cursor.ack_range(new + 1, 0, 9), 0);
        assert_eq!(cursor.committed(), Some(0));
        assert_eq!(cursor.tracker().map(Tracker::in_flight), Some(1));
        assert_eq!(cursor.ack(new, 0), Ack::Acked);
    }

    #[test]
    fn an_assignment_without_a_revoke_before_it_begins_anew() {
        let mut cursor = Cursor::new();
        let old = cursor.assign(0, None);
        assert!(cursor.deliver(0));
        let new = cursor.assign(50, None);
        assert_eq!(cursor.ack(old, 0), Ack::Stale);
        assert_eq!(cursor.ack(new, 0), Ack::Unknown);
        assert_eq!(cursor.to_commit(), Some(50));
    }

    #[test]
    fn redelivery_keeps_the_epoch_so_that_acks_of_any_attempt_count() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(0, Some(0));
        assert!(cursor.deliver(0));
        assert_eq!(cursor.redeliver(), Some(0));
        assert!(cursor.deliver(0));
        assert_eq!(cursor.epoch(), epoch);
        assert_eq!(cursor.ack(epoch, 0), Ack::Acked);
        assert_eq!(cursor.ack(epoch, 0), Ack::Duplicate);
    }

    #[test]
    fn the_epoch_after_the_last_number_is_another_one() {
        let mut cursor = Cursor {
            epoch: u32::MAX,
            ..Cursor::new()
        };
        assert_eq!(cursor.assign(0, None), 0);
        assert_eq!(cursor.ack(u32::MAX, 0), Ack::Stale);
    }
}
