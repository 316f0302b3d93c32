//! What one pull brings: bounded by demand, by bytes, and to one lane.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::thread;

use support::{offsets, record_at, Lab, SOON};

#[test]
fn a_pull_never_brings_more_than_was_asked_for() {
    let lab = Lab::new(3);
    lab.fill(200);
    let member = lab.assigned_member(|_| {});
    let mut seen = 0;
    for demand in (1..40).cycle() {
        let demand = demand.min(600 - seen);
        seen += member.take_by(demand, demand).len();
        if seen == 600 {
            break;
        }
    }
    assert!(member.pull_all().is_empty());
}

#[test]
fn without_demand_nothing_is_delivered() {
    let lab = Lab::new(1);
    lab.fill(3);
    let member = lab.assigned_member(|_| {});
    let pulled = member.consumer().pull(0, 0, || true).unwrap();
    assert!(pulled.records.is_empty() && !pulled.more);
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn a_pull_of_large_records_ends_at_four_mebibytes_and_says_that_there_is_more() {
    const SIZE: usize = 100_000;
    const CAP: usize = 4 * 1024 * 1024;
    let lab = Lab::new(2);
    // The mock cluster answers a fetch with one batch: one above the bound is needed.
    let producer = lab.client_with(&[("linger.ms", "500"), ("batch.size", "20000000")]);
    let values: Vec<Vec<u8>> = (0..48_u8).map(|n| vec![n; SIZE]).collect();
    for partition in 0..2 {
        let records: Vec<_> = values.iter().map(|v| record_at(partition, v)).collect();
        producer.produce(&lab.topic, &records, SOON).unwrap();
    }
    let member = lab.assigned_member(|config| {
        for (name, value) in [
            ("queued.max.messages.kbytes", "65536"),
            ("fetch.message.max.bytes", "20000000"),
            ("receive.message.max.bytes", "100000000"),
        ] {
            config.properties.push((name.to_owned(), value.to_owned()));
        }
    });
    let (mut next, mut ended_by_bytes) = ([0, 0], 0);
    while next != [48, 48] {
        let pulled = member.consumer().pull(0, 1000, || true).unwrap();
        let bytes = pulled.records.len() * SIZE;
        assert!(bytes < CAP + SIZE, "{bytes} bytes in a pull");
        if bytes >= CAP {
            assert!(pulled.more, "a wake-up does not come for what is there");
            ended_by_bytes += 1;
        }
        for record in &pulled.records {
            let (message, expected) = (&record.message, next[record.message.partition() as usize]);
            assert_eq!(message.offset(), expected);
            let value = message.value().unwrap();
            assert_eq!((value.len(), value[0]), (SIZE, expected as u8));
            next[message.partition() as usize] += 1;
        }
        if !pulled.more && next != [48, 48] {
            member.wakes.recv_timeout(SOON).unwrap();
        }
    }
    assert!(ended_by_bytes > 0, "the bound was never reached");
}

#[test]
fn a_short_pull_leaves_a_large_record_to_a_long_one_and_says_that_there_is_more() {
    let lab = Lab::new(1);
    let sizes = [100, 200_000, 100, 100_000, 100_000];
    let values: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
    let records: Vec<_> = values.iter().map(|v| record_at(0, v)).collect();
    lab.produce(&records);
    let member = lab.assigned_member(|_| {});
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    while taken.len() < sizes.len() {
        let short = member.consumer().pull_short(0, 10, || true).unwrap();
        let bytes: usize = short.records.iter().map(|r| r.message.size()).sum();
        assert!(bytes <= 128 * 1024, "{bytes} bytes in a short pull");
        // It may also have come while the intake was looked at.
        let long = if short.more && short.records.is_empty() && taken.len() == 1 {
            member.consumer().pull(0, 1, || true).unwrap().records
        } else {
            Vec::new()
        };
        left.extend(long.iter().map(|r| r.message.offset()));
        taken.extend(
            short
                .records
                .iter()
                .chain(&long)
                .map(|r| r.message.offset()),
        );
        if !short.more && taken.len() < sizes.len() {
            member.wakes.recv_timeout(SOON).unwrap();
        }
    }
    assert_eq!(taken, [0, 1, 2, 3, 4]);
    assert_eq!(left, [1]);
}

#[test]
fn a_short_pull_waits_for_no_other_that_holds_the_lane() {
    let lab = Lab::new(1);
    lab.fill(1);
    let member = lab.assigned_member(|_| {});
    let consumer = member.consumer();
    thread::scope(|scope| {
        let (say, short) = mpsc::channel();
        // Asked while nobody else may pull.
        let attached = || {
            scope.spawn(move || say.send(consumer.pull_short(0, 1, || true)));
            let short = short.recv_timeout(SOON).unwrap().unwrap();
            assert!(short.records.is_empty() && short.more);
            true
        };
        consumer.pull(0, 1, attached).unwrap();
    });
}

#[test]
fn every_partition_is_on_one_lane_and_on_the_same_one_after_a_restart() {
    let lab = Lab::new(7);
    lab.fill(30);
    let start = || lab.assigned_member(|config| config.lanes = 3);
    let mut homes = Vec::new();
    for _ in 0..2 {
        let mut member = start();
        let got = member.take(210);
        let seen: BTreeSet<(i32, usize)> = got.iter().map(|g| (g.partition, g.lane)).collect();
        assert_eq!(seen.len(), 7, "a partition on two lanes: {seen:?}");
        let told = member.consumer().progress().unwrap();
        let told = told.iter().filter_map(|p| Some((p.partition, p.lane?)));
        let told: BTreeSet<_> = told.collect();
        assert_eq!(seen, told);
        let mut sizes = BTreeMap::new();
        seen.iter()
            .for_each(|(_, lane)| *sizes.entry(*lane).or_insert(0) += 1);
        assert_eq!(sizes.len(), 3, "an idle lane: {sizes:?}");
        for partition in 0..7 {
            let expected: Vec<i64> = (0..30).collect();
            assert_eq!(offsets(&got, partition), expected);
        }
        member.close().unwrap();
        homes.push(seen);
    }
    assert_eq!(homes[0], homes[1]);
}

#[test]
fn a_lane_without_a_partition_is_harmless() {
    let lab = Lab::new(1);
    lab.fill(5);
    let member = lab.assigned_member(|config| config.lanes = 8);
    assert_eq!(offsets(&member.take(5), 0), [0, 1, 2, 3, 4]);
    for lane in 0..8 {
        let pulled = member.consumer().pull(lane, 10, || true).unwrap();
        assert!(pulled.records.is_empty() && !pulled.more);
    }
}
