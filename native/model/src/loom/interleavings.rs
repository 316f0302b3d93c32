//! Callers, the service thread and librdkafka's threads, in every order in which they can meet.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --package model --release interleavings`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use loom::thread;

use crate::claims::Claim;
use crate::client::Client;
use crate::cluster::TOPIC;
use crate::committed::Outcome;
use crate::config::{Config, ResetPolicy, Topic};
use crate::consumer::{AckId, Consumer, Progress};
use crate::event::{Event, Sink};
use crate::explicit::{Manner, Place, Wish};
use crate::journal::{self, Note};
use crate::kick::Kick;
use crate::paused::{Paused, Scope, Subject};
use crate::service::{self, Service};
use crate::shared::Shared;
use crate::sync::{AtomicBool, Ordering};

// So much that nothing is paused.
const BUFFERED: u64 = 1 << 20;

/// A lane that was woken has its token.
struct Ears(Kick);

impl Sink for Ears {
    fn wake(&self, _: usize) {
        self.0.kick();
    }

    fn event(&self, event: Event) {
        journal::note(Note::Told(event));
    }
}

/// A member of one lane that has partition 0, with records in its log.
struct Stage {
    service: Service,
    consumer: Arc<Consumer>,
    client: Arc<Client>,
    woken: Kick,
}

impl Stage {
    fn new(records: i64, max_in_flight: u64) -> Stage {
        Stage::beside(0, records, max_in_flight)
    }

    /// The same beside so many partitions without records.
    fn beside(others: i32, records: i64, max_in_flight: u64) -> Stage {
        let mut stage = Stage::empty(1, 1 + others, max_in_flight, false);
        stage.client.append(0, 0, records);
        stage.assign(1 + others);
        stage
    }

    /// A member of two partitions, each on a lane that was claimed, the second with a record in its log.
    fn claimed() -> Stage {
        let mut stage = Stage::empty(0, 2, 10, false);
        for partition in 0..2 {
            let claim = Claim::Partition(TOPIC.to_owned(), partition);
            stage.consumer.claim(claim, 1, None).unwrap();
        }
        stage.client.append(1, 0, 1);
        stage.assign(2);
        stage
    }

    /// A member of one lane that has two partitions, without records, and commits what it is asked to.
    fn by_hand() -> Stage {
        let mut stage = Stage::empty(1, 2, 10, true);
        stage.client.give(&BTreeSet::from([0, 1]));
        stage.turn();
        stage.client.work(true);
        stage.turn();
        stage
    }

    fn empty(lanes: usize, partitions: i32, max_in_flight: u64, by_hand: bool) -> Stage {
        journal::take();
        let woken = Kick::new(bounded(1).0);
        let config = Config {
            properties: vec![("partitions".to_owned(), partitions.to_string())],
            topics: vec![Topic {
                name: TOPIC.to_owned(),
                reset: ResetPolicy::Earliest,
            }],
            lanes,
            commit_interval: Duration::ZERO,
            commit_threshold: None,
            commit_by_hand: by_hand,
            unacked_timeout: None,
            drain_timeout: Duration::from_secs(10),
            max_in_flight,
            max_buffered_bytes: BUFFERED,
            chunk_size: None,
            paused: Paused::default(),
        };
        let (service, commands) = service::create(&config, Arc::new(Ears(woken.clone()))).unwrap();
        let consumer = Consumer {
            shared: Arc::clone(&service.shared),
            commands,
        };
        Stage {
            client: Arc::clone(&service.client),
            consumer: Arc::new(consumer),
            service,
            woken,
        }
    }

    fn assign(&mut self, partitions: i32) {
        self.client.give(&(0..partitions).collect());
        self.turn();
        self.client.work(true);
        while (0..partitions).any(|it| self.client.committed_offset(it).is_none()) {
            self.turn();
        }
    }

    /// A turn of the service thread; what it commits is committed at once.
    fn turn(&mut self) {
        self.service.turn(None);
        if self.client.decide(Outcome::Done) {
            self.service.turn(None);
        }
        self.client.go_on();
    }

    /// The service thread, which sleeps until it is kicked, until this holds.
    fn serve_until(&mut self, done: impl Fn(&Client) -> bool) {
        let kick = kick_of(&self.service.shared);
        loop {
            self.turn();
            if done(&self.client) {
                return;
            }
            kick.wait();
        }
    }
}

fn kick_of(shared: &Shared) -> Kick {
    shared.kick.clone()
}

fn pull(consumer: &Consumer, demand: usize) -> (Vec<AckId>, bool) {
    let pulled = consumer.pull(0, demand, || true).unwrap();
    let ids = pulled
        .records
        .iter()
        .map(|r| (r.slot, r.epoch, r.message.offset()));
    (ids.collect(), pulled.more)
}

