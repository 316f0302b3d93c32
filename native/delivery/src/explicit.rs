//! Commits that somebody asks for.

use crate::cursor::Cursor;

/// Why an offset is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is of another assignment than the current one, or there is none.
    Stale,
    /// Records below it were not delivered: to commit it would skip them.
    Undelivered,
}

/// What was asked for to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    epoch: u32,
    offset: i64,
    or_above: bool,
    /// Which of those that were asked for in the epoch; no cursor but one that is
    /// committed by hand counts them.
    number: u64,
}

impl Cursor {
    /// A cursor whose committed offset moves by [`commit`](Self::commit) only:
    /// neither by acks nor with the start position.
    pub fn by_hand() -> Self {
        Cursor {
            by_hand: true,
            ..Self::default()
        }
    }

    /// The offset that an explicit commit stands for: the one given, the next to
    /// be read, or the committable one.
    pub fn wish(&self, epoch: u32, offset: Option<i64>) -> Result<i64, Refused> {
        let tracker = (epoch == self.epoch()).then(|| self.tracker()).flatten();
        let tracker = tracker.ok_or(Refused::Stale)?;
        let offset = offset.unwrap_or(tracker.committable());
        (0..=tracker.end())
            .contains(&offset)
            .then_some(offset)
            .ok_or(Refused::Undelivered)
    }

    /// Asks for an offset to be committed, which [`to_commit`](Self::to_commit)
    /// then gives until it is confirmed. One that is not above what is committed,
    /// or asked for, changes nothing unless it is to go `back`. Answers what to ask
    /// [`has_committed`](Self::has_committed) for.
    ///
    /// For a cursor that is committed by hand. Any other commits what is acked by
    /// itself: see to it that everything below the offset is.
    pub fn commit(&mut self, epoch: u32, offset: i64, back: bool) -> Result<Asked, Refused> {
        let offset = self.wish(epoch, Some(offset))?;
        let Some(it) = self.assignment.as_mut().filter(|_| self.by_hand) else {
            return Ok(Asked {
                epoch,
                offset,
                or_above: true,
                number: u64::MAX,
            });
        };
        let before = it.wanted.or(it.committed);
        if Some(offset) > before || back && Some(offset) != before {
            it.wanted = Some(offset);
            it.goes_back |= Some(offset) < before;
            it.asked += 1;
        }
        Ok(Asked {
            epoch,
            offset,
            or_above: !it.goes_back,
            number: it.asked,
        })
    }

