//! A member's life: it is played step by step, and all that it does is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Client, Protocol};
use crate::clock;
use crate::cluster::{Outcome, TOPIC};
use crate::config::{Config, ResetPolicy, Topic};
use crate::consumer::{AckId, Consumer, Progress};
use crate::error::Error;
use crate::event::{Event, Revoked, Sink};
use crate::journal::{self, Note};
use crate::service::{self, Service};
use crate::sync::Mutex;

use super::seen::Seen;
use super::steps::{Step, LANES, PARTITIONS};

#[derive(Default)]
struct Ears {
    /// Lanes that were woken, or have demand for another reason.
    due: Mutex<BTreeSet<usize>>,
}

impl Sink for Ears {
    fn wake(&self, lane: usize) {
        self.due.lock().insert(lane);
    }

    fn event(&self, event: Event) {
        journal::note(Note::Told(event));
    }
}

pub(super) struct Life {
    service: Service,
    consumer: Consumer,
    ears: Arc<Ears>,
    client: Arc<Client>,
    seen: BTreeMap<i32, Seen>,
    /// Delivered, and held by somebody who may ack it.
    in_hand: Vec<(usize, AckId)>,
    /// When the member that is leaving must have left.
    leave_by: Option<Instant>,
    left: Option<Result<(), Error>>,
    /// Something has been in a commit's way since the close began.
    disturbed: bool,
}

impl Life {
    pub(super) fn new(eager: bool, commit_interval: u64) -> Life {
        journal::take();
        let mut properties = vec![("partitions".to_owned(), PARTITIONS.to_string())];
        properties.extend(eager.then(|| ("eager".to_owned(), String::new())));
        let config = Config {
            properties,
            topics: vec![Topic {
                name: TOPIC.to_owned(),
                reset: ResetPolicy::Earliest,
            }],
            lanes: LANES,
            commit_interval: Duration::from_millis(commit_interval),
            unacked_timeout: None,
            drain_timeout: Duration::from_secs(2),
            max_in_flight: 3,
        };
        let ears = Arc::new(Ears::default());
        let sink = Arc::clone(&ears) as Arc<dyn Sink>;
        let (service, commands) = service::create(&config, sink).unwrap();
        let shared = Arc::clone(&service.shared);
        let life = Life {
            client: Arc::clone(&service.client),
            consumer: Consumer { shared, commands },
            service,
            ears,
            seen: BTreeMap::new(),
            in_hand: Vec::new(),
            leave_by: None,
            left: None,
            disturbed: false,
        };
        (0..LANES).for_each(|lane| life.attach(lane));
        life
    }

    pub(super) fn run(&mut self, step: Step) {
        match step {
            Step::Append {
                partition,
                gap,
                count,
            } => self.client.append(partition, gap, count),
            Step::Expire { partition, count } => self.client.expire(partition, count),
            Step::Fetch { partition, count } => self.client.fetch(partition, count),
            Step::Fail { partition } => self.client.fail(partition),
            Step::Stray { partition } => self.client.stray(partition),
            Step::Pull { lane, demand } => {
                self.pull(lane, demand);
            }
            Step::Ack { which, times } => {
                if !self.in_hand.is_empty() {
                    let (_, id) = *which.get(&self.in_hand);
                    (0..times).for_each(|_| self.ack(&[id]));
                }
            }
            Step::AckAllBut { count } => {
                let kept = self.in_hand.len().saturating_sub(count);
                let ids: Vec<AckId> = self.in_hand[..kept].iter().map(|(_, id)| *id).collect();
                self.ack(&ids);
            }
            Step::AckAny {
                slot,
                epoch,
                offset,
            } => self.ack(&[(slot, epoch, offset)]),
            Step::Attach { lane, forget } => {
                self.attach(lane);
                if forget {
                    self.in_hand.retain(|(of, _)| *of != lane);
                }
            }
            Step::Redeliver { slot } => {
                let _ = self.consumer.redeliver(slot);
            }
            Step::Give { partitions } => self.client.give(&partitions),
            Step::TakeBack { partitions } => self.client.take_back(&partitions),
            Step::Lose => {
                self.disturbed = true;
                self.client.lose();
            }
            Step::HandledElsewhere { partition, count } => {
                self.client.handled_elsewhere(partition, count);
            }
            Step::Work { well } => {
                self.client.work(well);
            }
            Step::Decide { outcome } => {
                self.disturbed |= outcome != Outcome::Done;
                self.client.decide(outcome);
            }
            Step::RefuseCommit => {
                self.disturbed = true;
                self.client.look().refuse_next_commit = true;
            }
            Step::Turn { after } => {
                // The last commit may have waited too long for its answer.
                self.disturbed |= after > 0;
                self.turn(after);
            }
            Step::Close { timeout } => self.close(timeout),
        }
    }

    fn attach(&self, lane: usize) {
        if self.consumer.attach(lane).is_ok() {
            self.ears.due.lock().insert(lane);
        }
    }

    fn pull(&mut self, lane: usize, demand: usize) {
        let pulled = self.consumer.pull(lane, demand, || true).unwrap();
        assert!(pulled.records.len() <= demand, "above demand");
        for record in &pulled.records {
            let (partition, offset) = (record.message.partition(), record.message.offset());
            assert!(
                self.left.is_none() && self.leave_by.is_none(),
                "while leaving"
            );
            let seen = self.seen.get_mut(&partition).unwrap();
            seen.deliver(record.epoch, offset);
            self.in_hand
                .push((lane, (record.slot, record.epoch, offset)));
        }
        if pulled.more {
            self.ears.due.lock().insert(lane);
        }
    }

