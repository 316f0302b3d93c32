//! What whoever operates a member asks of it while it runs: to pause, to resume, to seek, to read other topics.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use consumer::{Error, Event, Paused, ResetPolicy, Scope, SeekTo, Sought, Subject, Topic};
use support::{offsets, random_name, record_at, Got, Lab, Member};

const BUFFER: u64 = 1_000_000;
const VALUE: usize = 1_000;

fn partition(lab: &Lab, number: i32) -> Scope {
    Scope::Some(vec![Subject::Partition(lab.topic.clone(), number)])
}

fn topic(lab: &Lab) -> Scope {
    Scope::Some(vec![Subject::Topic(lab.topic.clone())])
}

fn at(lab: &Lab, number: i32, to: SeekTo) -> Vec<(String, i32, SeekTo)> {
    vec![(lab.topic.clone(), number, to)]
}

fn sought(member: &mut Member) -> Vec<Sought> {
    member.event("seek", |event| match event {
        Event::Sought(sought) => Some(sought.clone()),
        _ => None,
    })
}

fn count(got: &[Got], partition: i32) -> usize {
    got.iter().filter(|g| g.partition == partition).count()
}

#[test]
fn a_paused_member_delivers_nothing_and_a_resumed_one_goes_on_where_it_was() {
    let lab = Lab::new(2);
    lab.fill(20);
    let mut member = lab.assigned_member(|_| {});
    let mut got = member.take(10);
    member.consumer().pause(Scope::All).unwrap();
    assert!(member.progress(0).paused && member.progress(1).paused);
    // Whatever is prefetched, or comes.
    lab.fill(5);
    assert_eq!(member.pull_all(), []);
    // What was delivered before is acked and committed.
    member.ack(&got);
    for p in 0..2 {
        member.committed(p, count(&got, p) as i64);
    }
    member.consumer().resume(Scope::All).unwrap();
    assert!(!member.progress(0).paused);
    got.extend(member.take(40));
    for p in 0..2 {
        assert_eq!(offsets(&got, p), (0..25).collect::<Vec<i64>>());
    }
}

#[test]
fn a_paused_partition_keeps_its_records_back_and_the_others_go_on() {
    let lab = Lab::new(3);
    lab.fill(30);
    let member = lab.assigned_member(|_| {});
    let mut got = member.take(9);
    member.consumer().pause(partition(&lab, 1)).unwrap();
    let before = count(&got, 1);
    let of_others = 60 - count(&got, 0) - count(&got, 2);
    got.extend(member.take(of_others));
    assert_eq!(count(&got, 1), before);
    assert!(member.progress(1).paused && !member.progress(0).paused);
    member.consumer().resume(partition(&lab, 1)).unwrap();
    got.extend(member.take(30 - before));
    for p in 0..3 {
        assert_eq!(offsets(&got, p), (0..30).collect::<Vec<i64>>());
    }
}

#[test]
fn a_resumption_wakes_a_lane_that_waits() {
    let lab = Lab::new(1);
    lab.fill(5);
    for scope in [Scope::All, topic(&lab), partition(&lab, 0)] {
        let member = lab.assigned_member(|config| config.paused = paused(&scope));
        assert_eq!(member.pull_all(), []);
        member.wakes.try_iter().for_each(drop);
        member.consumer().resume(scope).unwrap();
        assert_eq!(offsets(&member.take(5), 0), [0, 1, 2, 3, 4]);
    }
}

fn paused(scope: &Scope) -> Paused {
    match scope {
        Scope::All => Paused {
            all: true,
            ..Paused::default()
        },
        Scope::Some(subjects) => Paused {
            all: false,
            subjects: BTreeSet::from_iter(subjects.iter().cloned()),
        },
    }
}

