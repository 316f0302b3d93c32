//! Lanes that are claimed at run time: who claims partitions gets them, from what is unacked on, and
//! what nobody has claimed is not fetched.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use consumer::{Claim, Config, Error, Event};
use support::{offsets, record_at, Got, Lab, Member};

fn claimed(config: &mut Config) {
    config.lanes = 0;
}

fn partition(lab: &Lab, partition: i32) -> Claim {
    Claim::Partition(lab.topic.clone(), partition)
}

fn topic(lab: &Lab) -> Claim {
    Claim::Topics(vec![lab.topic.clone()])
}

fn claim(member: &Member, claim: Claim, lanes: usize) -> usize {
    let first = member.consumer().claim(claim, lanes, None).unwrap();
    (first..first + lanes).for_each(|lane| member.consumer().attach(lane).unwrap());
    first
}

/// Waits until the service thread has done what it was asked for before.
fn settled(member: &Member) {
    (0..2).for_each(|_| drop(member.consumer().progress().unwrap()));
}

fn whole(count: i64) -> Vec<i64> {
    (0..count).collect()
}

#[test]
fn who_claims_a_partition_late_gets_all_of_it_and_nothing_of_the_others() {
    let lab = Lab::new(2);
    lab.fill(100);
    let member = lab.assigned_member(claimed);
    assert_eq!(member.progress(0).lane, None);
    let lane = claim(&member, partition(&lab, 0), 1);
    let got = member.take_of(lane, 100);
    assert_eq!(offsets(&got, 0), whole(100));
    assert_eq!(member.progress(0).lane, Some(lane));
    let next = member.progress(1);
    assert_eq!((next.lane, next.next), (None, 0));
}

#[test]
fn a_partition_that_is_claimed_before_it_is_assigned_goes_to_its_lane_at_once() {
    let lab = Lab::new(3);
    lab.fill(10);
    let mut member = lab.member_with(claimed);
    let lanes: Vec<usize> = (0..3)
        .map(|p| claim(&member, partition(&lab, p), 1))
        .collect();
    member.assigned();
    let got = member.take(30);
    for p in 0..3 {
        assert_eq!(offsets(&got, p), whole(10));
        let of: BTreeSet<usize> = got
            .iter()
            .filter(|g| g.partition == p)
            .map(|g| g.lane)
            .collect();
        assert_eq!(of, BTreeSet::from([lanes[p as usize]]));
    }
}

