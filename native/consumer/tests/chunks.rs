//! Messages that carry several records of a partition.

mod support;

use std::num::NonZeroUsize;

use consumer::AckRange;
use support::chunks::{pull, take, take_chunks, SIZE};
use support::{offsets, Got, Lab, Member};

fn member(lab: &Lab, max_in_flight: u64) -> Member {
    lab.assigned_member(|config| {
        config.chunk_size = NonZeroUsize::new(SIZE);
        config.max_in_flight = max_in_flight;
    })
}

fn range(chunk: &[Got]) -> AckRange {
    let (first, last) = (&chunk[0], &chunk[chunk.len() - 1]);
    (first.slot, first.epoch, first.offset, last.offset)
}

fn ack(member: &Member, chunks: &[Vec<Got>]) {
    let ranges = chunks.iter().map(|chunk| range(chunk));
    member.consumer().ack_ranges(ranges, member.wake());
}

#[test]
fn every_record_comes_once_in_order_in_chunks_of_its_partition_and_is_committed_by_ranges() {
    let lab = Lab::new(3);
    lab.fill(255);
    let mut member = member(&lab, 10_000);
    let chunks = take(&member, 3 * 255);
    let records: Vec<Got> = chunks.concat();
    let expected: Vec<i64> = (0..255).collect();
    for partition in 0..3 {
        assert_eq!(offsets(&records, partition), expected);
    }
    assert!(chunks.iter().any(|chunk| chunk.len() == SIZE));
    let mut newest_first = chunks;
    newest_first.reverse();
    ack(&member, &newest_first);
    for partition in 0..3 {
        member.committed(partition, 255);
        assert_eq!(member.progress(partition).in_flight, 0);
    }
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(255); 3]);
}

#[test]
fn a_chunk_holds_what_is_there_and_waits_for_nothing() {
    let lab = Lab::new(1);
    let member = member(&lab, 10_000);
    for from in 0..5 {
        lab.fill_one(0, 1);
        assert_eq!(offsets(&take(&member, 1).concat(), 0), [from]);
    }
}

#[test]
fn a_part_of_a_chunk_is_acked_and_the_rest_holds_the_commit() {
    let lab = Lab::new(1);
    lab.fill(5);
    let mut member = member(&lab, 10_000);
    let records = take(&member, 5).concat();
    ack(&member, &[records[..2].to_vec(), records[3..].to_vec()]);
    member.committed(0, 2);
    assert_eq!(member.progress(0).in_flight, 1);
    ack(&member, &[records[2..3].to_vec()]);
    member.committed(0, 5);
}

#[test]
fn a_partition_has_no_more_chunks_in_flight_than_its_cap_has_full_ones() {
    let lab = Lab::new(2);
    let mut member = member(&lab, 4 * SIZE as u64);
    let mut chunks = Vec::new();
    for _ in 0..4 {
        lab.fill_one(0, 1);
        chunks.extend(take(&member, 1));
    }
    lab.fill_one(0, 25);
    // The neighbour's records show that what was in the lane's queue has been looked at: the second one
    // was fetched after whatever was asked for together with the first.
    for offset in 0..2 {
        lab.fill_one(1, 1);
        assert_eq!(offsets(&take(&member, 1).concat(), 1), [offset]);
    }
    ack(&member, &chunks[..1]);
    assert!(pull(&member, 9).0.is_empty());
    ack(&member, &chunks[1..2]);
    let next = take_chunks(&member, 2);
    assert_eq!(next.len(), 2);
    assert!(pull(&member, 9).0.is_empty());
    ack(&member, &chunks);
    ack(&member, &next);
    let mut records = next.concat();
    records.extend(take_and_ack(&member, 25 - records.len()));
    let expected: Vec<i64> = (4..29).collect();
    assert_eq!(offsets(&records, 0), expected);
    member.committed(0, 29);
}

#[test]
fn acks_of_single_records_lift_the_cap_on_chunks_too() {
    let lab = Lab::new(1);
    lab.fill(100);
    let mut member = member(&lab, SIZE as u64);
    let mut left = 100;
    while left > 0 {
        let chunks = take_chunks(&member, 1);
        assert_eq!(chunks.len(), 1);
        assert!(pull(&member, 9).0.is_empty());
        left -= chunks[0].len();
        member.ack(&chunks[0]);
    }
    member.committed(0, 100);
}

#[test]
fn what_is_unacked_of_chunks_comes_again_and_nothing_else_at_the_cap_too() {
    let lab = Lab::new(1);
    lab.fill(40);
    let mut member = member(&lab, 3 * SIZE as u64);
    member.consumer().attach(0).unwrap();
    let chunks = take_chunks(&member, 3);
    assert_eq!(chunks.len(), 3);
    let records = chunks.concat();
    assert!(pull(&member, 9).0.is_empty());
    // The second record of each five is acked; then the lane's process is replaced.
    let acked = |offset: i64| offset % 5 == 1;
    let parts: Vec<Vec<Got>> = records
        .iter()
        .filter(|got| acked(got.offset))
        .map(|got| vec![got.clone()])
        .collect();
    ack(&member, &parts);
    member.consumer().attach(0).unwrap();
    let new = records.len() as i64;
    let expected: Vec<i64> = (0..40).filter(|o| *o >= new || !acked(*o)).collect();
    let again = take_and_ack(&member, expected.len());
    assert_eq!(offsets(&again, 0), expected);
    // An ack from before counts for nothing more.
    ack(&member, &chunks);
    member.committed(0, 40);
    assert_eq!(member.progress(0).acked, 40);
}

/// Acks each chunk before the next, by ranges that cover what was acked before.
fn take_and_ack(member: &Member, count: usize) -> Vec<Got> {
    let mut records = Vec::new();
    while records.len() < count {
        let chunks = take(member, 1);
        ack(member, &chunks);
        records.extend(chunks.concat());
    }
    records
}
