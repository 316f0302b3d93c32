//! What a broker refuses, by topic and by partition: told, and got over without a gap.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use consumer::{Config, Event, ResetPolicy};
use support::{offsets, pump_until, record_at, set, Got, Lab, Member, SOON};

const FETCH: i16 = 1;
const JOIN_GROUP: i16 = 11;

fn error_named(member: &mut Member, name: &str) -> consumer::Error {
    member.event(name, |event| match event {
        Event::Error(error) => (error.code()?.name() == name).then(|| error.clone()),
        _ => None,
    })
}

/// With this its log tells when a member has read a partition to its end.
fn watched(config: &mut Config) {
    config
        .properties
        .push(("debug".to_owned(), "fetch".to_owned()));
}

/// librdkafka lets the end of a partition pass for an error that is answered with it.
fn at_end(member: &mut Member, partition: i32, offset: i64) {
    let text = format!("[{partition}]: Fetch failed at offset {offset} ");
    member.event("end of partition", |event| match event {
        Event::Log { message, .. } => {
            (message.contains(&text) && message.contains("_PARTITION_EOF")).then_some(())
        }
        _ => None,
    });
}

fn place(error: &consumer::Error) -> (Option<&str>, Option<i32>) {
    match error {
        consumer::Error::Kafka {
            topic, partition, ..
        } => (topic.as_deref(), *partition),
        _ => (None, None),
    }
}

