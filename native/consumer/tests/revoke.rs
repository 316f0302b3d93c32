//! A second member: what moves, what stays, and what is handled by whom.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use consumer::{Config, Event};
use support::{offsets, pump_all, pump_until, Got, Lab, Member};
use testing::State;

/// The mock cluster refuses a follower that syncs after its leader, which then begins one more
/// rebalance in the middle of the other. The leader asks for metadata before it syncs: with a round
/// trip time above zero it is the later one.
fn group_lab(partitions: i32) -> Lab {
    let lab = Lab::new(partitions);
    let rtt = State::Rtt(Duration::from_millis(30));
    lab.cluster.broker(1, rtt).unwrap();
    lab
}

fn verbose(config: &mut Config) {
    config.properties.push(("debug".into(), "cgrp".into()));
}

fn eager(config: &mut Config) {
    let name = "partition.assignment.strategy";
    config.properties.push((name.into(), "range".into()));
}

/// A member that took `count` records and acked those below an offset, and a second one that
/// wants its share.
fn contested(
    lab: &Lab,
    count: usize,
    acked_below: i64,
    change: fn(&mut Config),
) -> (Member, Member, Vec<Got>) {
    let mut first = lab.assigned_member(|config| {
        verbose(config);
        change(config);
    });
    let got = first.take(count);
    first.ack(got.iter().filter(|g| g.offset < acked_below));
    for partition in 0..lab.partitions {
        first.committed(partition, acked_below);
    }
    let second = lab.member_with(change);
    first.revoke_begun();
    (first, second, got)
}

#[test]
fn acks_during_a_drain_are_committed_before_the_partition_goes() {
    let lab = group_lab(4);
    lab.fill(5);
    let (mut first, mut second, got) = contested(&lab, 20, 0, |_| {});
    first.ack(&got);
    let (revoked, drain) = first.revoked();
    assert!(revoked.iter().all(|r| r.unacked == 0), "{revoked:?}");
    assert!(drain < Duration::from_secs(5), "{drain:?}");
    for r in &revoked {
        assert_eq!(lab.committed()[r.partition as usize], Some(5));
    }
    let taken = second.assigned();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|a| a.start == 5), "{taken:?}");
    lab.fill(1);
    let handled = pump_all(&[&first, &second], 4);
    assert!(handled.iter().all(|(_, g)| g.offset == 5), "{handled:?}");
}

// The mock cluster, unlike a broker, takes no commit once an eager rebalance began.
#[test]
fn acks_end_an_eager_drain() {
    let lab = group_lab(4);
    lab.fill(5);
    let (mut first, mut second, got) = contested(&lab, 20, 4, eager);
    first.ack(&got);
    let (revoked, drain) = first.revoked();
    assert_eq!(revoked.len(), 4);
    assert!(revoked.iter().all(|r| r.unacked == 0), "{revoked:?}");
    assert!(drain < Duration::from_secs(9), "{drain:?}");
    assert_eq!(second.assigned().len(), 2);
    let mut handled = Vec::new();
    pump_until(&[&first, &second], &mut handled, |handled| {
        let last: BTreeSet<i32> = handled.iter().map(|(_, g)| g.partition).collect();
        last.len() == 4
    });
    assert!(handled.iter().all(|(_, g)| g.offset == 4), "{handled:?}");
}

