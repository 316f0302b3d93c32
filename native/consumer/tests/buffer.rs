//! What is fetched and not delivered stays within its bound, and nothing is lost by it.

mod support;

use std::num::NonZeroUsize;

use consumer::Config;
use support::chunks::{take, take_chunks, SIZE};
use support::{offsets, record_at, Got, Lab, Member};

const PARTITIONS: i32 = 20;
const RECORDS: i64 = 200;
const VALUE: usize = 1000;
const BUFFER: u64 = 1_000_000;
/// As far as one partition may go beyond what is left, and what a record takes besides its value.
const SLACK: usize = 4 * (VALUE + 400);

/// Four times as many bytes as may be buffered, in batches of a tenth of it.
fn lab() -> Lab {
    let lab = Lab::new(PARTITIONS);
    let value = vec![b'x'; VALUE];
    for partition in 0..PARTITIONS {
        for _ in 0..2 {
            let records: Vec<_> = (0..RECORDS / 2)
                .map(|_| record_at(partition, &value))
                .collect();
            lab.produce(&records);
        }
    }
    lab
}

fn narrow(config: &mut Config) {
    config.max_buffered_bytes = BUFFER;
    config.max_in_flight = 1;
}

/// Takes all there is for partitions that are not at their cap, until that is nothing.
fn first_of_each(member: &Member) -> Vec<Got> {
    let mut got = member.take(PARTITIONS as usize);
    got.extend(member.pull_all());
    got
}

fn assert_bounded(member: &Member) {
    let buffered = member.consumer().buffered();
    assert!(
        buffered.parked_bytes <= BUFFER as usize / 2 + SLACK,
        "{buffered:?}"
    );
}

#[test]
fn partitions_whose_records_nobody_handles_hold_no_more_than_they_may() {
    let lab = lab();
    let member = lab.assigned_member(narrow);
    let got = first_of_each(&member);
    assert_eq!(got.len(), PARTITIONS as usize);
    assert_bounded(&member);
    // There was more to hold than that.
    assert!(member.consumer().buffered().parked_bytes > BUFFER as usize / 4);
}

#[test]
fn what_was_not_held_comes_in_order_once_it_is_handled() {
    let lab = lab();
    let member = lab.assigned_member(narrow);
    let mut got = first_of_each(&member);
    let mut acked = 0;
    while got.len() < (PARTITIONS as i64 * RECORDS) as usize {
        member.ack(&got[acked..]);
        acked = got.len();
        got.extend(member.take(1));
        assert_bounded(&member);
    }
    let expected: Vec<i64> = (0..RECORDS).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(offsets(&got, partition), expected);
    }
}

#[test]
fn a_paused_partition_is_given_back_and_taken_over_without_a_gap() {
    let lab = lab();
    let mut first = lab.assigned_member(narrow);
    let got = first_of_each(&first);
    first.ack(&got);
    first.close().unwrap();
    let second = lab.assigned_member(|config| config.max_buffered_bytes = BUFFER);
    let rest = second.take((PARTITIONS as i64 * (RECORDS - 1)) as usize);
    let expected: Vec<i64> = (1..RECORDS).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(offsets(&rest, partition), expected);
    }
}

#[test]
fn records_of_a_paused_partition_are_delivered_again_and_followed_by_the_rest() {
    let lab = lab();
    let member = lab.assigned_member(narrow);
    member.consumer().attach(0).unwrap();
    let mut got = first_of_each(&member);
    // Another process comes in place of the lane's.
    member.consumer().attach(0).unwrap();
    let again = member.take(PARTITIONS as usize);
    assert_eq!(again.len(), got.len());
    let mut acked = 0;
    got = again;
    while got.len() < (PARTITIONS as i64 * RECORDS) as usize {
        member.ack(&got[acked..]);
        acked = got.len();
        got.extend(member.take(1));
    }
    let expected: Vec<i64> = (0..RECORDS).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(offsets(&got, partition), expected);
    }
}

#[test]
fn chunks_of_paused_partitions_come_in_order_and_are_held_within_the_bound() {
    let lab = lab();
    let member = lab.assigned_member(|config| {
        narrow(config);
        config.chunk_size = NonZeroUsize::new(SIZE);
        config.max_in_flight = SIZE as u64;
    });
    // One of each is all that may be in flight.
    let mut got = take_chunks(&member, PARTITIONS as usize).concat();
    assert_bounded(&member);
    let mut acked = 0;
    while got.len() < (PARTITIONS as i64 * RECORDS) as usize {
        member.ack(&got[acked..]);
        acked = got.len();
        got.extend(take(&member, 1).concat());
        assert_bounded(&member);
    }
    let expected: Vec<i64> = (0..RECORDS).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(offsets(&got, partition), expected);
    }
}
