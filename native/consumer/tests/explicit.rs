//! Commits that are asked for, and members that commit nothing else.

mod support;

use std::time::{Duration, Instant};

use consumer::{Error, Event, Manner, Place, Wish};
use crossbeam_channel::{bounded, Receiver};
use support::{Got, Lab, Member, SOON};
use testing::State;

const OFFSET_COMMIT: i16 = 8;

fn by_hand(lab: &Lab) -> Member {
    lab.assigned_member(|config| config.commit_by_hand = true)
}

fn of(got: &Got) -> Wish {
    Wish {
        place: Place::Slot(got.slot, got.epoch),
        offset: Some(got.offset + 1),
    }
}

fn named(topic: &str, partition: i32, offset: i64) -> Wish {
    Wish {
        place: Place::Named(topic.to_owned(), partition),
        offset: Some(offset),
    }
}

type Outcome = Receiver<Result<(), Error>>;

fn waiting(timeout: Duration, back: bool) -> (Manner, Outcome) {
    let (tx, rx) = bounded(1);
    let answer = move |result| assert!(tx.send(result).is_ok(), "answered twice");
    let manner = Manner {
        back,
        wait: Some((timeout, Box::new(answer))),
    };
    (manner, rx)
}

/// Commits, and waits for the answer.
fn commit(member: &Member, wishes: &[Wish], back: bool) -> Result<(), Error> {
    let (manner, outcome) = waiting(SOON, back);
    member.consumer().commit(wishes, manner, member.wake())?;
    outcome.recv_timeout(SOON).unwrap_or(Err(Error::Busy))
}

#[test]
fn by_hand_nothing_is_committed_that_was_not_asked_for_not_even_at_the_end() {
    let lab = Lab::new(1);
    lab.fill(6);
    let mut member = by_hand(&lab);
    let got = member.take(6);
    member.ack(&got);
    // The service thread has seen the acks.
    assert_eq!(member.progress(0).committable, 6);
    assert_eq!(lab.committed(), [None]);
    commit(&member, &[of(&got[2])], false).unwrap();
    assert_eq!(lab.committed(), [Some(3)]);
    assert_eq!(member.progress(0).committed, Some(3));
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(3)]);
    let commits = member.unread().iter().filter_map(|event| match event {
        Event::Committed(offsets, _) => Some(offsets[0].offset),
        _ => None,
    });
    // One that took long is sent again.
    let mut commits: Vec<i64> = commits.collect();
    commits.dedup();
    assert_eq!(commits, [3]);
}

#[test]
fn by_hand_nothing_is_committed_at_a_revoke_but_what_was_asked_for() {
    let lab = Lab::new(2);
    lab.fill(4);
    let mut first = by_hand(&lab);
    let got = first.take(8);
    first.ack(&got);
    let asked = got.iter().find(|g| g.offset == 1 && g.partition == 0);
    let (manner, outcome) = waiting(SOON, false);
    first
        .consumer()
        .commit(&[of(asked.unwrap())], manner, first.wake())
        .unwrap();
    outcome.recv_timeout(SOON).unwrap().unwrap();
    let mut second = by_hand(&lab);
    first.revoked();
    assert_eq!(lab.committed(), [Some(2), None]);
    first.close().unwrap();
    second.close().unwrap();
    assert_eq!(lab.committed(), [Some(2), None]);
}

#[test]
fn a_commit_acks_what_was_delivered_below_it() {
    let lab = Lab::new(1);
    lab.fill(5);
    for by_hand in [true, false] {
        let mut member = lab.assigned_member(|config| {
            config.commit_by_hand = by_hand;
            config.commit_interval = Duration::from_secs(60);
        });
        let got = member.take(if by_hand { 5 } else { 2 });
        commit(&member, &[of(&got[0])], false).unwrap();
        let progress = member.progress(0);
        assert_eq!(progress.in_flight, got.len() as u64 - 1);
        commit(&member, &got.iter().map(of).collect::<Vec<_>>()[..2], false).unwrap();
        assert_eq!(member.progress(0).in_flight, got.len() as u64 - 2);
        member.close().unwrap();
        assert_eq!(lab.committed(), [Some(if by_hand { 2 } else { 4 })]);
    }
}

#[test]
fn a_commit_does_not_wait_for_the_interval() {
    let lab = Lab::new(2);
    lab.fill(3);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    member.committed(0, 0);
    let got = member.take(6);
    member.ack(&got);
    let (manner, outcome) = waiting(SOON, false);
    member.consumer().commit_all(manner).unwrap();
    outcome.recv_timeout(SOON).unwrap().unwrap();
    assert_eq!(lab.committed(), [Some(3), Some(3)]);
}

#[test]
fn a_commit_that_is_made_again_does_not_wait_for_the_interval() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = lab.assigned_member(|config| config.commit_interval = Duration::from_secs(60));
    member.committed(0, 0);
    let got = member.take(3);
    // COORDINATOR_LOAD_IN_PROGRESS; and one that took so long that it is sent again before it counts.
    lab.cluster.request_errors(OFFSET_COMMIT, &[14]).unwrap();
    for (acked, rtt) in [(1, 0), (3, 700)] {
        let rtt = Duration::from_millis(rtt);
        lab.cluster.broker(1, State::Rtt(rtt)).unwrap();
        member.ack(&got[..acked]);
        let (manner, outcome) = waiting(SOON, false);
        member.consumer().commit_all(manner).unwrap();
        outcome.recv_timeout(SOON).unwrap().unwrap();
    }
    assert_eq!(lab.committed(), [Some(3)]);
}