#[test]
fn a_partition_that_does_not_move_keeps_its_epoch_and_what_is_in_flight_there() {
    let lab = group_lab(4);
    lab.fill(5);
    let (mut first, mut second, got) = contested(&lab, 20, 0, |_| {});
    let before = first.consumer().progress().unwrap();
    let (kept, moved): (Vec<_>, Vec<_>) = {
        // Only what moves has to be acked for the rebalance to go on: ack partition by partition.
        let mut moved = Vec::new();
        for partition in 0..4 {
            let last = got.iter().rfind(|g| g.partition == partition).unwrap();
            first.ack(
                got.iter()
                    .filter(|g| g.partition == partition && *g != last),
            );
            moved.push(last.clone());
        }
        first.ack(&moved);
        let (revoked, _) = first.revoked();
        before
            .into_iter()
            .partition(|p| revoked.iter().all(|r| r.partition != p.partition))
    };
    assert_eq!((kept.len(), moved.len()), (2, 2));
    second.assigned();
    let after = first.consumer().progress().unwrap();
    assert_eq!(after.len(), 2);
    for (kept, after) in kept.iter().zip(&after) {
        assert_eq!((kept.slot, kept.epoch), (after.slot, after.epoch));
        assert_eq!((after.start, after.next, after.acked), (0, 5, 5));
    }
}

#[test]
fn records_in_flight_on_a_partition_that_stays_do_not_hold_a_revoke_up() {
    let lab = group_lab(2);
    lab.fill(3);
    let (mut first, mut second, got) = contested(&lab, 6, 0, |_| {});
    // Which one goes is not known before: ack one, and if that was not it, the other.
    let of = |partition| got.iter().filter(move |g| g.partition == partition);
    first.ack(of(1));
    let early = first.unread_revoke_within(Duration::from_secs(2));
    let (revoked, _) = early.unwrap_or_else(|| {
        first.ack(of(0));
        first.revoked()
    });
    assert_eq!(revoked.len(), 1);
    let kept = 1 - revoked[0].partition;
    second.assigned();
    first.ack(of(kept));
    lab.fill_one(kept, 1);
    assert_eq!(offsets(&first.take(1), kept), [3]);
    assert_eq!(first.progress(kept).acked, 3);
}

fn a_record_that_is_never_acked_goes_over(change: fn(&mut Config)) {
    let lab = group_lab(2);
    lab.fill(3);
    let (mut first, mut second, got) = contested(&lab, 6, 1, change);
    let held: Vec<_> = got.iter().filter(|g| g.offset == 1).cloned().collect();
    first.ack(got.iter().filter(|g| g.offset == 2));
    let (revoked, drain) = first.revoked();
    assert!(revoked.iter().all(|r| r.unacked == 1), "{revoked:?}");
    assert!(drain >= Duration::from_millis(300), "{drain:?}");
    assert!(drain < Duration::from_secs(5), "{drain:?}");
    let taken = second.assigned();
    assert_eq!(taken.len(), 1);
    let (partition, epoch) = (taken[0].partition, taken[0].epoch);
    assert_eq!(taken[0].start, 1);
    let again = second.take(2);
    assert_eq!(offsets(&again, partition), [1, 2]);
    assert!(again.iter().all(|g| g.epoch == epoch));
    // Too late, and in an epoch that is over.
    first.ack(&held);
    let late = revoked.iter().find(|r| r.partition == partition).unwrap();
    assert!(held
        .iter()
        .any(|g| (g.slot, g.epoch) == (late.slot, late.epoch)));
    assert_eq!(second.progress(partition).acked, 0);
    assert_eq!(lab.committed()[partition as usize], Some(1));
    second.ack(&again);
    second.committed(partition, 3);
    first.close().unwrap();
    assert_eq!(lab.committed()[partition as usize], Some(3));
}

fn impatient(config: &mut Config) {
    config.drain_timeout = Duration::from_millis(300);
}

#[test]
fn the_drain_timeout_bounds_a_cooperative_revoke_and_the_next_owner_gets_what_is_left() {
    a_record_that_is_never_acked_goes_over(impatient);
}

#[test]
fn the_drain_timeout_bounds_an_eager_revoke_and_the_next_owner_gets_what_is_left() {
    a_record_that_is_never_acked_goes_over(|config| {
        impatient(config);
        eager(config);
    });
}