    /// Whether the broker has confirmed what was asked for, or what was asked for
    /// after it. A higher offset does as well, unless something had to go back.
    pub fn has_committed(&self, it: Asked) -> Result<bool, Refused> {
        let current = self.assignment.as_ref().filter(|_| it.epoch == self.epoch);
        let current = current.ok_or(Refused::Stale)?;
        // The offset alone says nothing of a step back: another may be under way above it.
        let above = it.or_above && current.committed >= Some(it.offset);
        Ok(above || current.answered >= it.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(start: i64, committed: Option<i64>) -> (Cursor, u32) {
        let mut cursor = Cursor::by_hand();
        let epoch = cursor.assign(start, committed);
        (cursor, epoch)
    }

    fn asked(cursor: &mut Cursor, offset: i64, back: bool) -> Asked {
        cursor.commit(cursor.epoch(), offset, back).unwrap()
    }

    #[test]
    fn by_hand_neither_the_start_nor_an_ack_is_committed() {
        let (mut cursor, epoch) = assigned(5, None);
        assert_eq!(cursor.to_commit(), None);
        assert!(cursor.deliver(5));
        cursor.ack(epoch, 5);
        cursor.advance(9);
        assert_eq!((cursor.to_commit(), cursor.committed()), (None, None));
    }

    #[test]
    fn what_is_asked_for_is_to_be_committed_until_it_is_confirmed() {
        let (mut cursor, epoch) = assigned(0, Some(0));
        assert!(cursor.deliver(0) && cursor.deliver(1));
        let one = asked(&mut cursor, 1, false);
        assert_eq!(cursor.to_commit(), Some(1));
        assert_eq!(cursor.has_committed(one), Ok(false));
        cursor.confirm(epoch, 1);
        assert_eq!((cursor.to_commit(), cursor.committed()), (None, Some(1)));
        assert_eq!(cursor.has_committed(one), Ok(true));
        let less = asked(&mut cursor, 0, false);
        assert_eq!(cursor.has_committed(less), Ok(true));
        let back = asked(&mut cursor, 0, true);
        assert_eq!(cursor.has_committed(back), Ok(false));
    }

    #[test]
    fn what_is_asked_for_while_a_commit_is_under_way_is_committed_after_it() {
        let (mut cursor, epoch) = assigned(0, Some(0));
        cursor.advance(9);
        let first = asked(&mut cursor, 3, false);
        asked(&mut cursor, 7, false);
        cursor.confirm(epoch, 3);
        assert_eq!(cursor.has_committed(first), Ok(true));
        assert_eq!(cursor.to_commit(), Some(7));
        asked(&mut cursor, 2, true);
        cursor.confirm(epoch, 7);
        assert_eq!(cursor.to_commit(), Some(2));
        cursor.confirm(epoch, 2);
        assert_eq!((cursor.to_commit(), cursor.committed()), (None, Some(2)));
    }

    #[test]
    fn a_commit_goes_back_only_when_it_is_to() {
        let (mut cursor, epoch) = assigned(8, Some(8));
        cursor.advance(9);
        for offset in 0..=8 {
            let it = asked(&mut cursor, offset, false);
            assert_eq!(cursor.to_commit(), None);
            assert_eq!(cursor.has_committed(it), Ok(true));
        }
        let same = asked(&mut cursor, 8, true);
        assert_eq!(cursor.to_commit(), None);
        assert_eq!(cursor.has_committed(same), Ok(true));
        let back = asked(&mut cursor, 4, true);
        assert_eq!(cursor.to_commit(), Some(4));
        cursor.confirm(epoch, 4);
        assert_eq!(cursor.has_committed(back), Ok(true));
        assert_eq!(cursor.committed(), Some(4));
    }

    #[test]
    fn a_commit_that_goes_back_to_what_is_committed_comes_after_the_one_under_way() {
        let (mut cursor, epoch) = assigned(10, Some(10));
        cursor.advance(30);
        let far = asked(&mut cursor, 20, false);
        let back = asked(&mut cursor, 10, true);
        assert_eq!(cursor.has_committed(back), Ok(false));
        cursor.confirm(epoch, 20);
        assert_eq!(cursor.has_committed(far), Ok(true));
        assert_eq!(cursor.has_committed(back), Ok(false));
        assert_eq!(cursor.to_commit(), Some(10));
        // It is below what is committed still, and goes on from where that goes back to.
        let on = asked(&mut cursor, 15, false);
        assert_eq!(cursor.has_committed(on), Ok(false));
        cursor.confirm(epoch, 10);
        assert_eq!(cursor.has_committed(on), Ok(false));
        cursor.confirm(epoch, 15);
        assert_eq!(cursor.has_committed(back), Ok(true));
        assert_eq!(cursor.has_committed(on), Ok(true));
    }

    #[test]
    fn what_goes_on_from_a_step_back_is_not_committed_with_what_was_above_it() {
        let (mut cursor, epoch) = assigned(10, Some(10));
        cursor.advance(30);
        asked(&mut cursor, 20, false);
        asked(&mut cursor, 10, true);
        let on = asked(&mut cursor, 15, false);
        cursor.confirm(epoch, 20);
        assert_eq!(cursor.has_committed(on), Ok(false));
        cursor.confirm(epoch, 15);
        assert_eq!(cursor.has_committed(on), Ok(true));
    }

    #[test]
    fn a_commit_that_another_took_the_place_of_is_over_with_that() {
        let (mut cursor, epoch) = assigned(10, Some(10));
        cursor.advance(30);
        let far = asked(&mut cursor, 20, false);
        let back = asked(&mut cursor, 5, true);
        assert_eq!(cursor.to_commit(), Some(5));
        cursor.confirm(epoch, 5);
        for it in [far, back] {
            assert_eq!(cursor.has_committed(it), Ok(true));
        }
    }

    #[test]
    fn what_was_not_delivered_is_not_committed() {
        let (mut cursor, epoch) = assigned(0, None);
        assert!(cursor.deliver(0));
        assert_eq!(cursor.commit(epoch, 2, false), Err(Refused::Undelivered));
        assert_eq!(cursor.commit(epoch, -1, true), Err(Refused::Undelivered));
        assert_eq!(cursor.to_commit(), None);
        // What an attempt has yet to deliver again was delivered once.
        assert_eq!(cursor.redeliver(), Some(0));
        asked(&mut cursor, 1, false);
    }

    #[test]
    fn what_is_asked_for_in_another_epoch_is_stale() {
        let (mut cursor, old) = assigned(0, None);
        cursor.advance(9);
        let five = asked(&mut cursor, 5, false);
        cursor.revoke();
        assert_eq!(cursor.commit(old, 6, false), Err(Refused::Stale));
        assert_eq!(cursor.wish(old, None), Err(Refused::Stale));
        assert_eq!(cursor.has_committed(five), Err(Refused::Stale));
        let new = cursor.assign(3, Some(3));
        assert_eq!(cursor.to_commit(), None);
        assert_eq!(cursor.has_committed(five), Err(Refused::Stale));
        assert_eq!(cursor.wish(new, None), Ok(3));
        // One that is under way still.
        cursor.confirm(old, 5);
        assert_eq!(cursor.committed(), Some(3));
    }

    #[test]
    fn a_cursor_that_commits_by_itself_commits_what_is_acked() {
        let mut cursor = Cursor::new();
        let epoch = cursor.assign(0, Some(0));
        assert!(cursor.deliver(0) && cursor.deliver(1));
        let it = asked(&mut cursor, 1, false);
        assert_eq!(cursor.to_commit(), None);
        cursor.ack(epoch, 0);
        assert_eq!(cursor.wish(epoch, None), Ok(1));
        assert_eq!(cursor.to_commit(), Some(1));
        assert_eq!(cursor.has_committed(it), Ok(false));
        cursor.confirm(epoch, 1);
        assert_eq!(cursor.has_committed(it), Ok(true));
    }
}