#[test]
fn partitions_of_a_topic_are_spread_over_the_lanes_of_its_claim() {
    let lab = Lab::new(6);
    lab.fill(5);
    let member = lab.assigned_member(claimed);
    let first = claim(&member, topic(&lab), 3);
    let got = member.take(30);
    let on = |lane| -> BTreeSet<i32> {
        let of = got.iter().filter(|g| g.lane == lane);
        of.map(|g| g.partition).collect()
    };
    let sets: Vec<BTreeSet<i32>> = (first..first + 3).map(on).collect();
    assert!(sets.iter().all(|set| set.len() == 2), "{sets:?}");
    assert_eq!(sets.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
}

#[test]
fn a_lane_gets_nothing_of_another_ones_whoever_reads_for_whom() {
    let lab = Lab::new(8);
    let member = lab.assigned_member(claimed);
    let lanes: Vec<usize> = (0..8)
        .map(|p| claim(&member, partition(&lab, p), 1))
        .collect();
    let got = lanes
        .iter()
        .flat_map(|lane| member.consumer().pull(*lane, 10, || true).unwrap().records);
    assert_eq!(got.count(), 0);
    lab.fill(2_000);
    // One by one, the last first: all that is read meanwhile is kept for the others.
    for (p, lane) in lanes.iter().enumerate().rev() {
        let got = member.take_of(*lane, 2_000);
        assert_eq!(offsets(&got, p as i32), whole(2_000));
        assert!(got.iter().all(|g| g.partition == p as i32));
    }
}

#[test]
fn every_lane_that_waits_is_woken_for_what_comes_for_it() {
    let lab = Lab::new(20);
    let member = lab.assigned_member(claimed);
    for p in 0..20 {
        claim(&member, partition(&lab, p), 1);
    }
    for round in 1..=20 {
        lab.fill(1);
        let got = member.take(20);
        assert!((0..20).all(|p| offsets(&got, p) == [round - 1]), "{got:?}");
    }
}

#[test]
fn what_is_claimed_is_refused_to_others_until_it_is_released() {
    let lab = Lab::new(2);
    let member = lab.assigned_member(claimed);
    let first = claim(&member, partition(&lab, 0), 1);
    let again = member.consumer().claim(partition(&lab, 0), 1, None);
    assert!(
        matches!(
            again,
            Err(Error::Claimed {
                partition: Some(0),
                ..
            })
        ),
        "{again:?}"
    );
    let above = member.consumer().claim(topic(&lab), 1, None);
    assert!(matches!(above, Err(Error::Claimed { .. })), "{above:?}");
    claim(&member, partition(&lab, 1), 1);
    assert_eq!(member.consumer().release(first), Some(1));
    assert_eq!(member.consumer().release(first), None);
    claim(&member, partition(&lab, 0), 1);
}

#[test]
fn a_member_with_a_fixed_number_of_lanes_has_nothing_to_claim_or_release() {
    let lab = Lab::new(1);
    let member = lab.assigned_member(|_| {});
    let error = member
        .consumer()
        .claim(partition(&lab, 0), 1, None)
        .unwrap_err();
    assert_eq!(error.to_string(), "all topics are claimed already");
    assert_eq!(member.consumer().release(0), None);
}

#[test]
fn the_next_to_claim_gets_what_was_unacked_before_what_follows() {
    let lab = Lab::new(1);
    lab.fill(20);
    let mut member = lab.assigned_member(claimed);
    let first = claim(&member, partition(&lab, 0), 1);
    let got = member.take_of(first, 10);
    member.ack(got.iter().filter(|g| g.offset % 2 == 0));
    member.consumer().release(first);
    settled(&member);
    // From whoever had it before.
    member.ack(got.iter().filter(|g| g.offset == 3));
    let second = claim(&member, partition(&lab, 0), 1);
    let again = member.take_of(second, 14);
    let mut expected = vec![1, 5, 7, 9];
    expected.extend(10..20);
    assert_eq!(offsets(&again, 0), expected);
    assert!(again.iter().all(|g| g.epoch == got[0].epoch));
    member.event("redelivery", |event| match event {
        Event::Redelivered(list) => (list[0].offset == 1 && list[0].count == 4).then_some(()),
        _ => None,
    });
    member.ack(&again);
    member.committed(0, 20);
}

#[test]
fn released_lanes_are_used_again() {
    let lab = Lab::new(1);
    lab.fill(50);
    let member = lab.assigned_member(claimed);
    for round in 0..50 {
        let lane = claim(&member, partition(&lab, 0), 1);
        let got = member.take_of(lane, 1);
        assert_eq!(offsets(&got, 0), [round]);
        member.ack(&got);
        member.consumer().release(lane);
        settled(&member);
    }
    assert!(
        member.consumer().lanes() <= 2,
        "{}",
        member.consumer().lanes()
    );
}

#[test]
fn a_revoke_is_told_when_it_begins_and_waits_for_nobody_where_the_lane_was_released() {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut member = lab.assigned_member(claimed);
    let lanes: Vec<usize> = (0..2)
        .map(|p| claim(&member, partition(&lab, p), 1))
        .collect();
    let got = member.take(20);
    let other = lab.member();
    let going = member.event("begin of a revoke", |event| match event {
        Event::Revoking(list) => Some(list.clone()),
        _ => None,
    });
    assert_eq!(going.len(), 1);
    assert_eq!(going[0].unacked, 10);
    let left: Vec<&Got> = got
        .iter()
        .filter(|g| g.partition == going[0].partition)
        .collect();
    member.ack(left[..4].iter().copied());
    member
        .consumer()
        .release(lanes[going[0].partition as usize]);
    let (revoked, drain) = member.revoked();
    assert_eq!(
        (revoked[0].partition, revoked[0].unacked),
        (going[0].partition, 6)
    );
    assert!(drain < Duration::from_secs(5), "{drain:?}");
    // A group that still hands out its last generation refuses the commit: then all of it comes again.
    let next = offsets(&other.take(6), going[0].partition);
    assert!(
        [0, 4]
            .iter()
            .any(|from| (*from..from + 6).eq(next.iter().copied())),
        "{next:?}"
    );
}

#[test]
fn a_partition_that_comes_back_goes_to_whoever_claimed_it_and_is_fetched() {
    let lab = Lab::new(2);
    let mut member = lab.assigned_member(claimed);
    // Paused when the other member gets one, and claimed while it is away.
    let mut other = lab.member();
    let (revoked, _) = member.revoked();
    other.assigned();
    for p in 0..2 {
        claim(&member, partition(&lab, p), 1);
    }
    other.close().unwrap();
    assert_eq!(member.assigned()[0].partition, revoked[0].partition);
    lab.fill(5);
    let got = member.take(10);
    assert!((0..2).all(|p| offsets(&got, p) == whole(5)), "{got:?}");
}

#[test]
fn a_claim_may_have_a_cap_of_its_own() {
    let lab = Lab::new(2);
    lab.fill(100);
    let member = lab.assigned_member(|config| {
        claimed(config);
        config.max_in_flight = 50;
    });
    let of = |p, most| {
        member
            .consumer()
            .claim(partition(&lab, p), 1, most)
            .unwrap()
    };
    let (own, others) = (of(0, Some(7)), of(1, None));
    let first = member.take_of(own, 7);
    assert_eq!(member.take_of(others, 50).len(), 50);
    assert_eq!(member.pull_all().len(), 0);
    member.ack(&first);
    assert_eq!(
        offsets(&member.take_of(own, 7), 0),
        (7..14).collect::<Vec<_>>()
    );
}

const RECORDS: i64 = 200;
const VALUE: usize = 1_000;
const BUFFER: usize = 1_000_000;
const PARTITIONS: i32 = 20;

/// A claim for each partition of a topic that has four times as many bytes as may be buffered.
fn crowd(lab: &Lab, max_in_flight: u64) -> (Member, Vec<usize>) {
    let value = vec![b'x'; VALUE];
    for p in 0..PARTITIONS {
        let records: Vec<_> = (0..RECORDS).map(|_| record_at(p, &value)).collect();
        lab.produce(&records);
    }
    let member = lab.assigned_member(|config| {
        claimed(config);
        config.max_buffered_bytes = BUFFER as u64;
        config.max_in_flight = max_in_flight;
    });
    let of = |p| claim(&member, partition(lab, p), 1);
    let lanes = (0..PARTITIONS).map(of).collect();
    (member, lanes)
}

#[test]
fn lanes_that_are_all_stuck_hold_no_more_together_than_one_may() {
    let lab = Lab::new(PARTITIONS);
    let (member, _) = crowd(&lab, 1);
    let mut got = member.take(PARTITIONS as usize);
    let mut acked = 0;
    while got.len() < (i64::from(PARTITIONS) * RECORDS) as usize {
        let parked = member.consumer().buffered().parked_bytes;
        assert!(parked <= BUFFER / 2 + 4 * (VALUE + 400), "{parked}");
        member.ack(&got[acked..]);
        acked = got.len();
        got.extend(member.take(1));
    }
    assert!((0..PARTITIONS).all(|p| offsets(&got, p) == whole(RECORDS)));
}

#[test]
fn one_lane_that_reads_beside_others_that_do_not_gets_all_of_its_own() {
    let lab = Lab::new(PARTITIONS);
    let (member, lanes) = crowd(&lab, 10_000);
    let mut got = Vec::new();
    while got.len() < RECORDS as usize {
        let more = member.take_of(lanes[7], 1);
        member.ack(&more);
        got.extend(more);
        let buffered = member.consumer().buffered();
        let most = BUFFER / 2 + 4 * (VALUE + 400);
        assert!(buffered.parked_bytes <= most, "{buffered:?}");
        // An eighth, and a fetch that brought more: no fetch may be smaller than a megabyte.
        let queued = buffered.queued_records * (VALUE + 400);
        assert!(queued <= BUFFER / 8 + 1_000_000, "{buffered:?}");
    }
    assert_eq!(offsets(&got, 7), whole(RECORDS));
}
