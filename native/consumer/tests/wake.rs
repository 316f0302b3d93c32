//! Wake-ups: the only reason to pull, so that a lost one would be a stall.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use support::{record_at, Lab, Member, SOON};

/// After so long without a wake-up a lane is looked at without one. The service thread does that
/// too, once a second: it must not be what finds the records.
const LOOK: Duration = Duration::from_millis(100);

/// Handles records, pulling on wake-ups, and counts those that came without one.
struct Racer<'m> {
    member: &'m Member,
    lanes: usize,
    demand: usize,
    next: BTreeMap<i32, i64>,
    seen: i64,
    lost: Vec<i64>,
}

impl<'m> Racer<'m> {
    fn new(member: &'m Member, lanes: usize, demand: usize) -> Racer<'m> {
        let mut racer = Racer {
            member,
            lanes,
            demand,
            next: BTreeMap::new(),
            seen: 0,
            lost: Vec::new(),
        };
        (0..lanes).for_each(|lane| racer.pull(lane));
        racer
    }

    fn until(&mut self, count: i64) {
        let deadline = Instant::now() + SOON;
        while self.seen < count {
            assert!(Instant::now() < deadline, "{} of {count}", self.seen);
            match self.member.wakes.recv_timeout(LOOK) {
                Ok(lane) => self.pull(lane),
                Err(_) => self.look_again(),
            }
        }
    }

    /// A record may have come just now, and its wake-up be on its way.
    fn look_again(&mut self) {
        let held = self.member.consumer().buffered();
        if held.queued_records == 0 && held.parked_bytes == 0 {
            return;
        }
        match self.member.wakes.recv_timeout(3 * LOOK) {
            Ok(lane) => self.pull(lane),
            Err(_) => (0..self.lanes).for_each(|lane| self.look(lane)),
        }
    }

    fn look(&mut self, lane: usize) {
        let before = self.seen;
        self.pull(lane);
        let woken: Vec<usize> = self.member.wakes.try_iter().collect();
        if self.seen > before && !woken.contains(&lane) {
            self.lost.push(before);
        }
        woken.into_iter().for_each(|lane| self.pull(lane));
    }

    fn pull(&mut self, lane: usize) {
        let mut more = true;
        while more {
            let pulled = self
                .member
                .consumer()
                .pull(lane, self.demand, || true)
                .unwrap();
            more = pulled.more;
            for record in &pulled.records {
                let next = self.next.entry(record.message.partition()).or_default();
                assert_eq!(record.message.offset(), *next);
                *next += 1;
                self.seen += 1;
            }
            let acks = pulled.records.iter();
            let ids = acks.map(|r| (r.slot, r.epoch, r.message.offset()));
            self.member.consumer().ack(ids, self.member.wake());
        }
    }
}

fn race(lab: &Lab, lanes: usize, demand: usize, bursts: i64) {
    let member = lab.assigned_member(|config| {
        config.lanes = lanes;
        let wait = ("fetch.wait.max.ms".to_owned(), "1".to_owned());
        config.properties.push(wait);
    });
    let mut racer = Racer::new(&member, lanes, demand);
    let started = Instant::now();
    thread::scope(|scope| {
        // The next burst may go when the one before was handled: each of its records meets a
        // lane that is about to be armed, just armed, or woken.
        let (go, ready) = sync_channel::<i64>(1);
        scope.spawn(move || {
            let mut burst = 0;
            while let Ok(size) = ready.recv() {
                for n in 0..size {
                    let partition = ((burst + n) % i64::from(lab.partitions)) as i32;
                    lab.produce(&[record_at(partition, b"v")]);
                }
                burst += size;
            }
        });
        let mut sent = 0;
        for burst in 0..bursts {
            let size = 1 + burst % 4;
            sent += size;
            go.send(size).unwrap();
            racer.until(sent);
        }
    });
    assert!(racer.lost.is_empty(), "lost at {:?}", racer.lost);
    let mean = started.elapsed() / racer.seen as u32;
    assert!(mean < LOOK, "{mean:?} a record");
}

#[test]
fn no_wake_up_is_lost_however_records_race_the_arming() {
    race(&Lab::new(1), 1, 100, 1600);
}

#[test]
fn no_wake_up_is_lost_with_a_demand_of_one() {
    race(&Lab::new(2), 1, 1, 600);
}

#[test]
fn no_wake_up_is_lost_on_any_of_several_lanes() {
    race(&Lab::new(4), 3, 10, 600);
}

#[test]
fn no_wake_up_is_lost_while_records_pour_in() {
    const COUNT: i64 = 6000;
    let lab = Lab::new(2);
    let member = lab.assigned_member(|_| {});
    let mut racer = Racer::new(&member, 1, 3);
    thread::scope(|scope| {
        for partition in 0..2 {
            let lab = &lab;
            scope.spawn(move || {
                for _ in 0..COUNT / 2 {
                    lab.produce(&[record_at(partition, b"v")]);
                }
            });
        }
        racer.until(COUNT);
    });
    assert!(racer.lost.is_empty(), "lost at {:?}", racer.lost);
}

#[test]
fn no_wake_up_is_lost_when_an_ack_lifts_the_cap() {
    let lab = Lab::new(1);
    lab.fill(2000);
    let member = lab.assigned_member(|config| config.max_in_flight = 1);
    let mut racer = Racer::new(&member, 1, 10);
    racer.until(2000);
    assert!(racer.lost.is_empty(), "lost at {:?}", racer.lost);
}

#[test]
fn an_idle_member_wakes_nobody() {
    let lab = Lab::new(2);
    lab.fill(5);
    let member = lab.assigned_member(|_| {});
    let got = member.take(10);
    member.ack(&got);
    assert!(member.pull_all().is_empty());
    // One may be on its way; each one more would be a pull that brings nothing.
    let mut idle = 0;
    let until = Instant::now() + Duration::from_secs(3);
    while let Ok(lane) = member.wakes.recv_deadline(until) {
        assert!(member
            .consumer()
            .pull(lane, 10, || true)
            .unwrap()
            .records
            .is_empty());
        idle += 1;
    }
    assert!(idle <= 3, "{idle} wake-ups for nothing");
}
