//! Commits: at most one under way, of every offset that is due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaRespErr;

use crate::client::Client;
use crate::clock::after;
use crate::code::Code;
use crate::error::Error;
use crate::event::{Event, Offset};
use crate::offsets::{Entry, Offsets};
use crate::queue::Queue;
use crate::shared::Shared;
use crate::waiter::Waiter;

pub(crate) struct Commits {
    interval: Duration,
    under_way: Option<UnderWay>,
    not_before: Instant,
    retry_at: Option<Instant>,
    pause: Duration,
    // When the last commit was sent, if the broker did not take us for its member, or all that is
    // left of it is of topics that are deleted.
    refused: Option<Instant>,
    trust: Trust,
    waiters: Vec<Waiter>,
}

/// Librdkafka sends again, on a new connection, what a broker leaves unanswered for a second. What
/// it sent before may lie with the broker until that goes on, and be executed after what came later:
/// whoever is next would begin too early. So after a commit that failed or took long, the next one
/// that succeeds is sent again before it counts.
enum Trust {
    Full,
    /// An earlier commit may be executed yet.
    Doubt,
    /// What was sent last is sent again.
    Again,
}

struct UnderWay {
    // By topic and partition: slot, epoch and offset.
    sent: HashMap<(String, i32), (u32, u32, i64)>,
    since: Instant,
}