#[test]
fn so_many_acks_as_the_threshold_says_do_not_wait_for_the_interval() {
    let lab = Lab::new(1);
    lab.fill(9);
    let mut member = lab.assigned_member(|config| {
        config.commit_interval = Duration::from_secs(60);
        config.commit_threshold = Some(4);
    });
    member.committed(0, 0);
    let got = member.take(9);
    member.ack(&got[..3]);
    assert_eq!(member.progress(0).committable, 3);
    assert_eq!(lab.committed(), [Some(0)]);
    member.ack(&got[3..4]);
    member.committed(0, 4);
    assert_eq!(lab.committed(), [Some(4)]);
    // They are counted anew.
    member.ack(&got[4..7]);
    assert_eq!(member.progress(0).committable, 7);
    assert_eq!(lab.committed(), [Some(4)]);
    member.ack(&got[7..]);
    member.committed(0, 9);
}

#[test]
fn a_commit_goes_back_only_where_it_is_to_and_commits_are_made_by_hand() {
    let lab = Lab::new(1);
    lab.fill(5);
    let mut member = by_hand(&lab);
    let got = member.take(5);
    commit(&member, &[of(&got[4])], false).unwrap();
    commit(&member, &[of(&got[1])], false).unwrap();
    assert_eq!(lab.committed(), [Some(5)]);
    commit(&member, &[of(&got[1])], true).unwrap();
    assert_eq!(lab.committed(), [Some(2)]);
    commit(&member, &[named(&lab.topic, 0, 0)], true).unwrap();
    assert_eq!(lab.committed(), [Some(0)]);
    member.close().unwrap();

    let mut member = lab.assigned_member(|_| {});
    let got = member.take(5);
    let refused = commit(&member, &[of(&got[1])], true);
    assert!(matches!(refused, Err(Error::Rewind)), "{refused:?}");
    member.close().unwrap();
}

#[test]
fn what_is_stale_or_foreign_or_was_not_delivered_is_refused_and_nothing_committed_with_it() {
    let lab = Lab::new(2);
    lab.fill(4);
    let mut member = by_hand(&lab);
    let got = member.take(8);
    let good = of(&got[0]);
    let stale = Wish {
        place: Place::Slot(got[0].slot, got[0].epoch + 1),
        offset: Some(1),
    };
    let wishes = [
        stale,
        named(&lab.topic, 2, 1),
        named("another", 0, 1),
        named(&lab.topic, 1, 5),
        named(&lab.topic, 1, -1),
    ];
    for wish in wishes {
        let refused = commit(&member, &[good.clone(), wish.clone()], false);
        match (&wish.place, refused) {
            (Place::Slot(..), Err(Error::StaleEpoch { partition, .. })) => {
                assert_eq!(partition, Some(got[0].partition));
            }
            (Place::Named(_, 1), Err(Error::NotDelivered { offset, end, .. })) => {
                assert_eq!((Some(offset), end), (wish.offset, 4));
            }
            (Place::Named(..), Err(Error::NotAssigned { .. })) => {}
            (_, other) => panic!("{wish:?}: {other:?}"),
        }
    }
    assert_eq!(member.progress(got[0].partition).in_flight, 4);
    assert_eq!(lab.committed(), [None, None]);
    member.close().unwrap();
    let refused = commit(&member, &[good], false);
    assert!(
        matches!(refused, Err(Error::StaleEpoch { .. } | Error::Closed)),
        "{refused:?}"
    );
}

#[test]
fn a_commit_that_fails_for_a_moment_is_tried_again_and_one_that_is_refused_for_good_says_so() {
    let lab = Lab::new(1);
    lab.fill(4);
    let mut member = by_hand(&lab);
    let got = member.take(4);
    // COORDINATOR_LOAD_IN_PROGRESS, which librdkafka leaves to its caller.
    lab.cluster.request_errors(OFFSET_COMMIT, &[14]).unwrap();
    commit(&member, &[of(&got[0])], false).unwrap();
    assert_eq!(lab.committed(), [Some(1)]);
    // GROUP_AUTHORIZATION_FAILED.
    lab.cluster.request_errors(OFFSET_COMMIT, &[30]).unwrap();
    let refused = commit(&member, &[of(&got[1])], false).unwrap_err();
    assert_eq!(refused.code().unwrap().name(), "GROUP_AUTHORIZATION_FAILED");
    assert!(!refused.is_retryable());
    // It is not forgotten.
    member.committed(0, 2);
    assert_eq!(lab.committed(), [Some(2)]);
}

#[test]
fn who_waits_is_answered_in_time_and_at_the_end() {
    let lab = Lab::new(1);
    lab.fill(4);
    let member = by_hand(&lab);
    let got = member.take(4);
    lab.cluster
        .broker(1, State::Rtt(Duration::from_secs(3)))
        .unwrap();
    let (manner, outcome) = waiting(Duration::from_millis(100), false);
    let started = Instant::now();
    member
        .consumer()
        .commit(&[of(&got[0])], manner, member.wake())
        .unwrap();
    let late = outcome.recv_timeout(SOON).unwrap().unwrap_err();
    assert_eq!(late.code().unwrap().name(), "_TIMED_OUT");
    assert!(late.is_retryable());
    assert!(started.elapsed() < Duration::from_secs(2));

    let (manner, outcome) = waiting(SOON, false);
    member
        .consumer()
        .commit(&[of(&got[1])], manner, member.wake())
        .unwrap();
    member.consumer().close(Duration::from_millis(300));
    let ended = outcome.recv_timeout(SOON).unwrap().unwrap_err();
    assert!(
        matches!(ended, Error::Closed | Error::StaleEpoch { .. }),
        "{ended:?}"
    );
}
