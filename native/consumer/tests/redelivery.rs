//! A lane whose process was replaced: what is unacked there comes again, the rest goes on.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use support::{offsets, Got, Lab, Member};

fn attached(lab: &Lab, lanes: usize) -> Member {
    let member = lab.assigned_member(|config| config.lanes = lanes);
    (0..lanes).for_each(|lane| member.consumer().attach(lane).unwrap());
    member
}

fn odd(got: &[Got]) -> Vec<i64> {
    let odd = got.iter().filter(|g| g.offset % 2 == 1);
    odd.map(|g| g.offset).collect()
}

#[test]
fn the_first_attachment_redelivers_nothing() {
    let lab = Lab::new(1);
    lab.fill(5);
    let member = lab.assigned_member(|_| {});
    let got = member.take(3);
    member.consumer().attach(0).unwrap();
    assert_eq!(offsets(&member.take(2), 0), [3, 4]);
    assert_eq!(got.len(), 3);
}

#[test]
fn what_is_unacked_comes_again_once_in_order_before_what_follows() {
    let lab = Lab::new(2);
    lab.fill(20);
    let mut member = attached(&lab, 1);
    let first = member.take(20);
    member.ack(first.iter().filter(|g| g.offset % 2 == 0));
    member.consumer().attach(0).unwrap();
    let rest = member.take(20 + odd(&first).len());
    for partition in 0..2 {
        let of: Vec<Got> = first
            .iter()
            .filter(|g| g.partition == partition)
            .cloned()
            .collect();
        let mut expected = odd(&of);
        expected.extend(of.len() as i64..20);
        assert_eq!(offsets(&rest, partition), expected);
        assert!(
            rest.iter().all(|g| g.epoch == first[0].epoch),
            "a new epoch"
        );
    }
    member.ack(&rest);
    (0..2).for_each(|partition| member.committed(partition, 20));
}

#[test]
fn an_ack_from_before_the_redelivery_counts() {
    let lab = Lab::new(1);
    lab.fill(10);
    let mut member = attached(&lab, 1);
    let first = member.take(10);
    member.consumer().attach(0).unwrap();
    let again = member.take(10);
    assert_eq!(offsets(&again, 0), offsets(&first, 0));
    member.ack(&first);
    member.committed(0, 10);
    member.ack(&again);
    let progress = member.progress(0);
    assert_eq!((progress.acked, progress.in_flight), (10, 0));
}

#[test]
fn a_lane_redelivers_only_its_own() {
    let lab = Lab::new(4);
    lab.fill(5);
    let member = attached(&lab, 2);
    let first = member.take(20);
    member.consumer().attach(1).unwrap();
    let expected = first.iter().filter(|g| g.lane == 1).count();
    let again = member.take(expected);
    assert!(again.iter().all(|g| g.lane == 1), "{again:?}");
    lab.fill(1);
    let after = member.take(4);
    assert!(after.iter().all(|g| g.offset == 5), "{after:?}");
}

#[test]
fn redelivery_after_redelivery_leaves_no_gap_and_brings_nothing_that_was_acked() {
    let lab = Lab::new(1);
    lab.fill(300);
    let mut member = attached(&lab, 1);
    let (mut acked, mut open) = (Vec::new(), Vec::<i64>::new());
    for round in 0..100 {
        let got = member.take(open.len() + 3);
        let again = &offsets(&got, 0)[..open.len()];
        assert_eq!(again, open, "in round {round}");
        // One of the middle, one of the end: what stays open is never the same.
        let (done, left): (Vec<&Got>, Vec<&Got>) = got
            .iter()
            .partition(|g| g.offset % 3 != 0 || g.offset < 3 * round - 9);
        member.ack(done.iter().copied());
        acked.extend(done.iter().map(|g| g.offset));
        open = left.iter().map(|g| g.offset).collect();
        member.consumer().attach(0).unwrap();
    }
    let rest = member.take(open.len());
    assert_eq!(offsets(&rest, 0), open);
    member.ack(&rest);
    acked.extend(&open);
    acked.sort_unstable();
    assert_eq!(acked, (0..300).collect::<Vec<i64>>());
    member.committed(0, 300);
}

#[test]
fn attachments_in_quick_succession_are_like_the_last_one() {
    let lab = Lab::new(2);
    lab.fill(50);
    let mut member = attached(&lab, 1);
    member.take(60);
    for _ in 0..5 {
        member.consumer().attach(0).unwrap();
    }
    let again = member.take(100);
    for partition in 0..2 {
        assert_eq!(offsets(&again, partition), (0..50).collect::<Vec<i64>>());
    }
    assert!(member.pull_all().is_empty());
    member.ack(&again);
    (0..2).for_each(|partition| member.committed(partition, 50));
}

#[test]
fn a_partition_at_its_cap_redelivers_too() {
    let lab = Lab::new(2);
    lab.fill(40);
    let mut member = lab.assigned_member(|config| config.max_in_flight = 10);
    member.consumer().attach(0).unwrap();
    member.take(20);
    assert!(member.pull_all().is_empty());
    member.consumer().attach(0).unwrap();
    let mut got = member.take(20);
    for partition in 0..2 {
        assert_eq!(offsets(&got, partition), (0..10).collect::<Vec<i64>>());
    }
    member.ack(&got);
    while got.len() < 80 {
        let some = member.take(1);
        member.ack(&some);
        got.extend(some);
    }
    for partition in 0..2 {
        assert_eq!(offsets(&got, partition), (0..40).collect::<Vec<i64>>());
        member.committed(partition, 40);
    }
}

#[test]
fn whoever_was_replaced_while_it_pulled_gets_nothing() {
    let lab = Lab::new(1);
    lab.fill(10);
    let member = attached(&lab, 1);
    member.consumer().attach(0).unwrap();
    let pulled = member.consumer().pull(0, 10, || false).unwrap();
    assert!(pulled.records.is_empty());
    let offsets: Vec<i64> = member.take(10).iter().map(|got| got.offset).collect();
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
}
