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
            .filter_map(|partition| self.look(partition, timeout, now))
            .collect();
        if !stalled.is_empty() {
            shared.sink.event(Event::Stalled(stalled));
        }
    }

    fn look(&mut self, partition: &Partition, timeout: Duration, now: Instant) -> Option<Stalled> {
        let state = partition.lock();
        // One that is being revoked is bounded by its drain.
        let tracker = state
            .cursor
            .tracker()
            .filter(|_| state.flow != Flow::Stopped);
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
