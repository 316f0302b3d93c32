//! A group's committed offsets, seen and set from outside.

mod support;

use std::time::{Duration, Instant};

use support::{client, cluster, value, SOON};
use testing::{RDKafkaErrorCode, State};

#[test]
fn a_commit_is_read_back_and_other_groups_and_partitions_have_none() {
    let cluster = cluster("orders", 2);
    let writer = client(&cluster, &[]);
    writer
        .commit("billing", &[("orders", 1, 42)], "", SOON)
        .unwrap();
    let reader = client(&cluster, &[]);
    let asked = [("orders", 1), ("orders", 0)];
    let (one, zero) = (("orders".to_owned(), 1), ("orders".to_owned(), 0));
    assert_eq!(
        reader.committed("billing", &asked, SOON).unwrap(),
        [
            (one.0.clone(), one.1, Some(42)),
            (zero.0.clone(), zero.1, None)
        ]
    );
    assert_eq!(
        reader.committed("shipping", &asked, SOON).unwrap(),
        [(one.0, one.1, None), (zero.0, zero.1, None)]
    );
}

#[test]
fn a_later_commit_replaces_the_earlier_even_by_a_lower_offset() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    for offset in [10, 3] {
        client
            .commit("billing", &[("orders", 0, offset)], "", SOON)
            .unwrap();
        let committed = client.committed("billing", &[("orders", 0)], SOON).unwrap();
        assert_eq!(committed, [("orders".to_owned(), 0, Some(offset))]);
    }
}

#[test]
fn without_a_broker_both_end_within_their_timeout() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    cluster.broker(-1, State::Down).unwrap();
    let timeout = Duration::from_millis(300);
    let started = Instant::now();
    let commit = client.commit("billing", &[("orders", 0, 1)], "", timeout);
    let committed = client.committed("billing", &[("orders", 0)], timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
    let code = RDKafkaErrorCode::OperationTimedOut;
    assert_eq!(commit.unwrap_err().code(), code);
    assert_eq!(committed.unwrap_err().code(), code);
}

#[test]
fn a_topic_name_no_broker_could_have_is_an_error() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    for name in ["or\0ders", &"o".repeat(1_000)] {
        let errors = [
            client.committed("billing", &[(name, 0)], SOON).unwrap_err(),
            client.partitions(name, SOON).unwrap_err(),
            client.watermarks(name, 0, SOON).unwrap_err(),
            client.produce(name, &[value(b"v")], SOON).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), RDKafkaErrorCode::InvalidArgument);
        }
    }
}
