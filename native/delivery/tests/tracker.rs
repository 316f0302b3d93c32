//! What one may rely on in a tracker, edge by edge.

use delivery::{Ack, Tracker};

const LAST: i64 = i64::MAX - 1;

fn delivered(start: i64, offsets: &[i64]) -> Tracker {
    let mut tracker = Tracker::new(start);
    for &offset in offsets {
        assert!(tracker.deliver(offset), "offset {offset} was refused");
    }
    tracker
}

#[test]
fn a_new_tracker_may_commit_its_start_position() {
    let tracker = Tracker::new(42);
    assert_eq!(
        (tracker.start(), tracker.next(), tracker.committable()),
        (42, 42, 42)
    );
    assert_eq!(
        (tracker.in_flight(), tracker.span(), tracker.acked()),
        (0, 0, 0)
    );
    assert_eq!(tracker.oldest_unacked(), None);
}

#[test]
fn a_negative_start_counts_as_zero() {
    assert_eq!(Tracker::new(-1001).start(), 0);
    assert_eq!(Tracker::new(i64::MIN).next(), 0);
}

#[test]
fn an_offset_is_delivered_once() {
    let mut tracker = delivered(5, &[5, 6]);
    assert!(!tracker.deliver(6));
    assert!(!tracker.deliver(5));
    assert_eq!((tracker.next(), tracker.in_flight()), (7, 2));
}

#[test]
fn an_offset_below_the_start_is_not_delivered() {
    let mut tracker = Tracker::new(5);
    assert!(!tracker.deliver(4));
    assert_eq!(tracker.next(), 5);
}

#[test]
fn a_negative_offset_is_neither_delivered_nor_acked() {
    let mut tracker = Tracker::new(0);
    for offset in [-1, -1001, i64::MIN] {
        assert!(!tracker.deliver(offset));
        assert_eq!(tracker.ack(offset), Ack::Unknown);
        tracker.advance(offset);
    }
    assert_eq!((tracker.next(), tracker.committable()), (0, 0));
}

#[test]
fn the_last_offset_is_one_below_the_largest_number() {
    let mut tracker = delivered(0, &[0, LAST]);
    assert!(!tracker.deliver(i64::MAX));
    assert_eq!(tracker.ack(i64::MAX), Ack::Unknown);
    assert_eq!(
        (tracker.next(), tracker.span()),
        (i64::MAX, i64::MAX as u64)
    );
    assert_eq!(tracker.ack(LAST), Ack::Acked);
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert_eq!(tracker.committable(), i64::MAX);
    assert!(!tracker.deliver(i64::MAX) && !tracker.deliver(LAST));
}

#[test]
fn a_position_may_be_the_largest_number() {
    let mut tracker = Tracker::new(i64::MAX);
    assert!(!tracker.deliver(LAST) && !tracker.deliver(i64::MAX));
    tracker = Tracker::new(0);
    tracker.advance(i64::MAX);
    assert_eq!(tracker.committable(), i64::MAX);
}

#[test]
fn the_lowest_unacked_offset_is_committable_in_whatever_order_acks_come() {
    let mut tracker = delivered(0, &[0, 1, 2, 3]);
    let steps = [(2, 0), (0, 1), (3, 1), (1, 4)];
    for (offset, committable) in steps {
        assert_eq!(tracker.ack(offset), Ack::Acked);
        assert_eq!(tracker.committable(), committable);
    }
    assert_eq!((tracker.in_flight(), tracker.acked()), (0, 4));
}

#[test]
fn acks_across_thousands_of_offsets_leave_nothing_behind() {
    let offsets: Vec<i64> = (100..5100).collect();
    let mut tracker = delivered(100, &offsets);
    for &offset in offsets.iter().rev() {
        assert_eq!(tracker.committable(), 100);
        assert_eq!(tracker.ack(offset), Ack::Acked);
    }
    assert_eq!((tracker.committable(), tracker.span()), (5100, 0));
}

#[test]
fn gaps_hold_nothing_up() {
    let mut tracker = delivered(0, &[10, 500, 1 << 20, 1 << 60]);
    assert_eq!((tracker.committable(), tracker.in_flight()), (10, 4));
    let steps = [
        (10, 500),
        (500, 1 << 20),
        (1 << 20, 1 << 60),
        (1 << 60, (1 << 60) + 1),
    ];
    for (offset, committable) in steps {
        assert_eq!(tracker.ack(offset), Ack::Acked);
        assert_eq!(tracker.committable(), committable);
    }
}

