//! What is committed, and when.

mod support;

use std::time::{Duration, Instant};

use consumer::Event;
use support::{set, Got, Lab, SOON};
use testing::State;

const OFFSET_COMMIT: i16 = 8;

#[test]
fn a_commit_result_names_what_the_broker_confirmed() {
    let lab = Lab::new(1);
    lab.fill(4);
    let mut member = lab.assigned_member(|_| {});
    member.committed(0, 0);
    let got = member.take(4);
    member.ack(&got);
    let (topic, latency) = member.event("commit", |event| match event {
        Event::Committed(offsets, latency) => {
            (offsets[0].offset == 4).then(|| (offsets[0].topic.clone(), *latency))
        }
        _ => None,
    });
    assert_eq!(topic, lab.topic);
    assert!(latency < SOON);
    assert_eq!(lab.committed(), [Some(4)]);
    // One that took long is sent again before it counts.
    while member.progress(0).committed != Some(4) {
        std::thread::yield_now();
    }
    let progress = member.progress(0);
    assert_eq!(progress.committable, 4);
    assert_eq!((progress.acked, progress.in_flight), (4, 0));
}

#[test]
fn without_an_interval_a_prefix_is_committed_as_soon_as_it_is_complete() {
    let lab = Lab::new(1);
    lab.fill(20);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::ZERO);
    let got = member.take(20);
    let started = Instant::now();
    for g in &got {
        member.ack([g]);
        member.committed(0, g.offset + 1);
    }
    // Twenty times the default interval would be four seconds.
    assert!(started.elapsed() < Duration::from_millis(3_500));
}

#[test]
fn a_commit_interval_is_waited_for_and_a_close_is_not_held_up_by_it() {
    let lab = Lab::new(1);
    lab.fill(4);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    member.committed(0, 0);
    let got = member.take(4);
    member.ack(&got);
    assert_eq!(member.progress(0).committable, 4);
    assert_eq!(lab.committed(), [Some(0)]);
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(4)]);
}

#[test]
fn acks_out_of_order_commit_only_what_has_no_gap_below_it() {
    let lab = Lab::new(1);
    lab.fill(5);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::ZERO);
    let got = member.take(5);
    member.ack([&got[4], &got[2], &got[0]]);
    member.committed(0, 1);
    assert_eq!(lab.committed(), [Some(1)]);
    let progress = member.progress(0);
    assert_eq!((progress.acked, progress.in_flight), (3, 2));
    member.ack([&got[1]]);
    member.committed(0, 3);
    assert_eq!(lab.committed(), [Some(3)]);
    member.ack([&got[3]]);
    member.committed(0, 5);
    assert_eq!(lab.committed(), [Some(5)]);
}

#[test]
fn acks_of_what_was_acked_before_or_never_delivered_are_harmless() {
    let lab = Lab::new(1);
    lab.fill(6);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::ZERO);
    let got = member.take(3);
    let first = &got[0];
    let foreign = [
        Got {
            offset: 4,
            ..first.clone()
        },
        Got {
            offset: 1_000_000,
            ..first.clone()
        },
        Got {
            offset: -1,
            ..first.clone()
        },
        Got {
            slot: 77,
            ..first.clone()
        },
        Got {
            epoch: first.epoch + 1,
            ..first.clone()
        },
    ];
    member.ack(&foreign);
    member.ack([first, first]);
    member.ack([first]);
    member.ack(&foreign);
    member.committed(0, 1);
    let progress = member.progress(0);
    assert_eq!((progress.acked, progress.in_flight), (1, 2));
    assert_eq!(progress.committable, 1);
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(1)]);
}

#[test]
fn a_commit_the_broker_refuses_is_reported_and_tried_again_until_it_is_done() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = lab.assigned_member(|_| {});
    member.committed(0, 0);
    let got = member.take(3);
    // INVALID_COMMIT_OFFSET_SIZE: one that librdkafka does not retry by itself.
    lab.cluster
        .request_errors(OFFSET_COMMIT, &[28, 28, 28])
        .unwrap();
    member.ack(&got);
    for _ in 0..3 {
        let (name, at) = member.event("failed commit", |event| match event {
            Event::CommitFailed(error, offsets) => {
                Some((error.code().unwrap().name(), offsets.clone()))
            }
            _ => None,
        });
        assert_eq!(name, "INVALID_COMMIT_OFFSET_SIZE");
        assert_eq!((at[0].partition, at[0].offset, at.len()), (0, 3, 1));
    }
    member.committed(0, 3);
    assert_eq!(lab.committed(), [Some(3)]);
}

#[test]
fn a_commit_survives_a_coordinator_that_is_loading_slow_or_gone_for_a_moment() {
    // COORDINATOR_LOAD_IN_PROGRESS, REQUEST_TIMED_OUT, NOT_COORDINATOR, a lost connection.
    for code in [14, 7, 16, -195] {
        let lab = Lab::new(1);
        lab.fill(3);
        // A session would be over before its next heartbeat.
        let mut member = lab.assigned_member(|config| set(config, "session.timeout.ms", "10000"));
        member.committed(0, 0);
        let got = member.take(3);
        lab.cluster
            .request_errors(OFFSET_COMMIT, &[code, code])
            .unwrap();
        member.ack(&got);
        member.committed(0, 3);
        assert_eq!(lab.committed(), [Some(3)], "after {code}");
    }
}

#[test]
fn one_commit_is_under_way_at_a_time_and_takes_all_that_gathered() {
    let lab = Lab::new(1);
    lab.fill(500);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::ZERO);
    let got = member.take(500);
    member.committed(0, 0);
    let rtt = Duration::from_millis(100);
    lab.cluster.broker(1, State::Rtt(rtt)).unwrap();
    let started = Instant::now();
    for g in &got {
        member.ack([g]);
    }
    let mut commits = 0;
    loop {
        let last = member.event("commit", |event| match event {
            Event::Committed(offsets, _) => Some(offsets[0].offset),
            _ => None,
        });
        commits += 1;
        if last == 500 {
            break;
        }
    }
    let elapsed = started.elapsed();
    // The first may have been on its way when the round trip time was set.
    assert!(elapsed >= rtt * (commits - 1), "{commits} in {elapsed:?}");
    assert!(commits < 100, "{commits} commits for 500 acks");
}

#[test]
fn a_commit_that_took_long_counts_once_it_was_sent_again() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = lab.assigned_member(|_| {});
    member.committed(0, 0);
    let got = member.take(3);
    let rtt = Duration::from_millis(700);
    lab.cluster.broker(1, State::Rtt(rtt)).unwrap();
    member.ack(&got);
    let mut next_commit = || {
        let committed = member.event("commit", |event| match event {
            Event::Committed(offsets, latency) => (offsets[0].offset == 3).then_some(*latency),
            _ => None,
        });
        (committed, member.progress(0).committed)
    };
    let (latency, counted) = next_commit();
    assert!(latency >= rtt);
    assert_eq!(counted, Some(0));
    assert_eq!(next_commit().1, Some(3));
}
