//! The watchdog: partitions whose oldest unacked record has been the same for too long.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::after;
use crate::event::{Event, Stalled};
use crate::partition::{Flow, Partition};
use crate::shared::Shared;

pub(crate) struct Stalls {
    timeout: Option<Duration>,
    oldest: HashMap<u32, Oldest>,
    next_look: Instant,
}

/// A partition's oldest unacked record, since it was first seen to be that.
#[derive(Clone, Copy)]
struct Oldest {
    epoch: u32,
    offset: i64,
    since: Instant,
    tell_at: Instant,
}

// Looks for each timeout: an age is short of the truth by one of them at most.
const LOOKS: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

impl Stalls {
    /// With `None` nothing is ever told.
    pub(crate) fn new(timeout: Option<Duration>, now: Instant) -> Stalls {
        Stalls {
            timeout,
            oldest: HashMap::new(),
            next_look: now,
        }
    }

    /// When the next look is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.timeout.map(|_| self.next_look)
    }

    /// Tells of each partition whose oldest record stayed the same for the timeout, and again
    /// for each further one.
    pub(crate) fn step(&mut self, shared: &Shared, now: Instant) {
        let Some(timeout) = self.timeout.filter(|_| now >= self.next_look) else {
            return;
        };
        self.next_look = now + (timeout / LOOKS).clamp(SHORTEST, LONGEST);
        let stalled: Vec<Stalled> = shared
            .all()
            .iter()
            .filter_map(|partition| self.look(partition, shared.all_paused(), timeout, now))
            .collect();
        if !stalled.is_empty() {
            shared.sink.event(Event::Stalled(stalled));
        }
    }

    /// How long a partition's oldest unacked record has been that, when a look has seen it.
    pub(crate) fn age(&self, partition: &Partition, now: Instant) -> Option<Duration> {
        let seen = self.oldest.get(&partition.slot)?;
        let state = partition.lock();
        let offset = state.cursor.tracker()?.oldest_unacked()?;
        ((seen.epoch, seen.offset) == (state.cursor.epoch(), offset))
            .then(|| now.saturating_duration_since(seen.since))
    }

    fn look(
        &mut self,
        partition: &Partition,
        all_paused: bool,
        timeout: Duration,
        now: Instant,
    ) -> Option<Stalled> {
        let state = partition.lock();
        // One that is being revoked is bounded by its drain, and nobody's waits to be claimed.
        let tracker = state
            .cursor
            .tracker()
            .filter(|_| !matches!(state.flow, Flow::Stopped | Flow::Unclaimed));
        // Nobody has it: it is to be delivered again once it is no longer paused.
        let paused = all_paused || state.is_on_hold();
        let tracker = tracker.filter(|it| !(paused && it.oldest_unacked() >= Some(it.next())));
        let Some(offset) = tracker.and_then(|tracker| tracker.oldest_unacked()) else {
            self.oldest.remove(&partition.slot);
            return None;
        };
        let epoch = state.cursor.epoch();
        let fresh = Oldest {
            epoch,
            offset,
            since: now,
            tell_at: after(now, timeout),
        };
        let seen = self.oldest.entry(partition.slot).or_insert(fresh);
        if (seen.epoch, seen.offset) != (epoch, offset) {
            *seen = fresh;
        }
        if now < seen.tell_at {
            return None;
        }
        seen.tell_at = after(now, timeout);
        Some(Stalled {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch,
            offset,
            in_flight: tracker.map_or(0, |tracker| tracker.in_flight()),
            age: now.saturating_duration_since(seen.since),
        })
    }
}