/// Pulls when there is more or when woken, as a producer does, until it has so many.
fn take(consumer: &Consumer, woken: &Kick, count: usize) -> Vec<AckId> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let (ids, more) = pull(consumer, count - taken.len());
        taken.extend(ids);
        if taken.len() < count && !more {
            woken.wait();
        }
    }
    taken
}

#[test]
fn a_record_that_arrives_during_a_pull_is_pulled_or_wakes_the_lane() {
    loom::model(|| {
        let stage = Stage::new(1, 10);
        let client = Arc::clone(&stage.client);
        let fetcher = thread::spawn(move || client.fetch(0, 1));
        assert_eq!(take(&stage.consumer, &stage.woken, 1).len(), 1);
        fetcher.join().unwrap();
    });
}

/// A process of its own would be woken; here it looks as often as the service thread has done something.
#[test]
fn a_record_that_another_lane_may_read_comes_to_its_own() {
    loom::model(|| {
        let mut stage = Stage::claimed();
        let (client, consumer) = (Arc::clone(&stage.client), Arc::clone(&stage.consumer));
        let others = thread::spawn(move || {
            client.fetch(1, 1);
            consumer.pull(0, 1, || true).unwrap().records.len()
        });
        let kick = kick_of(&stage.service.shared);
        while stage
            .consumer
            .pull(1, 1, || true)
            .unwrap()
            .records
            .is_empty()
        {
            kick.wait();
            stage.turn();
        }
        assert_eq!(others.join().unwrap(), 0);
    });
}

#[test]
fn an_ack_that_lifts_a_cap_is_seen_by_the_pull_or_wakes_the_lane() {
    // Of the only partition, whose next record stays in the queue, and of one of two, where it is parked.
    loom::model(|| ack_that_lifts_a_cap(Stage::new(2, 1)));
    loom::model(|| ack_that_lifts_a_cap(Stage::beside(1, 2, 1)));
}

fn ack_that_lifts_a_cap(stage: Stage) {
    stage.client.fetch(0, 2);
    let first = take(&stage.consumer, &stage.woken, 1);
    let (consumer, woken) = (Arc::clone(&stage.consumer), stage.woken.clone());
    let acker = thread::spawn(move || consumer.ack(first, |_| woken.kick()));
    assert_eq!(take(&stage.consumer, &stage.woken, 1).len(), 1);
    acker.join().unwrap();
}

#[test]
fn two_acks_at_once_are_both_committed_however_they_meet_the_commit() {
    loom::model(|| {
        let mut stage = Stage::new(2, 10);
        stage.client.fetch(0, 2);
        let records = take(&stage.consumer, &stage.woken, 2);
        let ackers: Vec<_> = records
            .into_iter()
            .map(|id| {
                let consumer = Arc::clone(&stage.consumer);
                thread::spawn(move || consumer.ack([id], |_| {}))
            })
            .collect();
        stage.serve_until(|client| client.committed_offset(0) == Some(2));
        ackers.into_iter().for_each(|it| it.join().unwrap());
    });
}

/// The unacked records of the revoke that was told.
fn told_unacked() -> Option<u64> {
    journal::take().iter().find_map(|note| match note {
        Note::Told(Event::Revoked(revoked, _)) => Some(revoked.iter().map(|it| it.unacked).sum()),
        _ => None,
    })
}

#[test]
fn the_ack_of_the_last_record_in_flight_ends_a_drain_and_is_committed() {
    loom::model(|| {
        let mut stage = Stage::new(1, 10);
        stage.client.fetch(0, 1);
        let records = take(&stage.consumer, &stage.woken, 1);
        stage.client.take_back(&BTreeSet::from([0]));
        let consumer = Arc::clone(&stage.consumer);
        let acker = thread::spawn(move || consumer.ack(records, |_| {}));
        stage.serve_until(|client| client.look().ours.is_empty());
        acker.join().unwrap();
        assert_eq!(told_unacked(), Some(0));
        assert_eq!(stage.client.committed_offset(0), Some(1));
    });
}

#[test]
fn a_record_that_is_pulled_while_its_partition_goes_is_drained_or_never_handed_out() {
    loom::model(|| {
        let mut stage = Stage::new(1, 10);
        stage.client.fetch(0, 1);
        stage.client.take_back(&BTreeSet::from([0]));
        let consumer = Arc::clone(&stage.consumer);
        let handler = thread::spawn(move || {
            let (records, _) = pull(&consumer, 1);
            let handled = records.len() as i64;
            consumer.ack(records, |_| {});
            handled
        });
        stage.serve_until(|client| client.look().ours.is_empty());
        let handled = handler.join().unwrap();
        assert_eq!(told_unacked(), Some(0));
        assert_eq!(stage.client.committed_offset(0), Some(handled));
    });
}

