//! A member with its events and wake-ups in channels, pulled only when a wake-up says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consumer::{Assigned, Config, Consumer, Event, Progress, Revoked, Sink};
use crossbeam_channel::{unbounded, Receiver, Select, Sender};

use super::{Got, SOON};

struct Recorder {
    events: Sender<Event>,
    wakes: Sender<usize>,
}

impl Sink for Recorder {
    fn wake(&self, lane: usize) {
        let _ = self.wakes.send(lane);
    }

    fn event(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

pub struct Member {
    // None once it was dropped without a close.
    consumer: Option<Consumer>,
    pub events: Receiver<Event>,
    pub wakes: Receiver<usize>,
    wakes_by_acks: Sender<usize>,
    // Events that came while another one was waited for.
    unread: Vec<Event>,
    // By partition.
    confirmed: BTreeMap<i32, i64>,
    closed: bool,
}

impl Member {
    pub fn start(config: &Config) -> Member {
        let (events_tx, events) = unbounded();
        let (wakes_tx, wakes) = unbounded();
        let sink = Recorder {
            events: events_tx,
            wakes: wakes_tx.clone(),
        };
        Member {
            consumer: Some(Consumer::start(config, Arc::new(sink)).unwrap()),
            events,
            wakes,
            wakes_by_acks: wakes_tx,
            unread: Vec::new(),
            confirmed: BTreeMap::new(),
            closed: false,
        }
    }

    pub fn consumer(&self) -> &Consumer {
        self.consumer.as_ref().unwrap()
    }

    /// Waits for the first event, not taken before, that `pick` wants.
    pub fn event<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        self.event_within(what, SOON, pick)
    }

    pub fn event_within<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> T {
        let found = self.unread.iter().enumerate();
        if let Some((index, picked)) = found.filter_map(|(i, e)| Some((i, pick(e)?))).next() {
            self.unread.remove(index);
            return picked;
        }
        let deadline = Instant::now() + timeout;
        loop {
            let Some(event) = self.receive(deadline) else {
                panic!("no {what} within {timeout:?}: {:?}", self.told());
            };
            if let Some(picked) = pick(&event) {
                return picked;
            }
            self.unread.push(event);
        }
    }

    fn receive(&mut self, deadline: Instant) -> Option<Event> {
        let event = self.events.recv_deadline(deadline).ok()?;
        self.note(&event);
        Some(event)
    }

    fn note(&mut self, event: &Event) {
        self.closed |= matches!(event, Event::Closed(_));
        if let Event::Committed(offsets, _) = event {
            let confirmed = offsets.iter().map(|o| (o.partition, o.offset));
            self.confirmed.extend(confirmed);
        }
    }

    /// What the member told, its log aside.
    fn told(&self) -> Vec<&Event> {
        let told = self.unread.iter();
        told.filter(|e| !matches!(e, Event::Log { .. })).collect()
    }

    /// Every event that came and was not taken.
    pub fn unread(&mut self) -> &mut Vec<Event> {
        while let Some(event) = self.receive(Instant::now()) {
            self.unread.push(event);
        }
        &mut self.unread
    }

    pub fn assigned(&mut self) -> Vec<Assigned> {
        self.event("assignment", |event| match event {
            Event::Assigned(assigned) => Some(assigned.clone()),
            _ => None,
        })
    }

    pub fn revoked(&mut self) -> (Vec<Revoked>, Duration) {
        self.event("revoke", |event| match event {
            Event::Revoked(revoked, drain) => Some((revoked.clone(), *drain)),
            _ => None,
        })
    }

    /// A revoke, if one is answered within this time.
    pub fn unread_revoke_within(&mut self, timeout: Duration) -> Option<(Vec<Revoked>, Duration)> {
        let deadline = Instant::now() + timeout;
        while let Some(event) = self.receive(deadline) {
            if let Event::Revoked(revoked, drain) = event {
                return Some((revoked, drain));
            }
            self.unread.push(event);
        }
        None
    }

    /// Waits until a revoke reached the member.
    pub fn revoke_begun(&mut self) {
        self.event("revoke to begin", |event| {
            matches!(event, Event::Revoking(_)).then_some(())
        });
        // Asked after the turn that began it.
        self.consumer().progress().unwrap();
    }

    /// Waits until the broker confirmed this offset, or a later one.
    pub fn committed(&mut self, partition: i32, at_least: i64) {
        let deadline = Instant::now() + SOON;
        while self.confirmed.get(&partition).is_none_or(|c| *c < at_least) {
            let Some(event) = self.receive(deadline) else {
                panic!("no commit of {partition}/{at_least}: {:?}", self.told());
            };
            self.unread.push(event);
        }
    }

    /// Pulls, now and on wake-ups, until there are `count` records.
    pub fn take(&self, count: usize) -> Vec<Got> {
        self.take_by(count, usize::MAX)
    }

    /// The same with pulls of at most `demand`.
    pub fn take_by(&self, count: usize, demand: usize) -> Vec<Got> {
        let deadline = Instant::now() + SOON;
        let mut got = Vec::new();
        for lane in 0..self.consumer().lanes() {
            self.pull_into(lane, count, demand, &mut got);
        }
        while got.len() < count {
            let Ok(lane) = self.wakes.recv_deadline(deadline) else {
                panic!("{} of {count} records; {:?}", got.len(), self.stuck());
            };
            self.pull_into(lane, count, demand, &mut got);
        }
        got
    }

    fn pull_into(&self, lane: usize, count: usize, demand: usize, got: &mut Vec<Got>) {
        while got.len() < count {
            let demand = demand.min(count - got.len());
            let pulled = self.consumer().pull(lane, demand, || true).unwrap();
            assert!(pulled.records.len() <= demand, "above demand");
            got.extend(pulled.records.iter().map(|record| Got::new(lane, record)));
            if !pulled.more {
                return;
            }
        }
    }

    /// The same of one lane only.
    pub fn take_of(&self, lane: usize, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + SOON;
        let mut got = Vec::new();
        self.pull_into(lane, count, usize::MAX, &mut got);
        while got.len() < count {
            let Ok(woken) = self.wakes.recv_deadline(deadline) else {
                panic!("{} of {count} records; {:?}", got.len(), self.stuck());
            };
            if woken == lane {
                self.pull_into(lane, count, usize::MAX, &mut got);
            }
        }
        got
    }

    /// One pull of each lane, as much as there is.
    pub fn pull_all(&self) -> Vec<Got> {
        let mut got = Vec::new();
        for lane in 0..self.consumer().lanes() {
            self.pull_into(lane, usize::MAX, usize::MAX, &mut got);
        }
        got
    }

    /// Pulls, on wake-ups, until there is an event that `pick` wants; answers it and what came.
    pub fn pull_until<T>(
        &mut self,
        what: &str,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> (T, Vec<Got>) {
        let deadline = Instant::now() + SOON;
        let mut got = Vec::new();
        loop {
            got.extend(self.pull_all());
            let mut found = self.unread().iter().enumerate();
            if let Some((index, picked)) = found.find_map(|(i, e)| Some((i, pick(e)?))) {
                self.unread.remove(index);
                return (picked, got);
            }
            let mut select = Select::new();
            select.recv(&self.wakes);
            select.recv(&self.events);
            if select.ready_deadline(deadline).is_err() {
                panic!("no {what}; {:?}", self.stuck());
            }
            self.wakes.try_iter().for_each(drop);
        }
    }

    pub fn ack<'g>(&self, got: impl IntoIterator<Item = &'g Got>) {
        let ids = got.into_iter().map(|g| (g.slot, g.epoch, g.offset));
        self.consumer().ack(ids, self.wake());
    }

    /// What an ack calls for a lane that it woke.
    pub fn wake(&self) -> impl FnMut(usize) + '_ {
        |lane| self.wakes_by_acks.send(lane).unwrap()
    }

