//! Leaving: exact, bounded, and the same however often it is asked for.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use consumer::{Error, Event};
use support::{offsets, Got, Lab, SOON};
use testing::State;

const OFFSET_FETCH: i16 = 9;

#[test]
fn a_close_commits_exactly_the_acked_prefix() {
    let lab = Lab::new(3);
    lab.fill(100);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    let got = member.take(300);
    let held = [7, 0, 99];
    member.ack(
        got.iter()
            .filter(|g| g.offset != held[g.partition as usize]),
    );
    member.close().unwrap();
    assert_eq!(lab.committed(), held.map(Some));
}

#[test]
fn a_member_that_is_given_all_the_time_there_is_leaves_when_it_can() {
    let lab = Lab::new(1);
    lab.fill(2);
    let mut member = lab.assigned_member(|config| {
        config.commit_interval = Duration::MAX;
        config.drain_timeout = Duration::MAX;
    });
    let got = member.take(2);
    member.ack(&got[..1]);
    member.consumer().close(Duration::MAX);
    member.wait_closed().unwrap();
    assert_eq!(lab.committed(), [Some(1)]);
}

#[test]
fn a_close_while_busy_is_in_time_exact_and_the_end_of_delivery() {
    let lab = Lab::new(2);
    lab.fill(3000);
    let mut member = lab.assigned_member(|_| {});
    let acked: Mutex<[i64; 2]> = Mutex::default();
    let (busy, closed) = (AtomicBool::new(false), AtomicBool::new(false));
    let timeout = Duration::from_secs(10);
    let asked = thread::scope(|scope| {
        scope.spawn(|| {
            // Handles what there is until it is told; what it got by then stays unacked.
            while !closed.load(Ordering::SeqCst) {
                let got = member.pull_all();
                let mut acked = acked.lock().unwrap();
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                for g in &got {
                    acked[g.partition as usize] = g.offset + 1;
                }
                member.ack(&got);
                busy.store(acked.iter().sum::<i64>() > 500, Ordering::SeqCst);
                drop(acked);
                lab.fill(5);
            }
        });
        while !busy.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let _acked = acked.lock().unwrap();
        closed.store(true, Ordering::SeqCst);
        member.consumer().close(timeout);
        Instant::now()
    });
    member.wait_closed().unwrap();
    assert!(asked.elapsed() < timeout);
    assert_eq!(lab.committed(), acked.lock().unwrap().map(Some));
    lab.fill(5);
    assert!(member.pull_all().is_empty());
}

#[test]
fn the_next_member_begins_at_exactly_the_next_record() {
    let lab = Lab::new(1);
    lab.fill(50);
    let mut next = 0;
    for count in [7, 1, 20] {
        let mut member = lab.member();
        let got = member.take(count + 3);
        let expected: Vec<i64> = (next..next + count as i64 + 3).collect();
        assert_eq!(offsets(&got, 0), expected);
        member.ack(&got[..count]);
        next += count as i64;
        member.close().unwrap();
        assert_eq!(lab.committed(), [Some(next)]);
    }
}

#[test]
fn a_close_with_records_in_flight_waits_for_none_of_them() {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut member = lab.assigned_member(|config| config.drain_timeout = SOON);
    let got = member.take(20);
    let started = Instant::now();
    member.close().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(lab.committed(), [Some(0), Some(0)]);
    member.ack(&got);
    assert_eq!(lab.committed(), [Some(0), Some(0)]);
}