#[test]
fn an_ack_counts_in_its_epoch_or_not_at_all_while_the_partition_is_lost() {
    loom::model(|| {
        let mut stage = Stage::new(1, 10);
        stage.client.fetch(0, 1);
        let records = take(&stage.consumer, &stage.woken, 1);
        stage.client.lose();
        let consumer = Arc::clone(&stage.consumer);
        let acker = thread::spawn(move || consumer.ack(records, |_| {}));
        stage.serve_until(|client| client.look().ours.is_empty());
        acker.join().unwrap();
        stage.turn();
        assert_eq!(stage.client.committed_offset(0), Some(0));
    });
}

#[test]
fn a_pull_that_meets_a_pause_is_over_when_that_is_answered() {
    for scope in [Scope::All, orders()] {
        loom::model(move || {
            let stage = Stage::new(1, 10);
            stage.client.fetch(0, 1);
            let consumer = Arc::clone(&stage.consumer);
            let puller = thread::spawn(move || pull(&consumer, 1));
            stage.service.pause_scope(&scope).unwrap();
            let next = offset_of(&stage);
            puller.join().unwrap();
            // Whatever it brought, it had brought before.
            assert_eq!(offset_of(&stage), next);
        });
    }
}

#[test]
fn a_resumption_is_seen_by_the_pull_or_wakes_the_lane() {
    for scope in [Scope::All, orders()] {
        loom::model(move || {
            let stage = Stage::new(1, 10);
            stage.client.fetch(0, 1);
            stage.service.pause_scope(&scope).unwrap();
            let (consumer, woken) = (Arc::clone(&stage.consumer), stage.woken.clone());
            let puller = thread::spawn(move || take(&consumer, &woken, 1).len());
            stage.service.resume_scope(&scope).unwrap();
            assert_eq!(puller.join().unwrap(), 1);
        });
    }
}

fn orders() -> Scope {
    Scope::Some(vec![Subject::Partition(TOPIC.to_owned(), 0)])
}

fn offset_of(stage: &Stage) -> i64 {
    let partition = stage.service.shared.find(TOPIC, 0).unwrap();
    Progress::of(&partition).unwrap().next
}

#[test]
fn a_commit_that_is_asked_for_while_another_is_sent_is_sent_too() {
    loom::model(|| {
        let mut stage = Stage::new(2, 10);
        stage.client.fetch(0, 2);
        let ids = take(&stage.consumer, &stage.woken, 2);
        let consumer = Arc::clone(&stage.consumer);
        let caller = thread::spawn(move || {
            consumer.ack([ids[0]], |_| {});
            let (slot, epoch, offset) = ids[1];
            let wish = Wish {
                place: Place::Slot(slot, epoch),
                offset: Some(offset + 1),
            };
            consumer.commit(&[wish], Manner::default(), |_| {}).unwrap();
        });
        stage.serve_until(|client| client.committed_offset(0) == Some(2));
        caller.join().unwrap();
    });
}

#[test]
fn a_commit_of_several_partitions_one_of_which_goes_is_asked_for_as_a_whole_or_not_at_all() {
    loom::model(|| {
        let mut stage = Stage::by_hand();
        stage.client.take_back(&BTreeSet::from([1]));
        let consumer = Arc::clone(&stage.consumer);
        let caller = thread::spawn(move || {
            let wishes = [0, 1].map(|partition| Wish {
                place: Place::Named(TOPIC.to_owned(), partition),
                offset: Some(0),
            });
            consumer.commit(&wishes, Manner::default(), |_| {})
        });
        stage.turn();
        let asked = caller.join().unwrap().is_ok();
        stage.turn();
        let first = stage.service.shared.find(TOPIC, 0).unwrap();
        let left = first.lock().cursor.to_commit();
        assert_eq!(left, None, "asked for, and not committed");
        assert_eq!(stage.client.committed_offset(0).is_some(), asked);
    });
}

#[test]
fn a_lane_that_is_given_up_during_a_pull_does_not_wait_for_records() {
    loom::model(|| {
        // Of a lane that has a partition the pull is waited for in any case.
        let mut stage = Stage::empty(0, 1, 10, false);
        stage.consumer.claim(Claim::All, 1, None).unwrap();
        let attached = Arc::new(AtomicBool::new(true));
        let (consumer, its) = (Arc::clone(&stage.consumer), Arc::clone(&attached));
        let puller = thread::spawn(move || {
            let attached = || its.load(Ordering::SeqCst);
            consumer.pull(0, 1, attached).unwrap().records.len()
        });
        attached.store(false, Ordering::SeqCst);
        assert_eq!(stage.consumer.release(0), Some(1));
        stage.turn();
        assert_eq!(puller.join().unwrap(), 0);
        assert!(!stage.service.shared.lanes.get(0).unwrap().waits());
    });
}