#[test]
fn what_a_pause_keeps_back_is_bounded() {
    let lab = Lab::new(2);
    let value = vec![b'x'; VALUE];
    for p in 0..2 {
        for _ in 0..20 {
            lab.produce(&vec![record_at(p, &value); 100]);
        }
    }
    let member = lab.assigned_member(|config| config.max_buffered_bytes = BUFFER);
    member.consumer().pause(partition(&lab, 0)).unwrap();
    let got = member.take(2_000);
    assert_eq!(count(&got, 1), 2_000);
    let parked = member.consumer().buffered().parked_bytes;
    assert!(
        parked <= BUFFER as usize / 2 + 4 * (VALUE + 400),
        "{parked}"
    );
    member.consumer().resume(partition(&lab, 0)).unwrap();
    assert_eq!(
        offsets(&member.take(2_000), 0),
        (0..2_000).collect::<Vec<i64>>()
    );
}

#[test]
fn a_pause_stays_when_the_partition_is_given_back_and_comes_again() {
    let lab = Lab::new(2);
    lab.fill(5);
    let mut first = lab.assigned_member(|_| {});
    first.consumer().pause(topic(&lab)).unwrap();
    let mut second = lab.member();
    first.revoked();
    let got = second.take(5);
    second.ack(&got);
    second.close().unwrap();
    let (again, none) = first.pull_until("assignment", |event| match event {
        Event::Assigned(assigned) => Some(assigned.clone()),
        _ => None,
    });
    assert_eq!((again.len(), none), (1, vec![]));
    assert!(first.progress(0).paused && first.progress(1).paused);
    lab.fill_one(again[0].partition, 1);
    assert_eq!(first.pull_all(), []);
    first.consumer().resume(Scope::All).unwrap();
    assert_eq!(first.take(6).len(), 6);
}

#[test]
fn paused_partitions_are_given_back_at_once_and_nothing_of_them_is_missing() {
    let lab = Lab::new(2);
    lab.fill(50);
    let mut first = lab.assigned_member(|_| {});
    first.consumer().pause(partition(&lab, 0)).unwrap();
    let got = first.take(50);
    first.ack(&got);
    first.consumer().pause(Scope::All).unwrap();
    let begun = Instant::now();
    first.close().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(lab.committed(), [Some(0), Some(50)]);
    let second = lab.assigned_member(|_| {});
    assert_eq!(offsets(&second.take(50), 0), (0..50).collect::<Vec<i64>>());
}

#[test]
fn what_is_redelivered_of_a_paused_partition_waits_and_is_not_told_as_stalled() {
    let lab = Lab::new(1);
    lab.fill(10);
    let timeout = Duration::from_millis(200);
    let mut member = lab.assigned_member(|config| config.unacked_timeout = Some(timeout));
    let got = member.take(4);
    member.consumer().pause(Scope::All).unwrap();
    member.consumer().redeliver(vec![got[0].slot]).unwrap();
    // Once it is done; what was told before is no news.
    member.progress(0);
    member.unread().clear();
    let told = |event: &Event| matches!(event, Event::Stalled(_));
    let end = Instant::now() + 4 * timeout;
    while let Ok(event) = member.events.recv_deadline(end) {
        assert!(!told(&event), "{event:?}");
    }
    assert_eq!(member.pull_all(), []);
    member.consumer().resume(Scope::All).unwrap();
    assert_eq!(offsets(&member.take(10), 0), (0..10).collect::<Vec<i64>>());
    // Now somebody has it who does not ack it.
    member.event("stall", |event| told(event).then_some(()));
}

