//! The cap on what is delivered and not acked: of one partition, never of its neighbours.

mod support;

use consumer::{ResetPolicy, Topic};
use support::{offsets, random_name, value, Got, Lab, SOON};

const CAP: u64 = 10;

fn capped(lab: &Lab) -> support::Member {
    lab.assigned_member(|config| config.max_in_flight = CAP)
}

fn of(got: &[Got], partition: i32) -> impl Iterator<Item = &Got> {
    got.iter().filter(move |g| g.partition == partition)
}

#[test]
fn a_partition_at_its_cap_does_not_starve_the_others() {
    let lab = Lab::new(3);
    lab.fill(300);
    let member = capped(&lab);
    let mut got = Vec::new();
    while got.len() < 610 {
        let some = member.take_by(1, 7);
        member.ack(some.iter().filter(|g| g.partition != 1));
        got.extend(some);
    }
    let expected: Vec<i64> = (0..300).collect();
    assert_eq!(offsets(&got, 0), expected);
    assert_eq!(offsets(&got, 2), expected);
    assert_eq!(offsets(&got, 1), expected[..CAP as usize]);
    assert_eq!(member.progress(1).in_flight, CAP);
    assert!(member.pull_all().is_empty());
}

#[test]
fn acks_lift_the_cap_and_the_order_is_kept() {
    let lab = Lab::new(2);
    lab.fill(500);
    let member = capped(&lab);
    let mut got = member.take(2 * CAP as usize);
    assert!(member.pull_all().is_empty());
    let mut acked = 0;
    while got.len() < 1000 {
        // The newest first: what is oldest holds nothing up but the commit.
        let open: Vec<Got> = got[acked..].iter().rev().cloned().collect();
        acked = got.len();
        member.ack(&open);
        got.extend(member.take_by(1, 100));
        got.extend(member.pull_all());
        let in_flight = got.len() - acked;
        assert!(in_flight <= 2 * CAP as usize, "{in_flight} in flight");
    }
    let expected: Vec<i64> = (0..500).collect();
    assert_eq!(offsets(&got, 0), expected);
    assert_eq!(offsets(&got, 1), expected);
}

#[test]
fn partitions_that_leave_their_cap_together_all_go_on_however_small_the_demand() {
    let lab = Lab::new(4);
    lab.fill(100);
    let member = capped(&lab);
    let mut got = member.take(4 * CAP as usize);
    assert!(member.pull_all().is_empty());
    // All four leave their cap before anything is pulled, and then one record is taken at a time.
    member.ack(&got);
    while got.len() < 400 {
        let one = member.take_by(1, 1);
        member.ack(&one);
        got.extend(one);
    }
    for partition in 0..4 {
        let expected: Vec<i64> = (0..100).collect();
        assert_eq!(offsets(&got, partition), expected);
    }
}

#[test]
fn records_that_come_while_a_partition_is_at_its_cap_follow_the_ones_before_them() {
    let lab = Lab::new(2);
    lab.fill_one(0, 15);
    let mut member = capped(&lab);
    let mut got = member.take(CAP as usize);
    // The neighbour's records show that what was in the lane's queue has been looked at.
    lab.fill_one(1, 1);
    member.ack(&member.take(1));
    lab.fill_one(0, 15);
    lab.fill_one(1, 1);
    member.ack(&member.take(1));
    for _ in 0..2 {
        member.ack(of(&got[got.len() - CAP as usize..], 0));
        got.extend(member.take(CAP as usize));
    }
    let expected: Vec<i64> = (0..30).collect();
    assert_eq!(offsets(&got, 0), expected);
    member.ack(&got);
    member.committed(0, 30);
}

#[test]
fn a_cap_of_one_delivers_record_by_record() {
    let lab = Lab::new(2);
    lab.fill(50);
    let member = lab.assigned_member(|config| config.max_in_flight = 1);
    let mut got = Vec::new();
    while got.len() < 100 {
        let some = member.take(1);
        member.ack(&some);
        got.extend(some);
    }
    let expected: Vec<i64> = (0..50).collect();
    assert_eq!(offsets(&got, 0), expected);
    assert_eq!(offsets(&got, 1), expected);
}

#[test]
fn a_capped_partition_is_given_back_and_taken_over_without_a_gap() {
    let lab = Lab::new(1);
    lab.fill(40);
    let mut first = capped(&lab);
    let got = first.take(CAP as usize);
    assert!(first.pull_all().is_empty());
    first.ack(&got[..4]);
    first.close().unwrap();
    let second = capped(&lab);
    assert_eq!(second.progress(0).start, 4);
    let mut again = Vec::new();
    while again.len() < 36 {
        let some = second.take(1);
        second.ack(&some);
        again.extend(some);
    }
    let expected: Vec<i64> = (4..40).collect();
    assert_eq!(offsets(&again, 0), expected);
}

#[test]
fn the_only_partition_reads_nothing_ahead_at_its_cap_and_goes_on_by_acks() {
    let lab = Lab::new(1);
    lab.fill(100);
    let member = capped(&lab);
    let mut got = Vec::new();
    while got.len() < 100 {
        let some = member.take(CAP as usize);
        assert!(member.pull_all().is_empty());
        assert_eq!(member.consumer().buffered().parked_bytes, 0);
        member.ack(&some);
        got.extend(some);
    }
    let expected: Vec<i64> = (0..100).collect();
    assert_eq!(offsets(&got, 0), expected);
}

#[test]
fn the_only_partition_at_its_cap_holds_up_none_that_joins_it() {
    let lab = Lab::new(1);
    lab.fill(100);
    let member = capped(&lab);
    let mut got = member.take(CAP as usize);
    assert!(member.pull_all().is_empty());
    let other = random_name("refunds");
    lab.cluster.create_topic(&other, 1).unwrap();
    lab.client.produce(&other, &[value(b"1")], SOON).unwrap();
    let topics = [&lab.topic, &other].map(|name| Topic {
        name: name.clone(),
        reset: ResetPolicy::Earliest,
    });
    member.consumer().update_topics(topics.to_vec()).unwrap();
    let joined = member.take(1);
    assert_ne!(joined[0].slot, got[0].slot);
    member.ack(&joined);
    let mut acked = 0;
    while got.len() < 100 {
        member.ack(&got[acked..]);
        acked = got.len();
        got.extend(member.take(1));
    }
    let expected: Vec<i64> = (0..100).collect();
    assert_eq!(offsets(&got, 0), expected);
}