    fn ack(&mut self, ids: &[AckId]) {
        let ears = Arc::clone(&self.ears);
        self.consumer
            .ack(ids.iter().copied(), |lane| ears.wake(lane));
        for (slot, epoch, offset) in ids {
            let of = |seen: &&mut Seen| seen.slot == *slot;
            if let Some(seen) = self.seen.values_mut().find(of) {
                seen.ack(*slot, *epoch, *offset);
            }
        }
        // What belongs to an epoch that is over may come once more.
        self.in_hand
            .retain(|(_, id)| !ids.contains(id) || id.2 % 5 == 0);
    }

    fn turn(&mut self, after: u64) {
        clock::pass(Duration::from_millis(after));
        if self.left.is_none() {
            self.left = self.service.turn(None);
            self.read_journal();
            let late = self.left.is_none() && self.leave_by.is_some_and(|by| clock::now() > by);
            assert!(!late, "the close did not end in time");
        }
    }

    fn close(&mut self, timeout: u64) {
        if self.leave_by.is_none() {
            // A commit that is under way may end in any way before the last one goes.
            let cluster = self.client.look();
            let hindered = cluster.commit.is_some() || cluster.thrown_out || cluster.lost;
            self.disturbed = hindered || cluster.refuse_next_commit || timeout < 1_000;
            drop(cluster);
            let timeout = Duration::from_millis(timeout);
            self.leave_by = Some(clock::now() + timeout);
            self.consumer.close(timeout);
            self.turn(0);
        }
    }

    fn read_journal(&mut self) {
        for note in journal::take() {
            match note {
                Note::Sent(offsets) => {
                    for (partition, offset) in offsets {
                        let cluster = self.client.look();
                        let seen = &self.seen[&partition];
                        assert!(seen.open, "a commit after the end of {seen:?}");
                        seen.check_commit(offset, Some(cluster.at(partition)));
                    }
                }
                Note::Told(Event::Assigned(assigned)) => {
                    for it in assigned {
                        let seen = Seen::new(it.slot, it.epoch, it.start);
                        let before = self.seen.insert(it.partition, seen);
                        assert!(before.is_none_or(|before| !before.open), "assigned twice");
                    }
                }
                Note::Told(Event::Reset { partition, to, .. }) => {
                    let before = &self.seen[&partition];
                    let seen = Seen::new(before.slot, before.epoch + 1, to);
                    self.seen.insert(partition, seen);
                }
                Note::Told(Event::Redelivered(again)) => {
                    for it in again {
                        let seen = self.seen.get_mut(&it.partition).unwrap();
                        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
                        seen.begin_attempt(it.offset, it.count);
                    }
                }
                Note::Told(Event::Revoked(revoked, _) | Event::Lost(revoked)) => {
                    revoked.iter().for_each(|it| self.revoked(it));
                }
                Note::Told(_) => {}
            }
        }
    }

    fn revoked(&mut self, it: &Revoked) {
        let seen = self.seen.get_mut(&it.partition).unwrap();
        assert!(seen.open, "revoked twice");
        assert_eq!((it.slot, it.epoch), (seen.slot, seen.epoch));
        assert_eq!(it.unacked, seen.unacked().count() as u64);
        seen.open = false;
        if self.leave_by.is_some() && !self.disturbed {
            let cluster = self.client.look();
            let committed = cluster.committed.get(&it.partition).copied();
            seen.check_end(committed, cluster.at(it.partition));
        }
    }

    pub(super) fn check(&self) {
        for partition in self.consumer.shared.all() {
            let marks = Progress::of(&partition);
            let committed = self.client.committed_offset(partition.partition);
            if let Some(seen) = self.seen.get(&partition.partition) {
                seen.check_marks(marks, committed);
            }
        }
    }

    /// Lets all be well until nothing is left to do. Lanes are pulled when they were woken only.
    pub(super) fn calm_down(&mut self) {
        for _ in 0..400 {
            if self.left.is_some() || self.is_done() {
                return;
            }
            if self.client.look().thrown_out {
                self.client.lose();
            }
            self.client.look().refuse_next_commit = false;
            self.client.decide(Outcome::Done);
            while self.client.work(true) {}
            self.turn(60);
            let all = self.client.look().all();
            if self.client.look().ours != all {
                if self.client.protocol == Protocol::Eager && !self.client.look().ours.is_empty() {
                    self.client.take_back(&all);
                }
                self.client.give(&all);
            }
            all.iter()
                .for_each(|partition| self.client.fetch(*partition, 4));
            let due = std::mem::take(&mut *self.ears.due.lock());
            due.into_iter().for_each(|lane| self.pull(lane, 4));
            let ids: Vec<AckId> = self.in_hand.iter().map(|(_, id)| *id).collect();
            self.ack(&ids);
            self.check();
        }
        let progress: Vec<_> = self
            .consumer
            .shared
            .all()
            .iter()
            .map(|p| Progress::of(p))
            .collect();
        panic!("stuck: {progress:?}; {:?}", self.seen);
    }

    fn is_done(&self) -> bool {
        let cluster = self.client.look();
        let committed = |p: &i32| cluster.committed.get(p).copied();
        let rest = |p: &i32| {
            cluster
                .at(*p)
                .records
                .range(committed(p).unwrap_or(0)..)
                .count()
        };
        let all = cluster.all();
        cluster.unanswered.is_none()
            && cluster.ours == all
            && all.iter().all(|p| committed(p).is_some() && rest(p) == 0)
    }

    /// Closes, and answers whether it ended well; that it ends in time is seen at every turn.
    pub(super) fn end(&mut self, timeout: u64) {
        self.close(timeout);
        while self.left.is_none() {
            self.client.decide(Outcome::Done);
            self.turn(60);
            self.check();
        }
        assert!(self.seen.values().all(|seen| !seen.open) || self.left.as_ref().unwrap().is_err());
    }
}