#[test]
fn an_ack_of_an_older_epoch_changes_nothing_where_the_partition_came_back() {
    let lab = group_lab(1);
    lab.fill(2);
    let (mut first, mut second, got) = contested(&lab, 2, 0, |config| {
        impatient(config);
        eager(config);
    });
    first.revoked();
    second.close().unwrap();
    // The other may have been let in before it left, which makes another rebalance.
    loop {
        let records = first.take(2);
        let epoch = records[0].epoch;
        assert_eq!(offsets(&records, 0), [0, 1]);
        assert_eq!(records[0].slot, got[0].slot);
        assert_ne!(epoch, got[0].epoch);
        first.ack(&got);
        let progress = first.progress(0);
        assert_eq!((progress.acked, progress.in_flight), (0, 2));
        first.ack(&records);
        let committed = first.event("commit or revoke", |event| match event {
            Event::Committed(offsets, _) => offsets.iter().any(|o| o.offset == 2).then_some(true),
            Event::Revoked(revoked, _) => (revoked[0].epoch == epoch).then_some(false),
            _ => None,
        });
        if committed {
            return;
        }
    }
}

type Handled = Vec<(usize, Got)>;

fn covers(handled: &[(usize, Got)], end: i64) -> bool {
    let ids: BTreeSet<_> = handled
        .iter()
        .map(|(_, g)| (g.partition, g.offset))
        .collect();
    ids.len() as i64 == 4 * end
}

/// What two members handled of a topic that grew while the second one came and went.
fn come_and_go(change: fn(&mut Config)) -> (Handled, i64) {
    let lab = group_lab(4);
    lab.fill(250);
    let first = lab.assigned_member(change);
    let (mut handled, mut end) = (Vec::new(), 250);
    pump_until(&[&first], &mut handled, |handled| covers(handled, 250));
    let mut second = lab.member_with(change);
    while handled.iter().all(|(member, _)| *member == 0) {
        lab.fill(25);
        end += 25;
        pump_until(&[&first, &second], &mut handled, |handled| {
            covers(handled, end)
        });
    }
    second.close().unwrap();
    for _ in 0..3 {
        lab.fill(25);
        end += 25;
        pump_until(&[&first], &mut handled, |handled| covers(handled, end));
    }
    (handled, end)
}

#[test]
fn nothing_is_lost_or_handled_twice_while_members_come_and_go() {
    let (mut handled, end) = come_and_go(|_| {});
    handled.sort_by_key(|(_, g)| (g.partition, g.offset));
    let id = |one: &(usize, Got)| (one.1.partition, one.1.offset);
    let twice: Vec<_> = handled
        .windows(2)
        .filter(|two| id(&two[0]) == id(&two[1]))
        .collect();
    assert!(
        twice.is_empty(),
        "{} twice, first {:?}",
        twice.len(),
        twice[0]
    );
    assert_eq!(handled.len() as i64, 4 * end);
}

#[test]
fn nothing_is_lost_while_members_come_and_go_eagerly() {
    let (handled, end) = come_and_go(eager);
    assert!(covers(&handled, end));
}

#[test]
fn a_member_that_leaves_gives_its_partitions_back() {
    let lab = group_lab(2);
    lab.fill(1);
    let mut first = lab.assigned_member(|_| {});
    let mut second = lab.member();
    let (revoked, _) = first.revoked();
    let moved = second.assigned();
    assert_eq!(moved[0].partition, revoked[0].partition);
    let got = second.take(1);
    second.ack(&got);
    second.close().unwrap();
    let back = first.assigned();
    assert_eq!(back.len(), 1);
    assert_eq!((back[0].slot, back[0].start), (revoked[0].slot, 1));
    assert_ne!(back[0].epoch, revoked[0].epoch);
}

#[test]
fn a_member_more_than_there_are_partitions_is_harmless() {
    let lab = group_lab(1);
    lab.fill(3);
    let first = lab.assigned_member(|_| {});
    let mut second = lab.member();
    let handled = pump_all(&[&first, &second], 3);
    assert_eq!(handled.len(), 3);
    second.close().unwrap();
    lab.fill(1);
    assert_eq!(offsets(&first.take(1), 0), [3]);
}
