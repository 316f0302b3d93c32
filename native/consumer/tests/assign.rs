//! Where a member starts, and that records arrive as they were produced.

mod support;

use consumer::{Delivered, ResetPolicy, Topic};
use support::{offsets, record, record_at, Got, Lab, SOON};
use testing::Record;

fn start_at(lab: &Lab, reset: ResetPolicy) -> support::Member {
    lab.member_with(|config| {
        config.topics = vec![Topic {
            name: lab.topic.clone(),
            reset,
        }];
    })
}

#[test]
fn the_first_member_of_a_group_gets_every_partition() {
    let lab = Lab::new(5);
    let mut member = lab.member();
    let mut assigned = member.assigned();
    assigned.sort_by_key(|a| a.partition);
    let partitions: Vec<i32> = assigned.iter().map(|a| a.partition).collect();
    assert_eq!(partitions, [0, 1, 2, 3, 4]);
    let mut slots: Vec<u32> = assigned.iter().map(|a| a.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3, 4], "lowest free slot first");
    for a in &assigned {
        assert_eq!((a.topic.as_str(), a.start), (lab.topic.as_str(), 0));
        assert_eq!(member.consumer().slot(&a.topic, a.partition), Some(a.slot));
    }
    assert_eq!(member.consumer().slot(&lab.topic, 9), None);
}

#[test]
fn earliest_starts_at_the_oldest_record_and_commits_that_before_any_ack() {
    let lab = Lab::new(2);
    lab.fill(3);
    let mut member = start_at(&lab, ResetPolicy::Earliest);
    assert!(member.assigned().iter().all(|a| a.start == 0));
    member.committed(0, 0);
    assert_eq!(lab.committed(), [Some(0), Some(0)]);
    let got = member.take(6);
    assert_eq!(offsets(&got, 0), [0, 1, 2]);
    assert_eq!(offsets(&got, 1), [0, 1, 2]);
}

#[test]
fn latest_starts_after_the_newest_record_and_commits_that_before_any_record() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = start_at(&lab, ResetPolicy::Latest);
    assert_eq!(member.assigned()[0].start, 3);
    member.committed(0, 3);
    assert_eq!(lab.committed(), [Some(3)]);
    lab.fill(2);
    assert_eq!(offsets(&member.take(2), 0), [3, 4]);
}

#[test]
fn with_latest_a_restart_before_the_first_ack_skips_nothing() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut first = start_at(&lab, ResetPolicy::Latest);
    first.assigned();
    first.close().unwrap();
    lab.fill(2);
    let mut second = start_at(&lab, ResetPolicy::Latest);
    assert_eq!(second.assigned()[0].start, 3);
    assert_eq!(offsets(&second.take(2), 0), [3, 4]);
}

#[test]
fn a_committed_offset_is_where_a_member_goes_on_whatever_the_policy() {
    for policy in [ResetPolicy::Earliest, ResetPolicy::Latest] {
        let lab = Lab::new(2);
        lab.fill(5);
        lab.commit(0, 2);
        let mut member = start_at(&lab, policy);
        let assigned = member.assigned();
        let first = assigned.iter().find(|a| a.partition == 0).unwrap();
        assert_eq!(first.start, 2);
        let other = if policy == ResetPolicy::Latest { 5 } else { 0 };
        let second = assigned.iter().find(|a| a.partition == 1).unwrap();
        assert_eq!(second.start, other);
        let got = member.take(3 + (5 - other as usize));
        assert_eq!(offsets(&got, 0), [2, 3, 4]);
    }
}

