//! A member's life: it is played step by step, and all that it does is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::clock;
use crate::cluster::TOPIC;
use crate::committed::Outcome;
use crate::config::{Config, ResetPolicy, Topic};
use crate::consumer::{AckId, AckRange, Consumer};
use crate::error::Error;
use crate::event::{Event, Sink};
use crate::intake::Pulled;
use crate::journal::{self, Note};
use crate::service::{self, Service};
use crate::sync::Mutex;

use super::seen::Seen;
use super::steps::{Step, LANES, PARTITIONS};

pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const UNACKED_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Within that a close ends when no broker is there to hear of it.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_millis(800);

#[derive(Default)]
pub(super) struct Ears {
    /// Lanes that were woken, or have demand for another reason.
    pub(super) due: Mutex<BTreeSet<usize>>,
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
    pub(super) consumer: Consumer,
    pub(super) ears: Arc<Ears>,
    pub(super) client: Arc<Client>,
    pub(super) seen: BTreeMap<i32, Seen>,
    /// Delivered, and held by somebody who may ack it.
    pub(super) in_hand: Vec<(usize, AckId)>,
    /// The chunks that were delivered, whole.
    pub(super) chunks: Vec<AckRange>,
    chunk_size: Option<NonZeroUsize>,
    /// When the member that is leaving must have left.
    pub(super) leave_by: Option<Instant>,
    pub(super) left: Option<Result<(), Error>>,
    /// Something has been in a commit's way since the close began.
    pub(super) disturbed: bool,
}

impl Life {
    pub(super) fn new(eager: bool, commit_interval: u64, chunk_size: Option<NonZeroUsize>) -> Life {
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
            unacked_timeout: Some(UNACKED_TIMEOUT),
            drain_timeout: DRAIN_TIMEOUT,
            max_in_flight: 3 * chunk_size.map_or(1, NonZeroUsize::get) as u64,
            chunk_size,
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
            chunks: Vec::new(),
            chunk_size,
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
            Step::AckChunk { which, times } => {
                if !self.chunks.is_empty() {
                    let range = *which.get(&self.chunks);
                    (0..times).for_each(|_| self.ack_range(range));
                }
            }
            Step::AckAny {
                slot,
                epoch,
                offset,
            } => self.ack(&[(slot, epoch, offset)]),
            Step::Forget { which } => {
                if !self.in_hand.is_empty() {
                    self.in_hand.swap_remove(which.index(self.in_hand.len()));
                }
            }
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
            Step::AllDown => self.lose_brokers(),
            Step::HandledElsewhere { partition, count } => {
                self.client.handled_elsewhere(partition, count);
            }
            Step::Away { partition, count } => self.send_away(partition, count),
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
            Step::Settle => self.settle(),
            Step::Close { timeout } => self.close(timeout),
        }
    }

    fn attach(&self, lane: usize) {
        if self.consumer.attach(lane).is_ok() {
            self.ears.due.lock().insert(lane);
        }
    }

    pub(super) fn pull(&mut self, lane: usize, demand: usize) {
        let pulled = self.consumer.pull(lane, demand, || true).unwrap();
        assert!(pulled.messages() <= demand, "above demand");
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
        self.look_at_chunks(&pulled);
        if pulled.more {
            self.ears.due.lock().insert(lane);
        }
    }

    /// A chunk's range has nothing in it that the chunk has not, and that is unacked.
    fn look_at_chunks(&mut self, pulled: &Pulled) {
        assert_eq!(
            self.chunk_size.is_some() && !pulled.records.is_empty(),
            !pulled.chunks.is_empty()
        );
        let in_chunks: usize = pulled.chunks.iter().sum();
        assert!(pulled.chunks.is_empty() || in_chunks == pulled.records.len());
        for chunk in pulled.in_chunks() {
            let (first, last) = (chunk.first().unwrap(), chunk.last().unwrap());
            let (slot, epoch, partition) = (first.slot, first.epoch, first.message.partition());
            assert!(chunk.len() <= self.chunk_size.unwrap().get());
            assert!(chunk.iter().all(|it| (it.slot, it.epoch) == (slot, epoch)));
            let range = first.message.offset()..=last.message.offset();
            let unacked = self.seen[&partition].unacked();
            let inside: Vec<i64> = unacked.filter(|offset| range.contains(offset)).collect();
            let carried: Vec<i64> = chunk.iter().map(|it| it.message.offset()).collect();
            assert_eq!(inside, carried);
            self.chunks
                .push((slot, epoch, *range.start(), *range.end()));
        }
    }

    pub(super) fn ack_range(&mut self, range: AckRange) {
        let ears = Arc::clone(&self.ears);
        self.consumer.ack_ranges([range], |lane| ears.wake(lane));
        let (slot, epoch, first, last) = range;
        if let Some(seen) = self.seen.values_mut().find(|seen| seen.slot == slot) {
            let inside = seen.delivered.range(first..=last);
            let offsets: Vec<i64> = inside.map(|(offset, _)| *offset).collect();
            for offset in offsets {
                seen.ack(slot, epoch, offset);
            }
        }
        self.in_hand.retain(|(_, id)| {
            (id.0, id.1) != (slot, epoch) || !(first..=last).contains(&id.2) || id.2 % 5 == 0
        });
    }

    pub(super) fn ack(&mut self, ids: &[AckId]) {
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

    pub(super) fn turn(&mut self, after: u64) {
        clock::pass(Duration::from_millis(after));
        if self.left.is_some() {
            return;
        }
        if self.client.look().down {
            let soon = clock::now() + UNREACHABLE_TIMEOUT;
            self.leave_by = self.leave_by.map(|by| by.min(soon));
        }
        self.left = self.service.turn(None);
        self.read_journal();
        let late = self.left.is_none() && self.leave_by.is_some_and(|by| clock::now() > by);
        assert!(!late, "the close did not end in time");
        self.client.go_on();
    }

    /// Lets everything that waits for somebody be done, at once.
    fn settle(&mut self) {
        for _ in 0..4 {
            while self.client.work(true) {}
            self.turn(0);
            self.client.decide(Outcome::Done);
        }
        self.turn(0);
    }

    fn send_away(&mut self, partition: i32, count: usize) {
        self.client.take_back(&BTreeSet::from([partition]));
        self.settle();
        self.client.handled_elsewhere(partition, count);
        self.client.give(&BTreeSet::from([partition]));
        self.settle();
    }

    fn lose_brokers(&mut self) {
        self.disturbed = true;
        // What was answered before is read before.
        self.turn(0);
        self.client.all_down();
        self.turn(0);
    }

    /// The client fails for good. The member gives up what it has at once.
    pub(super) fn fail_for_good(&mut self) {
        self.disturbed = true;
        self.client.fail_for_good();
        self.turn(0);
        assert!(self.left.is_some() || self.seen.values().all(|seen| !seen.open));
    }

    pub(super) fn close(&mut self, timeout: u64) {
        if self.leave_by.is_none() {
            // A commit that is under way may end in any way before the last one goes.
            let cluster = self.client.look();
            let hindered =
                cluster.commit.is_some() || cluster.thrown_out || cluster.lost || cluster.down;
            self.disturbed = hindered || cluster.refuse_next_commit || timeout < 1_000;
            drop(cluster);
            let timeout = Duration::from_millis(timeout);
            self.leave_by = Some(clock::now() + timeout);
            self.consumer.close(timeout);
            self.turn(0);
        }
    }
}