const LATE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Commits {
    pub(crate) fn new(interval: Duration, now: Instant) -> Commits {
        Commits {
            interval,
            under_way: None,
            not_before: now,
            retry_at: None,
            pause: FIRST_PAUSE,
            refused: None,
            trust: Trust::Full,
            waiters: Vec::new(),
        }
    }

    /// When the next commit may go, if one is wanted and none is under way.
    pub(crate) fn due(&self, shared: &Shared, urgent: bool, now: Instant) -> Option<Instant> {
        let free = self.under_way.is_none() && shared.commit_wanted();
        let urgent = urgent || shared.commit_wanted_now();
        let regular = (!urgent).then_some(self.not_before);
        free.then(|| self.retry_at.max(regular).unwrap_or(now))
    }

    /// Takes somebody who waits for what is asked for already.
    pub(crate) fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// Answers those who wait and need no longer.
    pub(crate) fn settle(&mut self, shared: &Shared, now: Instant) {
        self.settle_refused(shared, &HashMap::new(), now);
    }

    fn settle_refused(
        &mut self,
        shared: &Shared,
        refused: &HashMap<Code, Vec<Offset>>,
        now: Instant,
    ) {
        self.waiters
            .retain_mut(|waiter| !waiter.settle(shared, refused, now));
    }

    /// Until when somebody waits.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.deadline).min()
    }

    /// Tells those who wait that nothing is committed any more.
    pub(crate) fn give_up(&mut self) {
        self.waiters.clear();
    }

    /// Whether a commit is under way or due.
    pub(crate) fn is_busy(&self, shared: &Shared) -> bool {
        self.under_way.is_some() || shared.commit_wanted()
    }

    /// Whether the broker refused the last one because we are no longer the member we were, or the
    /// topics are gone. One sent before `since` says nothing: a rebalance had begun a new
    /// generation meanwhile.
    pub(crate) fn is_refused_since(&self, since: Instant) -> bool {
        self.refused.is_some_and(|sent| sent >= since)
    }

    /// Lets the next commit go without waiting for its interval, or for what made the last fail.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.not_before = now;
        self.retry_at = None;
        self.pause = FIRST_PAUSE;
    }

    /// Sends what is due.
    pub(crate) fn step(
        &mut self,
        shared: &Shared,
        client: &Client,
        results: &Queue,
        now: Instant,
        urgent: bool,
    ) {
        if self.due(shared, urgent, now).is_none_or(|at| at > now) {
            return;
        }
        // A lost assignment belongs to somebody else: committing it could move him back.
        if client.assignment_lost() {
            self.retry_at = Some(now + self.pause);
            return;
        }
        shared.take_commit_wanted();
        let mut sent = HashMap::new();
        for partition in shared.all() {
            let state = partition.lock();
            if let Some(offset) = state.cursor.to_commit() {
                let id = (partition.slot, state.cursor.epoch(), offset);
                sent.insert((partition.topic.to_string(), partition.partition), id);
            }
        }
        if sent.is_empty() {
            return;
        }
        let list = Offsets::new(
            sent.iter()
                .map(|((topic, partition), (_, _, offset))| (topic.as_str(), *partition, *offset)),
        );
        self.not_before = after(now, self.interval);
        self.under_way = Some(UnderWay { sent, since: now });
        if let Err(error) = client.commit(&list, results) {
            self.result(shared, error.code(), Vec::new(), now);
        }
    }

    /// Takes the broker's answer.
    pub(crate) fn result(
        &mut self,
        shared: &Shared,
        code: Option<Code>,
        entries: Vec<Entry>,
        now: Instant,
    ) {
        let Some(UnderWay { mut sent, since }) = self.under_way.take() else {
            return;
        };
        let latency = now.saturating_duration_since(since);
        let sure = match self.trust {
            Trust::Full => latency < LATE,
            Trust::Doubt => false,
            Trust::Again => true,
        };
        let mut failed: HashMap<Code, Vec<Offset>> = HashMap::new();
        let mut committed = Vec::new();
        // The whole request's code counts where no partition has one of its own.
        let whole = code.filter(|_| entries.iter().all(|entry| entry.error.is_none()));
        for entry in entries {
            let Some((slot, epoch, offset)) = sent.remove(&(entry.topic.clone(), entry.partition))
            else {
                continue;
            };
            let at = Offset {
                topic: entry.topic,
                partition: entry.partition,
                offset,
            };
            match entry.error.or(whole) {
                Some(code) => failed.entry(code).or_default().push(at),
                None => {
                    if let Some(partition) = shared.partition(slot).filter(|_| sure) {
                        partition.lock().cursor.confirm(epoch, offset);
                    }
                    committed.push(at);
                }
            }
        }
        // What the answer does not name was not committed.
        if let (false, Some(code)) = (
            sent.is_empty(),
            code.or_else(|| Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL)),
        ) {
            let rest = sent
                .into_iter()
                .map(|((topic, partition), (_, _, offset))| Offset {
                    topic,
                    partition,
                    offset,
                });
            failed.entry(code).or_default().extend(rest);
        }
        if !committed.is_empty() {
            shared.sink.event(Event::Committed(committed, latency));
        }
        let fenced = failed.keys().any(|code| code.is_fenced());
        let gone = !failed.is_empty() && failed.keys().all(|code| code.is_gone());
        self.refused = (fenced || gone).then_some(since);
        self.trust = match failed.keys().any(|code| code.is_local()) {
            true => Trust::Doubt,
            false if sure => Trust::Full,
            false => Trust::Again,
        };
        // Before the epoch can end of what was committed just now.
        self.settle_refused(shared, &failed, now);
        self.after(shared, failed, now);
    }

    fn after(&mut self, shared: &Shared, failed: HashMap<Code, Vec<Offset>>, now: Instant) {
        // What is sent again has waited for its interval.
        if !failed.is_empty() || matches!(self.trust, Trust::Again) {
            self.not_before = now;
        }
        if failed.is_empty() {
            self.retry_at = None;
            self.pause = FIRST_PAUSE;
            if matches!(self.trust, Trust::Again) {
                self.retry_at = Some(now + FIRST_PAUSE);
                shared.want_commit();
            }
            return;
        }
        self.retry_at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        for (code, offsets) in failed {
            shared
                .sink
                .event(Event::CommitFailed(Error::kafka("commit", code), offsets));
        }
        shared.want_commit();
    }
}