#[test]
fn a_range_acks_every_delivered_offset_in_it_and_no_other() {
    let mut tracker = delivered(0, &[0, 1, 5, 6, 70, 71]);
    assert_eq!(tracker.ack_range(1, 70), 4);
    assert_eq!((tracker.committable(), tracker.in_flight()), (0, 2));
    assert_eq!(tracker.ack(71), Ack::Acked);
    assert_eq!(tracker.ack_range(0, 70), 1);
    assert_eq!((tracker.committable(), tracker.acked()), (72, 6));
}

#[test]
fn a_range_that_was_acked_or_never_delivered_or_is_none_changes_nothing() {
    let mut tracker = delivered(3, &[3, 4, 9]);
    assert_eq!(tracker.ack_range(4, 9), 2);
    for (first, last) in [
        (4, 9),
        (10, LAST),
        (10, i64::MAX),
        (i64::MIN, 2),
        (9, 3),
        (i64::MAX, i64::MIN),
    ] {
        assert_eq!(tracker.ack_range(first, last), 0, "{first} to {last}");
    }
    assert_eq!((tracker.committable(), tracker.in_flight()), (3, 1));
    assert_eq!(Tracker::new(0).ack_range(i64::MIN, i64::MAX), 0);
}

#[test]
fn a_range_from_an_earlier_attempt_spares_its_redelivery() {
    let mut tracker = delivered(0, &[0, 1, 2, 3, 4]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert_eq!(tracker.ack_range(0, 2), 3);
    assert_eq!((tracker.next(), tracker.committable()), (3, 3));
    assert!(!tracker.deliver(2) && tracker.deliver(3));
    assert_eq!(tracker.ack_range(3, 4), 2);
    assert_eq!((tracker.next(), tracker.redelivering()), (5, false));
}

#[test]
fn a_second_ack_is_a_duplicate_and_changes_nothing() {
    let mut tracker = delivered(0, &[0, 1]);
    assert_eq!(tracker.ack(1), Ack::Acked);
    assert_eq!(tracker.ack(1), Ack::Duplicate);
    assert_eq!((tracker.in_flight(), tracker.acked()), (1, 1));
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert_eq!(tracker.ack(0), Ack::Duplicate);
    assert_eq!((tracker.in_flight(), tracker.acked()), (0, 2));
}

#[test]
fn what_was_never_delivered_is_refused() {
    let mut tracker = delivered(10, &[12, 15]);
    for offset in [9, 13, 14, 16, i64::MAX] {
        assert_eq!(tracker.ack(offset), Ack::Unknown);
    }
    assert_eq!((tracker.in_flight(), tracker.acked()), (2, 0));
}

#[test]
fn below_the_committable_offset_a_gap_answers_like_an_acked_one() {
    let mut tracker = delivered(10, &[12, 15]);
    assert_eq!(tracker.ack(10), Ack::Duplicate);
    assert_eq!(tracker.ack(12), Ack::Acked);
    assert_eq!(tracker.ack(13), Ack::Duplicate);
    assert_eq!(tracker.in_flight(), 1);
}

#[test]
fn advance_moves_over_what_does_not_exist_and_never_back() {
    let mut tracker = Tracker::new(0);
    tracker.advance(20);
    assert_eq!((tracker.next(), tracker.committable()), (20, 20));
    tracker.advance(10);
    assert_eq!((tracker.next(), tracker.committable()), (20, 20));
    assert!(!tracker.deliver(19));
    assert!(tracker.deliver(20));
}

#[test]
fn advance_passes_no_unacked_offset() {
    let mut tracker = delivered(0, &[3]);
    tracker.advance(20);
    assert_eq!((tracker.next(), tracker.committable()), (20, 3));
    assert_eq!((tracker.span(), tracker.ack(19)), (17, Ack::Unknown));
    assert_eq!(tracker.ack(3), Ack::Acked);
    assert_eq!(tracker.committable(), 20);
}

#[test]
fn there_is_nothing_to_redeliver_when_nothing_is_in_flight() {
    let mut tracker = delivered(0, &[0]);
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert_eq!(tracker.redeliver(), None);
    assert!(!tracker.redelivering());
}

#[test]
fn an_attempt_delivers_what_is_unacked_again_in_order_and_once() {
    let mut tracker = delivered(0, &[0, 1, 2, 3, 4]);
    for offset in [0, 2] {
        assert_eq!(tracker.ack(offset), Ack::Acked);
    }
    assert_eq!(tracker.redeliver(), Some(1));
    let seen: Vec<i64> = (0..6).filter(|&offset| tracker.deliver(offset)).collect();
    assert_eq!(seen, [1, 3, 4, 5]);
    assert!(!(0..6).any(|offset| tracker.deliver(offset)));
    assert_eq!((tracker.in_flight(), tracker.committable()), (4, 1));
}

#[test]
fn in_an_attempt_next_is_the_first_offset_left_to_redeliver() {
    let mut tracker = delivered(0, &[0, 1, 2, 3]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert_eq!((tracker.next(), tracker.redelivering()), (0, true));
    assert_eq!(tracker.ack(1), Ack::Acked);
    assert!(tracker.deliver(0));
    assert_eq!(tracker.next(), 2);
    assert_eq!(tracker.ack(2), Ack::Acked);
    assert_eq!(tracker.next(), 3);
    assert!(tracker.deliver(3));
    assert_eq!((tracker.next(), tracker.redelivering()), (4, false));
}

#[test]
fn an_ack_of_an_earlier_attempt_counts_and_spares_the_redelivery() {
    let mut tracker = delivered(0, &[0, 1]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert_eq!(tracker.ack(1), Ack::Acked);
    assert_eq!((tracker.next(), tracker.committable()), (2, 2));
    assert!(!tracker.deliver(0) && !tracker.deliver(1));
    assert!(tracker.deliver(2));
}

#[test]
fn an_attempt_does_not_deliver_what_did_not_exist_before() {
    let mut tracker = delivered(0, &[0, 5]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert!(tracker.deliver(0));
    assert!(!tracker.deliver(3));
    assert!(tracker.deliver(5));
}

#[test]
fn an_acked_offset_that_an_attempt_meets_is_dropped_and_changes_nothing() {
    let mut tracker = delivered(0, &[0, 1, 2]);
    assert_eq!(tracker.ack(1), Ack::Acked);
    assert_eq!(tracker.redeliver(), Some(0));
    assert!(!tracker.deliver(1));
    assert_eq!(tracker.next(), 0);
}

#[test]
fn what_an_attempt_passes_over_stays_in_flight() {
    let mut tracker = delivered(0, &[0, 1, 2]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert!(tracker.deliver(2));
    assert!(!tracker.deliver(1));
    assert!(tracker.deliver(3));
    assert_eq!((tracker.in_flight(), tracker.committable()), (4, 0));
    assert_eq!(tracker.redeliver(), Some(0));
}

#[test]
fn a_position_from_before_the_seek_skips_nothing() {
    let mut tracker = delivered(0, &[0, 1, 2]);
    assert_eq!(tracker.redeliver(), Some(0));
    tracker.advance(3);
    tracker.advance(100);
    assert_eq!(tracker.next(), 0);
    assert!((0..3).all(|offset| tracker.deliver(offset)));
    tracker.advance(100);
    assert_eq!((tracker.next(), tracker.committable()), (100, 0));
}

#[test]
fn an_attempt_may_begin_inside_another() {
    let mut tracker = delivered(0, &[0, 1, 2]);
    assert_eq!(tracker.redeliver(), Some(0));
    assert!(tracker.deliver(0));
    assert_eq!(tracker.redeliver(), Some(0));
    assert!((0..3).all(|offset| tracker.deliver(offset)));
    assert_eq!(tracker.in_flight(), 3);
}

#[test]
fn an_attempt_across_huge_gaps_delivers_the_same_offsets() {
    let offsets = [0, 63, 64, 5000, 1 << 40, LAST];
    let mut tracker = delivered(0, &offsets);
    assert_eq!(tracker.redeliver(), Some(0));
    for offset in offsets {
        assert_eq!(tracker.next(), offset);
        assert!(tracker.deliver(offset));
    }
    assert_eq!(tracker.next(), i64::MAX);
}

#[test]
fn what_a_crash_would_bring_again_counts_acked_records_above_an_unacked_one() {
    let mut tracker = delivered(0, &(0..1000).collect::<Vec<_>>());
    assert_eq!(tracker.uncommittable(), 1000);
    (1..1000).for_each(|offset| assert_eq!(tracker.ack(offset), Ack::Acked));
    assert_eq!((tracker.in_flight(), tracker.uncommittable()), (1, 1000));
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert_eq!(tracker.uncommittable(), 0);
}

#[test]
fn what_a_crash_would_bring_again_is_at_most_63_too_many_and_counts_no_gap() {
    let mut tracker = delivered(0, &[0, 1, 1 << 20, 1 << 40]);
    assert_eq!(tracker.uncommittable(), 4);
    assert_eq!(tracker.ack(0), Ack::Acked);
    assert!((3..=4).contains(&tracker.uncommittable()));
    assert_eq!(tracker.ack(1), Ack::Acked);
    assert_eq!(tracker.uncommittable(), 2);
}
