//! Callers, the service thread and librdkafka's threads, in every order in which they can meet.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --package model --release interleavings`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use loom::thread;

use crate::client::Client;
use crate::cluster::TOPIC;
use crate::committed::Outcome;
use crate::config::{Config, ResetPolicy, Topic};
use crate::consumer::{AckId, Consumer};
use crate::event::{Event, Sink};
use crate::journal::{self, Note};
use crate::kick::Kick;
use crate::service::{self, Service};
use crate::shared::Shared;

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
        journal::take();
        let woken = Kick::new(bounded(1).0);
        let config = Config {
            properties: Vec::new(),
            topics: vec![Topic {
                name: TOPIC.to_owned(),
                reset: ResetPolicy::Earliest,
            }],
            lanes: 1,
            commit_interval: Duration::ZERO,
            unacked_timeout: None,
            drain_timeout: Duration::from_secs(10),
            max_in_flight,
            chunk_size: None,
        };
        let (service, commands) = service::create(&config, Arc::new(Ears(woken.clone()))).unwrap();
        let consumer = Consumer {
            shared: Arc::clone(&service.shared),
            commands,
        };
        let mut stage = Stage {
            client: Arc::clone(&service.client),
            consumer: Arc::new(consumer),
            service,
            woken,
        };
        stage.client.append(0, 0, records);
        stage.client.give(&BTreeSet::from([0]));
        stage.turn();
        stage.client.work(true);
        while stage.client.committed_offset(0).is_none() {
            stage.turn();
        }
        stage
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

#[test]
fn an_ack_that_lifts_a_cap_is_seen_by_the_pull_or_wakes_the_lane() {
    loom::model(|| {
        let stage = Stage::new(2, 1);
        stage.client.fetch(0, 2);
        let first = take(&stage.consumer, &stage.woken, 1);
        let (consumer, woken) = (Arc::clone(&stage.consumer), stage.woken.clone());
        let acker = thread::spawn(move || consumer.ack(first, |_| woken.kick()));
        assert_eq!(take(&stage.consumer, &stage.woken, 1).len(), 1);
        acker.join().unwrap();
    });
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