    pub fn progress(&self, partition: i32) -> Progress {
        let all = self.consumer().progress().unwrap();
        all.into_iter().find(|p| p.partition == partition).unwrap()
    }

    /// What there is to say when nothing comes any more.
    pub fn stuck(&self) -> (Vec<Progress>, Vec<Event>) {
        let events = self.told().into_iter().cloned();
        let progress = self.consumer().progress().unwrap_or_default();
        (progress, events.chain(self.events.try_iter()).collect())
    }

    /// Closes, and waits until the member says that it is.
    pub fn close(&mut self) -> Result<(), consumer::Error> {
        self.consumer().close(SOON / 2);
        self.wait_closed()
    }

    pub fn wait_closed(&mut self) -> Result<(), consumer::Error> {
        self.event("end", |event| match event {
            Event::Closed(result) => Some(result.clone()),
            _ => None,
        })
    }

    /// What a holder does who forgets to close.
    pub fn drop_consumer(&mut self) {
        self.consumer = None;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let (false, Some(consumer)) = (self.closed, self.consumer.take()) {
            consumer.close(Duration::from_secs(1));
            // The cluster goes after this: whoever talks to it should have left.
            let deadline = Instant::now() + Duration::from_secs(2);
            while let Ok(event) = self.events.recv_deadline(deadline) {
                if matches!(event, Event::Closed(_)) {
                    return;
                }
            }
        }
    }
}
