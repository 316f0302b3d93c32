//! A member's life: it is played step by step, and all that it does is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;
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
use crate::journal::{self, Note};
use crate::paused::Paused;
use crate::service::{self, Service};
use crate::sync::Mutex;

use super::seen::Seen;
use super::steps::{LANES, PARTITIONS};

pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
// Few records are a partition's share of it.
const BUFFERED: u64 = 10_000;
pub(super) const UNACKED_TIMEOUT: Duration = Duration::from_millis(1_500);

pub(super) const PATIENCE: Duration = Duration::from_secs(1);

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
    pub(super) chunk_size: Option<NonZeroUsize>,
    /// What the member told to be paused.
    pub(super) paused: Paused,
    pub(super) by_hand: bool,
    /// How many wait for the answer to a commit.
    pub(super) waiting: Arc<AtomicUsize>,
    /// The first of the lanes, of which there are `LANES`.
    pub(super) first: usize,
    /// Whether they are claimed, and by nobody at the time.
    pub(super) claimed: bool,
    pub(super) nobodys: bool,
    /// Whether they were nobody's when the rebalance began that is under way, or might have been.
    pub(super) just_claimed: bool,
    /// When the member that is leaving must have left.
    pub(super) leave_by: Option<Instant>,
    pub(super) left: Option<Result<(), Error>>,
    /// Something has been in a commit's way since the close began.
    pub(super) disturbed: bool,
}

impl Life {
    pub(super) fn new(
        eager: bool,
        commit_interval: u64,
        by_hand: bool,
        chunk_size: Option<NonZeroUsize>,
        claimed: bool,
    ) -> Life {
        journal::take();
        let mut properties = vec![("partitions".to_owned(), PARTITIONS.to_string())];
        properties.extend(eager.then(|| ("eager".to_owned(), String::new())));
        let config = Config {
            properties,
            topics: vec![Topic {
                name: TOPIC.to_owned(),
                reset: ResetPolicy::Earliest,
            }],
            lanes: if claimed { 0 } else { LANES },
            commit_interval: Duration::from_millis(commit_interval),
            commit_threshold: (commit_interval > 0).then_some(5),
            commit_by_hand: by_hand,
            unacked_timeout: Some(UNACKED_TIMEOUT),
            drain_timeout: DRAIN_TIMEOUT,
            max_in_flight: 3 * chunk_size.map_or(1, NonZeroUsize::get) as u64,
            max_buffered_bytes: BUFFERED,
            chunk_size,
            paused: Paused::default(),
        };
        let ears = Arc::new(Ears::default());
        let sink = Arc::clone(&ears) as Arc<dyn Sink>;
        let (service, commands) = service::create(&config, sink).unwrap();
        let shared = Arc::clone(&service.shared);
        let mut life = Life {
            client: Arc::clone(&service.client),
            consumer: Consumer { shared, commands },
            service,
            ears,
            seen: BTreeMap::new(),
            in_hand: Vec::new(),
            chunks: Vec::new(),
            chunk_size,
            paused: Paused::default(),
            by_hand,
            waiting: Arc::default(),
            first: 0,
            claimed,
            nobodys: claimed,
            just_claimed: false,
            leave_by: None,
            left: None,
            disturbed: false,
        };
        life.claim();
        (0..LANES).for_each(|lane| life.attach(lane));
        life
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
        if self.left.is_some() {
            self.service.commits.give_up();
        }
        self.read_journal();
        self.just_claimed &= self.client.look().unanswered.is_some();
        let late = self.left.is_none() && self.leave_by.is_some_and(|by| clock::now() > by);
        assert!(!late, "the close did not end in time");
        self.client.go_on();
    }

    /// Lets everything that waits for somebody be done, at once.
    pub(super) fn settle(&mut self) {
        for _ in 0..4 {
            while self.client.work(true) {}
            self.turn(0);
            self.client.decide(Outcome::Done);
        }
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
