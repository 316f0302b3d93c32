//! Those who claim lanes, pull them, and ack and commit what they got.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use crate::claims::Claim;
use crate::cluster::TOPIC;
use crate::consumer::{AckId, AckRange};
use crate::error::Error;
use crate::event::Sink;
use crate::explicit::{Manner, Place, Wish};
use crate::intake::Pulled;

use super::life::{Life, PATIENCE};
use super::seen::Seen;
use super::steps::LANES;

impl Life {
    /// Whoever has the lanes is gone, and with it what it had, unless somebody else holds it.
    pub(super) fn release(&mut self, forget: bool) {
        if self.claimed && !self.nobodys {
            assert_eq!(self.consumer.release(self.first), Some(LANES));
            self.nobodys = true;
            if forget {
                self.in_hand.clear();
            }
        }
    }

    pub(super) fn claim(&mut self) {
        if self.nobodys {
            self.nobodys = false;
            self.just_claimed = true;
            self.first = self.consumer.claim(Claim::All, LANES, None).unwrap();
            (self.first..self.first + LANES).for_each(|lane| self.attach(lane));
        }
    }

    pub(super) fn attach(&self, lane: usize) {
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
            assert!(
                !self.paused.all && !self.paused.covers(TOPIC, partition),
                "{partition} while it is paused"
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

    /// Commits a record. One that is of the current epoch is taken, and no other.
    pub(super) fn commit(&mut self, (slot, epoch, offset): AckId) {
        let wish = Wish {
            place: Place::Slot(slot, epoch),
            offset: Some(offset + 1),
        };
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Arc::clone(&self.waiting);
        let answer = move |_| {
            waiting.fetch_sub(1, Ordering::SeqCst);
        };
        let manner = Manner {
            back: false,
            wait: Some((PATIENCE, Box::new(answer))),
        };
        let ears = Arc::clone(&self.ears);
        let taken = self
            .consumer
            .commit(&[wish], manner, |lane| ears.wake(lane));
        let seen = self.seen.values_mut().find(|seen| seen.slot == slot);
        let current = seen.filter(|seen| seen.open && seen.epoch == epoch);
        match (taken, current) {
            (Ok(()), Some(seen)) => seen.commit(offset + 1),
            (Err(Error::StaleEpoch { .. }), None) | (Err(Error::Closed), _) => {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            (taken, seen) => panic!("{taken:?} of {seen:?}"),
        }
    }
}
