//! Lanes that are claimed at run time, and partitions that go to them and come back.
//!
//! A partition that is assigned and nobody's is paused: nothing of it is fetched, and what is unacked
//! stays unacked. Whoever claims it is delivered that again, before what follows.

use std::ops::Range;
use std::sync::Arc;

use crate::claims::Claim;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::event::{Event, Redelivered};
use crate::lane::{Bell, Lane};
use crate::offsets::Offsets;
use crate::partition::{Flow, Partition};
use crate::service::Service;
use crate::shared::Shared;
use crate::shelf::Shelf;

impl Consumer {
    /// Makes so many lanes for partitions, those included that are assigned later, and answers the
    /// first of them; the others follow it. Partitions of several topics, or of one, are spread over
    /// them.
    ///
    /// `max_in_flight` is in place of [`crate::Config::max_in_flight`] for each of them.
    ///
    /// Fails when some of it is claimed already, as all is of a member with a fixed number of lanes.
    pub fn claim(
        &self,
        claim: Claim,
        lanes: usize,
        max_in_flight: Option<u64>,
    ) -> Result<usize, Error> {
        let claimed = self.shared.claim(claim, lanes.max(1), max_in_flight);
        claimed.map(|range| range.start)
    }

    /// Whether [`claim`](Self::claim) would be refused for what others have claimed.
    pub fn check_claim(&self, claim: &Claim) -> Result<(), Error> {
        self.shared.claims.lock().check(claim)
    }

    /// Ends the claim whose first lane this is, and answers how many it had. Its partitions are nobody's
    /// until they are claimed again; acks of what they delivered still count. `None` if it is no such
    /// lane.
    pub fn release(&self, first: usize) -> Option<usize> {
        if !self.shared.has_claimed_lanes() {
            return None;
        }
        let released = self.shared.claims.lock().release(first)?;
        self.shared.change_claims();
        Some(released.len())
    }
}

impl Shared {
    fn claim(
        &self,
        claim: Claim,
        count: usize,
        max_in_flight: Option<u64>,
    ) -> Result<Range<usize>, Error> {
        let mut claims = self.claims.lock();
        claims.check(&claim)?;
        let lanes = match claims.reuse(count) {
            Some(lanes) => lanes,
            None => self.add_lanes(count)?,
        };
        for lane in lanes.clone().filter_map(|lane| self.lanes.get(lane)) {
            lane.set_max_in_flight(max_in_flight);
        }
        claims.put(claim, lanes.clone());
        drop(claims);
        self.change_claims();
        Ok(lanes)
    }

    /// The caller holds the claims: lanes are added in turn.
    fn add_lanes(&self, count: usize) -> Result<Range<usize>, Error> {
        let first = self.lanes.len();
        let pool = self.pools.first();
        let (Some(pool), true) = (pool, count <= Shelf::<Lane>::CAPACITY - first) else {
            return Err(Error::Lane {
                lane: first.saturating_add(count),
                lanes: first,
            });
        };
        self.lanes.grow_to(first + count, |index| {
            let bell = Bell::new(index, Arc::clone(&self.sink));
            Lane::new(Arc::new(bell), Arc::clone(pool))
        });
        Ok(first..first + count)
    }
}

impl Service {
    /// Moves partitions to the lanes that they are claimed for.
    pub(crate) fn step_claims(&mut self) {
        if !self.shared.take_claims_changed() {
            return;
        }
        let released = self.shared.claims.lock().take_released();
        for lane in released.iter().cloned().flatten() {
            let of_lane = |it: &Arc<Partition>| it.lane() == Some(lane);
            let left: Vec<_> = self.shared.all().into_iter().filter(of_lane).collect();
            self.give_up(&left);
            if let Some(lane) = self.shared.lanes.get(lane) {
                // A pull that was let in before its process gave the lane up may arm it yet.
                let _no_pull = lane.pool.intake.lock();
                lane.detach();
                lane.bell.disarm();
                lane.ready.lock().clear();
            }
        }
        let claimed: Vec<(Arc<Partition>, usize)> = {
            let mut claims = self.shared.claims.lock();
            claims.free(released);
            let all = self.shared.all().into_iter();
            all.filter(|it| it.lane().is_none())
                .filter_map(|it| Some((Arc::clone(&it), claims.lane_for(&it.topic, it.partition)?)))
                .collect()
        };
        self.take_up(&claimed);
    }

    /// Nothing more of these is delivered to anybody.
    fn give_up(&self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            let no_pull = self.shared.pool_of(partition).intake.lock();
            partition.put_on(None);
            drop(no_pull);
            let flow = partition.lock().flow;
            self.set_aside(partition, flow);
        }
        self.pause_unclaimed(partitions);
    }

    fn take_up(&self, claimed: &[(Arc<Partition>, usize)]) {
        let mut again = Vec::new();
        let mut assigned = Vec::new();
        for (partition, lane) in claimed {
            let no_pull = self.shared.pool_of(partition).intake.lock();
            partition.put_on(Some(*lane));
            drop(no_pull);
            let flow = partition.lock().flow;
            if !matches!(flow, Flow::Unclaimed | Flow::Stopped) {
                continue;
            }
            let attempt = self.begin_attempt(partition);
            // Of one that goes nothing is delivered, unless it stays after all.
            if flow == Flow::Unclaimed {
                again.extend(attempt);
                self.set_aside(partition, Flow::Held);
                self.resume_claimed(partition);
                self.seek(partition);
                assigned.push((partition.topic.to_string(), partition.partition));
            }
        }
        self.nudge.send(assigned);
        if !again.is_empty() {
            self.shared.sink.event(Event::Redelivered(again));
        }
    }

    /// Counts what is unacked as not delivered; answers what will be delivered again, if anything.
    pub(crate) fn begin_attempt(&self, partition: &Partition) -> Option<Redelivered> {
        let mut state = partition.lock();
        let offset = state.begin_attempt()?;
        Some(Redelivered {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch: state.cursor.epoch(),
            offset,
            count: state.cursor.tracker().map_or(0, |it| it.in_flight()),
        })
    }

    /// Keeps librdkafka from fetching what nobody would take.
    pub(crate) fn pause_unclaimed(&self, partitions: &[Arc<Partition>]) {
        let unclaimed: Vec<_> = partitions
            .iter()
            .filter(|it| it.lock().shut())
            .map(|it| (&*it.topic, it.partition, 0))
            .collect();
        if !unclaimed.is_empty() {
            self.client.pause(&Offsets::new(unclaimed));
        }
    }

    /// A pause outlives the assignment that it came in.
    pub(crate) fn resume_claimed(&self, partition: &Partition) {
        if partition.lane().is_some() && partition.lock().open() {
            let list = Offsets::new([(&*partition.topic, partition.partition, 0)]);
            self.client.resume(&list);
        }
    }
}