#[test]
fn a_restart_goes_on_with_the_record_after_the_last_acked_one() {
    let lab = Lab::new(1);
    lab.fill(10);
    let mut first = lab.member();
    let got = first.take(6);
    first.ack(&got[..4]);
    first.close().unwrap();
    assert_eq!(lab.committed(), [Some(4)]);
    let mut second = lab.member();
    assert_eq!(second.assigned()[0].start, 4);
    assert_eq!(offsets(&second.take(6), 0), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn records_arrive_in_order_on_every_partition() {
    let lab = Lab::new(4);
    for _ in 0..5 {
        lab.fill(200);
    }
    let member = lab.member();
    let got = member.take_by(4000, 33);
    for partition in 0..4 {
        let expected: Vec<i64> = (0..1000).collect();
        assert_eq!(offsets(&got, partition), expected);
    }
    let exact = |g: &Got| g.value == Some(g.offset.to_string().into_bytes());
    assert!(got.iter().all(exact), "a value under another one's offset");
}

#[test]
fn key_value_timestamp_and_headers_are_what_was_produced_also_where_records_had_to_wait() {
    let sent = [
        Record {
            timestamp: Some(1_700_000_000_123),
            ..record(Some(b"k"), Some(b"v"))
        },
        Record {
            timestamp: Some(1_700_000_000_124),
            headers: vec![
                ("trace", Some(b"1".as_slice())),
                ("empty", Some(b"".as_slice())),
                ("null", None),
                ("trace", Some(b"2".as_slice())),
            ],
            ..record(Some(b"k"), Some(b"v"))
        },
        record(Some(b""), Some(b"")),
        record(None, None),
        record(Some(b"\0\xff"), Some(b"\xfe\0")),
        record(None, Some(b"v")),
        record(Some(b"k"), None),
    ];
    // What follows them is more than is read before they are copied.
    let filler = vec![b'x'; 2_000];
    for (max_in_flight, others) in [(100, 0), (1, 0), (1, 200)] {
        let lab = Lab::new(2);
        lab.produce(&sent);
        let filler: Vec<_> = (0..others).map(|_| record_at(1, &filler)).collect();
        lab.produce(&filler);
        let member = lab.member_with(|config| {
            config.max_in_flight = max_in_flight;
            config.max_buffered_bytes = 1_000_000;
        });
        let mut records: Vec<Delivered> = Vec::new();
        let (mut seen, mut held) = (0, Vec::new());
        while records.len() < sent.len() {
            let pulled = member.consumer().pull(0, 100, || true).unwrap();
            for delivered in pulled.records {
                held.push(Got::new(0, &delivered));
                if delivered.message.partition() == 0 {
                    records.push(delivered);
                } else {
                    member.ack(held.pop().iter());
                    seen += 1;
                }
            }
            if seen == others {
                member.ack(&std::mem::take(&mut held));
            }
            if !pulled.more && records.len() < sent.len() {
                member.wakes.recv_timeout(SOON).unwrap();
            }
        }
        for (index, (sent, got)) in sent.iter().zip(&records).enumerate() {
            let message = &got.message;
            assert_eq!((message.key(), message.value()), (sent.key, sent.value));
            assert_eq!(message.topic(), lab.topic);
            assert_eq!((message.partition(), message.offset()), (0, index as i64));
            let size = sent.key.map_or(0, <[u8]>::len) + sent.value.map_or(0, <[u8]>::len);
            assert_eq!(message.size(), size);
            let taken = message.headers();
            let headers: Vec<_> = (0..taken.len()).filter_map(|at| taken.get(at)).collect();
            let expected: Vec<_> = sent
                .headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), *value))
                .collect();
            assert_eq!(headers, expected);
            match sent.timestamp {
                Some(millis) => assert_eq!(message.timestamp(), Some(millis)),
                None => assert!(message.timestamp().unwrap() > 1_700_000_000_123),
            }
        }
    }
}

#[test]
fn several_topics_start_each_by_its_own_policy() {
    let lab = Lab::new(1);
    let other = support::random_name("events");
    lab.cluster.create_topic(&other, 1).unwrap();
    lab.fill(2);
    lab.client
        .produce(&other, &[support::value(b"old")], SOON)
        .unwrap();
    let mut member = lab.member_with(|config| {
        config.topics.push(Topic {
            name: other.clone(),
            reset: ResetPolicy::Latest,
        });
    });
    let assigned = member.assigned();
    let start = |topic: &str| assigned.iter().find(|a| a.topic == topic).unwrap().start;
    assert_eq!((start(&lab.topic), start(&other)), (0, 1));
}