#[test]
fn a_topic_without_permission_is_told_by_code_and_name_and_works_once_permitted() {
    let lab = Lab::new(1);
    lab.fill(3);
    lab.cluster.topic_error(&lab.topic, 29).unwrap();
    let mut member = lab.member_with(|config| {
        let refresh = (
            "topic.metadata.refresh.interval.ms".to_owned(),
            "100".to_owned(),
        );
        config.properties.push(refresh);
    });
    let error = error_named(&mut member, "TOPIC_AUTHORIZATION_FAILED");
    assert_eq!(place(&error).0, Some(lab.topic.as_str()));
    assert!(!error.is_retryable() && !error.is_fatal());
    lab.cluster.topic_error(&lab.topic, 0).unwrap();
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn an_unknown_topic_is_told_by_code_and_name_and_the_others_are_read() {
    let lab = Lab::new(1);
    lab.fill(3);
    let unknown = support::random_name("unheard-of");
    let mut member = lab.member_with(|config| {
        config.topics.push(consumer::Topic {
            name: unknown.clone(),
            reset: ResetPolicy::Earliest,
        });
        let none = ("allow.auto.create.topics".to_owned(), "false".to_owned());
        config.properties.push(none);
        let at_once = (
            "topic.metadata.propagation.max.ms".to_owned(),
            "1".to_owned(),
        );
        config.properties.push(at_once);
    });
    let error = error_named(&mut member, "UNKNOWN_TOPIC_OR_PART");
    assert_eq!(place(&error).0, Some(unknown.as_str()));
    assert!(error.is_retryable());
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn a_fetch_refused_by_the_broker_is_told_by_partition_and_leaves_no_gap() {
    let lab = Lab::new(1);
    lab.fill(10);
    let mut member = lab.assigned_member(watched);
    let got = member.take(10);
    member.ack(&got[..5]);
    for round in 0..5 {
        at_end(&mut member, 0, 10 + 2 * round);
        // TOPIC_AUTHORIZATION_FAILED: librdkafka hands it to the application.
        lab.cluster.request_errors(FETCH, &[29]).unwrap();
        let (refused, none) = member.pull_until("refusal", |event| match event {
            Event::Error(error) => Some(error.clone()),
            _ => None,
        });
        assert_eq!(
            (none.len(), refused.code().unwrap().name()),
            (0, "TOPIC_AUTHORIZATION_FAILED")
        );
        assert_eq!(place(&refused), (Some(lab.topic.as_str()), Some(0)));
        lab.fill(2);
        let more = member.take(2);
        assert_eq!(offsets(&more, 0), [10 + 2 * round, 11 + 2 * round]);
        member.ack(&more);
    }
    assert_eq!(member.progress(0).in_flight, 5);
    member.ack(&got);
    member.committed(0, 20);
}

#[test]
fn refused_fetches_and_a_rebalance_after_them_lose_nothing() {
    let lab = Lab::new(4);
    lab.fill(50);
    let first = lab.assigned_member(|_| {});
    let mut handled = Vec::new();
    pump_until(&[&first], &mut handled, |h| h.len() >= 60);
    let all = |end: i64| {
        move |handled: &[(usize, Got)]| {
            let ids = handled.iter().map(|(_, g)| (g.partition, g.offset));
            ids.collect::<BTreeSet<_>>().len() as i64 == 4 * end
        }
    };
    // Handed to the application, and by librdkafka retried: not leader, unknown, timed out.
    lab.cluster
        .request_errors(FETCH, &[29, 6, 29, 3, 7, 29])
        .unwrap();
    lab.fill(50);
    pump_until(&[&first], &mut handled, all(100));
    let mut second = lab.member();
    let mut end = 100;
    while handled.iter().all(|(member, _)| *member == 0) {
        lab.cluster.request_errors(FETCH, &[29, 6]).unwrap();
        lab.fill(20);
        end += 20;
        pump_until(&[&first, &second], &mut handled, all(end));
    }
    second.close().unwrap();
    lab.fill(20);
    pump_until(&[&first], &mut handled, all(end + 20));
    // Within an epoch at most once, and in order.
    let mut last = BTreeMap::new();
    for (member, g) in &handled {
        let before = last.insert((member, g.slot, g.epoch), g.offset);
        assert!(before < Some(g.offset), "{g:?} after {before:?}");
    }
}

type Reset = (String, i32, i64, i64);

fn reset(event: &Event) -> Option<Reset> {
    match event {
        Event::Reset {
            topic,
            partition,
            from,
            to,
        } => Some((topic.clone(), *partition, *from, *to)),
        _ => None,
    }
}

#[test]
fn a_position_that_is_gone_is_told_and_set_by_the_policy() {
    // The mock cluster keeps five mebibytes of a partition.
    let lab = Lab::new(2);
    let value = vec![7; 500_000];
    for _ in 0..14 {
        lab.produce(&[record_at(0, &value)]);
    }
    lab.fill_one(1, 3);
    lab.commit(0, 1);
    let (low, high) = lab.client.watermarks(&lab.topic, 0, SOON).unwrap();
    assert!(low > 1, "nothing was deleted");
    let mut member = lab.assigned_member(|_| {});
    let other = member.take(3);
    assert_eq!(offsets(&other, 1), [0, 1, 2]);
    let (found, mut got) = member.pull_until("reset", reset);
    assert_eq!(found, (lab.topic.clone(), 0, 1, low));
    got.extend(member.take((high - low) as usize - got.len()));
    assert_eq!(offsets(&got, 0), (low..high).collect::<Vec<i64>>());
    member.ack(&got);
    member.committed(0, high);
    member.ack(&other);
    member.committed(1, 3);
}

/// A member at the end of two partitions, where one was answered that it is out of range.
fn out_of_range(policy: ResetPolicy, eager: bool) -> (Lab, Member, Reset, Vec<Got>) {
    let lab = Lab::new(2);
    lab.fill(10);
    let mut member = lab.assigned_member(|config| {
        watched(config);
        config.topics[0].reset = policy;
        if eager {
            let range = (
                "partition.assignment.strategy".to_owned(),
                "range".to_owned(),
            );
            config.properties.push(range);
        }
    });
    if policy == ResetPolicy::Latest {
        lab.fill(10);
    }
    let got = member.take(20);
    member.ack(&got);
    let end = got.iter().map(|g| g.offset).max().unwrap() + 1;
    (0..2).for_each(|partition| at_end(&mut member, partition, end));
    // OFFSET_OUT_OF_RANGE.
    lab.cluster.request_errors(FETCH, &[1]).unwrap();
    let (reset, got) = member.pull_until("reset", reset);
    assert_eq!(reset.2, end);
    (lab, member, reset, got)
}

#[test]
fn an_offset_out_of_range_with_earliest_goes_back_to_the_oldest_record() {
    for eager in [false, true] {
        let (_lab, mut member, (_, partition, _, to), mut got) =
            out_of_range(ResetPolicy::Earliest, eager);
        assert_eq!(to, 0);
        while offsets(&got, partition).len() < 10 {
            got.extend(member.take(1));
        }
        assert_eq!(offsets(&got, partition), (0..10).collect::<Vec<i64>>());
        member.ack(&got);
        member.committed(partition, 10);
    }
}

#[test]
fn an_offset_out_of_range_with_latest_goes_on_with_the_next_record() {
    for eager in [false, true] {
        let (lab, mut member, (_, partition, _, to), none) =
            out_of_range(ResetPolicy::Latest, eager);
        assert_eq!((to, none.len()), (20, 0));
        // The same answer may have been for the other one too, whose reset comes when it comes.
        lab.fill_one(partition, 2);
        let got = member.take(2);
        assert_eq!(offsets(&got, partition), [20, 21]);
        member.ack(&got);
        member.committed(partition, 22);
    }
}

#[test]
fn a_join_the_broker_refuses_is_tried_again() {
    let lab = Lab::new(1);
    lab.fill(3);
    // COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
    lab.cluster.request_errors(JOIN_GROUP, &[14, 16]).unwrap();
    let member = lab.member();
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn an_outage_of_every_broker_is_told_and_got_over() {
    use testing::State;
    let lab = Lab::new(2);
    lab.fill(5);
    // A session would be over before its next heartbeat.
    let mut member = lab.assigned_member(|config| set(config, "session.timeout.ms", "10000"));
    let got = member.take(10);
    lab.cluster.broker(-1, State::Down).unwrap();
    let error = error_named(&mut member, "_ALL_BROKERS_DOWN");
    assert!(error.is_retryable() && !error.is_fatal());
    member.ack(&got);
    lab.cluster.broker(-1, State::Up).unwrap();
    (0..2).for_each(|partition| member.committed(partition, 5));
    lab.fill(5);
    let mut handled = Vec::new();
    pump_until(&[&member], &mut handled, |h| h.len() >= 10);
    (0..2).for_each(|partition| member.committed(partition, 10));
    let started = Instant::now();
    member.close().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
}