#[test]
fn what_is_not_assigned_is_neither_paused_nor_resumed_nor_sought_and_nothing_of_the_call_is_done() {
    let lab = Lab::new(1);
    lab.fill(3);
    let member = lab.assigned_member(|_| {});
    let ours = Subject::Partition(lab.topic.clone(), 0);
    let strangers = [
        Subject::Partition(lab.topic.clone(), 7),
        Subject::Topic("another".into()),
    ];
    for stranger in strangers {
        let scope = || Scope::Some(vec![ours.clone(), stranger.clone()]);
        for refused in [
            member.consumer().pause(scope()),
            member.consumer().resume(scope()),
        ] {
            assert!(
                matches!(refused, Err(Error::NotAssigned { .. })),
                "{refused:?}"
            );
        }
    }
    let mut places = at(&lab, 0, SeekTo::Offset(2));
    places.extend(at(&lab, 7, SeekTo::End));
    let refused = member.consumer().seek(places);
    assert!(matches!(
        refused,
        Err(Error::NotAssigned {
            partition: Some(7),
            ..
        })
    ));
    assert!(!member.progress(0).paused);
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn what_is_paused_with_more_is_not_resumed_by_itself() {
    let lab = Lab::new(1);
    let member = lab.assigned_member(|_| {});
    for larger in [Scope::All, topic(&lab)] {
        member.consumer().pause(larger.clone()).unwrap();
        let refused = member.consumer().resume(partition(&lab, 0));
        assert!(matches!(refused, Err(Error::Paused { .. })), "{refused:?}");
        assert!(member.progress(0).paused);
        member.consumer().resume(larger).unwrap();
        assert!(!member.progress(0).paused);
    }
}

#[test]
fn pauses_and_resumptions_are_told_once_each_with_what_is_paused() {
    let lab = Lab::new(1);
    let mut member = lab.assigned_member(|_| {});
    for _ in 0..2 {
        member.consumer().pause(topic(&lab)).unwrap();
    }
    for _ in 0..2 {
        member.consumer().resume(Scope::All).unwrap();
    }
    member.consumer().progress().unwrap();
    let told = member.unread().drain(..).filter_map(|event| match event {
        Event::Paused(paused) => Some((true, paused)),
        Event::Resumed(paused) => Some((false, paused)),
        _ => None,
    });
    let expected = [(true, paused(&topic(&lab))), (false, Paused::default())];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn a_seek_goes_on_at_its_position_in_order_and_commits_it() {
    let lab = Lab::new(1);
    lab.fill(100);
    let mut member = lab.assigned_member(|_| {});
    let got = member.take(60);
    member.ack(&got);
    member.committed(0, 60);
    let places = [
        (SeekTo::Offset(20), 20),
        (SeekTo::Beginning, 0),
        (SeekTo::Offset(90), 90),
        (SeekTo::End, 100),
        (SeekTo::Offset(100), 100),
        (SeekTo::Offset(0), 0),
    ];
    for (epoch, (to, offset)) in (2..).zip(places) {
        member.consumer().seek(at(&lab, 0, to)).unwrap();
        let sought = sought(&mut member);
        assert_eq!((sought[0].epoch, sought[0].to), (epoch, offset));
        member.event("commit of it", |event| match event {
            Event::Committed(offsets, _) => (offsets[0].offset == offset).then_some(()),
            _ => None,
        });
        let next = member.take(usize::try_from(100 - offset).unwrap().min(10));
        let expected: Vec<i64> = (offset..100).take(10).collect();
        assert_eq!(offsets(&next, 0), expected);
    }
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(0)]);
}

#[test]
fn an_ack_of_what_was_delivered_before_a_seek_changes_nothing() {
    let lab = Lab::new(1);
    lab.fill(10);
    let mut member = lab.assigned_member(|_| {});
    let before = member.take(10);
    member
        .consumer()
        .seek(at(&lab, 0, SeekTo::Offset(2)))
        .unwrap();
    assert_eq!(sought(&mut member)[0].unacked, 10);
    member.ack(&before);
    let after = member.take(8);
    assert_eq!(offsets(&after, 0), (2..10).collect::<Vec<i64>>());
    assert_eq!(
        (member.progress(0).acked, member.progress(0).in_flight),
        (0, 8)
    );
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(2)]);
}

#[test]
fn a_paused_partition_is_sought_and_stays_paused() {
    let lab = Lab::new(1);
    lab.fill(10);
    let member = lab.assigned_member(|_| {});
    member.consumer().pause(partition(&lab, 0)).unwrap();
    // What is prefetched is parked by this.
    assert_eq!(member.pull_all(), []);
    member
        .consumer()
        .seek(at(&lab, 0, SeekTo::Offset(7)))
        .unwrap();
    assert_eq!(member.pull_all(), []);
    member.consumer().resume(partition(&lab, 0)).unwrap();
    assert_eq!(offsets(&member.take(3), 0), [7, 8, 9]);
}