#[test]
fn a_close_with_every_broker_down_ends_within_two_seconds() {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut member = lab.assigned_member(|_| {});
    let got = member.take(20);
    (0..2).for_each(|partition| member.committed(partition, 0));
    lab.cluster.broker(-1, State::Down).unwrap();
    member.event("outage", |event| match event {
        Event::Error(error) => (error.code()?.name() == "_ALL_BROKERS_DOWN").then_some(()),
        _ => None,
    });
    member.ack(&got);
    let started = Instant::now();
    assert_uncommitted(&member.close());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_close_in_the_moment_of_an_outage_ends_within_two_seconds_and_says_what_is_uncommitted() {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    let got = member.take(20);
    (0..2).for_each(|partition| member.committed(partition, 0));
    member.ack(&got);
    lab.cluster.broker(-1, State::Down).unwrap();
    let started = Instant::now();
    assert_uncommitted(&member.close());
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

fn assert_uncommitted(result: &Result<(), Error>) {
    assert!(matches!(result, Err(Error::Kafka { .. })), "{result:?}");
}

#[test]
fn a_close_of_a_member_that_never_reached_a_broker_ends_within_two_seconds() {
    let lab = Lab::new(1);
    lab.cluster.broker(-1, State::Down).unwrap();
    let mut member = lab.member();
    member.event("outage", |event| match event {
        Event::Error(error) => (error.code()?.name() == "_ALL_BROKERS_DOWN").then_some(()),
        _ => None,
    });
    let started = Instant::now();
    let _ = member.close();
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_close_is_bounded_by_its_timeout_when_a_broker_does_not_answer() {
    let lab = Lab::new(1);
    lab.fill(5);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    let got = member.take(5);
    member.committed(0, 0);
    member.ack(&got);
    lab.cluster
        .broker(1, State::Rtt(Duration::from_secs(30)))
        .unwrap();
    let started = Instant::now();
    member.consumer().close(Duration::from_secs(1));
    let result = member.wait_closed();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_uncommitted(&result);
}

#[test]
fn a_second_close_changes_nothing_and_every_call_after_it_is_harmless() {
    let lab = Lab::new(1);
    lab.fill(5);
    let mut member = lab.assigned_member(|_| {});
    member.consumer().attach(0).unwrap();
    let got = member.take(3);
    member.ack(&got[..1]);
    member.consumer().close(SOON);
    member.consumer().close(Duration::ZERO);
    member.wait_closed().unwrap();
    member.consumer().close(SOON);
    let pulled = member.consumer().pull(0, 10, || true).unwrap();
    assert!(pulled.records.is_empty() && !pulled.more);
    member.ack(&got);
    assert!(matches!(member.consumer().progress(), Err(Error::Closed)));
    assert!(matches!(member.consumer().attach(0), Err(Error::Closed)));
    assert_eq!(lab.committed(), [Some(1)]);
    let more = member
        .unread()
        .iter()
        .any(|e| matches!(e, Event::Closed(_)));
    assert!(!more, "two ends");
}

#[test]
fn a_member_that_is_dropped_commits_and_leaves_like_one_that_is_closed() {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut first = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    let got = first.take(20);
    first.ack(got.iter().filter(|g| g.offset < 4));
    first.drop_consumer();
    first.wait_closed().unwrap();
    assert_eq!(lab.committed(), [Some(4), Some(4)]);
    let mut second = lab.member();
    assert!(second.assigned().iter().all(|a| a.start == 4));
}

#[test]
fn a_close_during_the_look_up_of_start_positions_ends_in_time_and_assigns_nothing() {
    let lab = Lab::new(1);
    lab.fill(5);
    // COORDINATOR_LOAD_IN_PROGRESS, more often than it can be asked before the end.
    lab.cluster
        .request_errors(OFFSET_FETCH, &[14; 1000])
        .unwrap();
    let mut member = lab.member_with(|config| {
        config.properties.push(("debug".into(), "cgrp".into()));
    });
    member.event("assignment to look up", |event| match event {
        Event::Log { message, .. } => {
            (message.contains("delegating") && message.contains("assign of")).then_some(())
        }
        _ => None,
    });
    let started = Instant::now();
    let _ = member.close();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let assigned = member
        .unread()
        .iter()
        .any(|e| matches!(e, Event::Assigned(_)));
    assert!(!assigned);
    let none: Vec<Got> = member.pull_all();
    assert!(none.is_empty());
}

#[test]
fn a_member_that_is_closed_before_its_first_assignment_has_left_its_group() {
    let lab = Lab::new(2);
    let late = State::Rtt(Duration::from_millis(200));
    lab.cluster.broker(-1, late).unwrap();
    let mut first = lab.member_with(|config| {
        config.properties.push(("debug".into(), "cgrp".into()));
    });
    first.event("join", |event| match event {
        Event::Log { message, .. } => message.contains("-> wait-sync").then_some(()),
        _ => None,
    });
    first.close().unwrap();
    let left = first.unread().iter().any(
        |event| matches!(event, Event::Log { message, .. } if message.contains("leave (in state up)")),
    );
    assert!(left);
}

#[test]
fn a_close_during_a_drain_ends_it() {
    let lab = Lab::new(2);
    lab.fill(4);
    let mut first = lab.assigned_member(|config| {
        config.drain_timeout = SOON;
        config.properties.push(("debug".into(), "cgrp".into()));
    });
    let got = first.take(8);
    first.ack(got.iter().filter(|g| g.offset == 0));
    (0..2).for_each(|partition| first.committed(partition, 1));
    let mut second = lab.member();
    first.revoke_begun();
    let started = Instant::now();
    first.close().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    let mut owned = 0;
    while owned < 2 {
        let assigned = second.assigned();
        assert!(assigned.iter().all(|a| a.start == 1), "{assigned:?}");
        owned += assigned.len();
    }
}
