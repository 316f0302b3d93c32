//! What is produced is what a consumer reads.

mod support;

use rdkafka::message::{Headers, Message};
use rdkafka::Timestamp;
use support::{client, cluster, read, value, SOON};
use testing::Record;

#[test]
fn offsets_come_back_in_the_order_of_the_records() {
    let cluster = cluster("orders", 2);
    let client = client(&cluster, &[]);
    let to = |partition| Record {
        partition,
        ..value(b"v")
    };
    let offsets = client
        .produce("orders", &[to(0), to(1), to(0), to(0), to(1)], SOON)
        .unwrap();
    assert_eq!(offsets, [0, 0, 1, 2, 1]);
    assert_eq!(client.watermarks("orders", 0, SOON).unwrap(), (0, 3));
    assert_eq!(client.watermarks("orders", 1, SOON).unwrap(), (0, 2));
}

#[test]
fn no_records_need_no_broker() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    cluster.broker(-1, testing::State::Down).unwrap();
    assert!(client.produce("orders", &[], SOON).unwrap().is_empty());
}

#[test]
fn missing_and_empty_keys_and_values_differ() {
    let cluster = cluster("orders", 1);
    let given = [
        (None, Some(&b""[..])),
        (Some(&b""[..]), None),
        (Some(b"k\0"), Some(b"\xff")),
    ];
    let records = given.map(|(key, value)| Record {
        key,
        value,
        ..Record::default()
    });
    client(&cluster, &[])
        .produce("orders", &records, SOON)
        .unwrap();
    let read = read(&cluster, "orders", 3);
    let found: Vec<_> = read.iter().map(|r| (r.key(), r.payload())).collect();
    assert_eq!(found, given);
}

#[test]
fn headers_keep_their_order_and_their_duplicates() {
    let cluster = cluster("orders", 1);
    let headers: Vec<(&str, Option<&[u8]>)> = vec![
        ("trace", Some(b"1")),
        ("other", None),
        ("trace", Some(b"2")),
        ("empty", Some(b"")),
        ("trace", Some(b"1")),
    ];
    let record = Record {
        headers: headers.clone(),
        ..value(b"v")
    };
    client(&cluster, &[])
        .produce("orders", &[record, value(b"bare")], SOON)
        .unwrap();
    let read = read(&cluster, "orders", 2);
    let found: Vec<_> = read[0].headers().unwrap().iter().collect();
    let found: Vec<_> = found.iter().map(|h| (h.key, h.value)).collect();
    assert_eq!(found, headers);
    assert!(read[1].headers().is_none());
}

#[test]
fn a_given_timestamp_is_kept() {
    let cluster = cluster("orders", 1);
    let record = Record {
        timestamp: Some(1_700_000_000_123),
        ..value(b"v")
    };
    client(&cluster, &[])
        .produce("orders", &[record], SOON)
        .unwrap();
    let read = read(&cluster, "orders", 1);
    assert_eq!(
        read[0].timestamp(),
        Timestamp::CreateTime(1_700_000_000_123)
    );
}

#[test]
fn every_codec_is_built_in() {
    let cluster = cluster("orders", 1);
    let large = vec![b'x'; 10_000];
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let client = client(&cluster, &[("compression.type", codec)]);
        client.produce("orders", &[value(&large)], SOON).unwrap();
    }
    for record in read(&cluster, "orders", 4) {
        assert_eq!(record.payload(), Some(&large[..]));
    }
}

#[test]
fn more_records_than_the_queue_holds_all_arrive() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[("queue.buffering.max.messages", "100")]);
    let records = vec![value(b"v"); 5_000];
    let offsets = client.produce("orders", &records, SOON).unwrap();
    assert_eq!(offsets, (0..5_000).collect::<Vec<_>>());
}

#[test]
fn a_hundred_thousand_records_go_in_one_call() {
    let cluster = cluster("orders", 4);
    let client = client(&cluster, &[]);
    let records: Vec<_> = (0..100_000)
        .map(|n| Record {
            partition: n % 4,
            ..value(b"0123456789")
        })
        .collect();
    let offsets = client.produce("orders", &records, SOON).unwrap();
    assert!(offsets.iter().zip(0..).all(|(offset, n)| *offset == n / 4));
}