#[test]
fn an_offset_that_a_partition_has_not_is_refused_and_nothing_is_sought() {
    let lab = Lab::new(2);
    lab.fill(5);
    let member = lab.assigned_member(|_| {});
    let mut places = at(&lab, 0, SeekTo::Offset(3));
    places.extend(at(&lab, 1, SeekTo::Offset(6)));
    let Err(Error::Kafka {
        code,
        message,
        partition,
        ..
    }) = member.consumer().seek(places)
    else {
        panic!("it was not refused")
    };
    assert_eq!((code.name(), partition), ("OFFSET_OUT_OF_RANGE", Some(1)));
    assert!(
        message.contains("seek to 6") && message.contains("ends at 5"),
        "{message}"
    );
    let got = member.take(10);
    assert_eq!(offsets(&got, 0), [0, 1, 2, 3, 4]);
}

fn topics(names: &[&str], reset: ResetPolicy) -> Vec<Topic> {
    let topic = |name: &&str| Topic {
        name: (*name).to_owned(),
        reset,
    };
    names.iter().map(topic).collect()
}

fn cooperative(properties: &mut Vec<(String, String)>) {
    let name = "partition.assignment.strategy";
    properties.push((name.into(), "cooperative-sticky".into()));
}

#[test]
fn topics_that_go_are_drained_and_committed_and_new_ones_start_by_their_policy() {
    for (reset, start) in [(ResetPolicy::Earliest, 0), (ResetPolicy::Latest, 1)] {
        let lab = Lab::new(1);
        let other = random_name("refunds");
        lab.cluster.create_topic(&other, 1).unwrap();
        lab.client
            .produce(&other, &[record_at(0, b"0")], support::SOON)
            .unwrap();
        lab.fill(5);
        let mut member = lab.assigned_member(|config| cooperative(&mut config.properties));
        let got = member.take(5);
        let both = topics(&[&lab.topic, &other], reset);
        member.consumer().update_topics(both).unwrap();
        let added = member.assigned();
        assert_eq!((&added[0].topic, added[0].start), (&other, start));
        // In flight when its topic goes.
        let one = topics(&[&other], reset);
        member.consumer().update_topics(one).unwrap();
        assert_eq!(
            member.unread_revoke_within(Duration::from_millis(500)),
            None
        );
        member.ack(&got);
        let (revoked, _) = member.revoked();
        assert_eq!(
            (&revoked[0].topic, revoked[0].unacked),
            (&lab.topic, 0),
            "{revoked:?}"
        );
        assert_eq!(lab.committed(), [Some(5)]);
    }
}

#[test]
fn a_topic_that_does_not_exist_is_refused_and_the_others_stay() {
    let lab = Lab::new(1);
    lab.fill(3);
    let member = lab.assigned_member(|_| {});
    let names = ["no-such-topic", &lab.topic];
    let refused = member
        .consumer()
        .update_topics(topics(&names, ResetPolicy::Latest));
    let Err(Error::Kafka { code, topic, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(code.name(), "UNKNOWN_TOPIC_OR_PART");
    assert_eq!(topic.as_deref(), Some("no-such-topic"));
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
}

#[test]
fn topics_stay_without_a_rebalance_when_only_their_policies_change() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = lab.assigned_member(|_| {});
    let same = topics(&[&lab.topic], ResetPolicy::Latest);
    member.consumer().update_topics(same).unwrap();
    assert_eq!(offsets(&member.take(3), 0), [0, 1, 2]);
    let told = |event: &Event| matches!(event, Event::Subscribed(topics) if topics[0].reset == ResetPolicy::Latest);
    member.event("subscription", |event| told(event).then_some(()));
    assert_eq!(member.unread_revoke_within(Duration::from_secs(1)), None);
}

#[test]
fn a_closed_member_says_that_it_is() {
    let lab = Lab::new(1);
    let mut member = lab.assigned_member(|_| {});
    member.close().unwrap();
    let refused = [
        member.consumer().pause(Scope::All),
        member.consumer().resume(Scope::All),
        member.consumer().seek(at(&lab, 0, SeekTo::End)),
        member
            .consumer()
            .update_topics(topics(&[&lab.topic], ResetPolicy::Latest)),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    }
}
