//! Positions that are set anew while a partition stays ours: after a fault, out of range, over
//! control records.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use delivery::Tracker;
use rdkafka::types::RDKafkaRespErr;

use crate::client::Protocol;
use crate::code::Code;
use crate::describe::TopicId;
use crate::error::Error;
use crate::event::Event;
use crate::lookup::Job;
use crate::offsets::Offsets;
use crate::partition::{Flow, Partition};
use crate::pool::Pool;
use crate::positions::Position;
use crate::service::Service;
use crate::shared::Fault;

impl Service {
    /// Takes what was fetched of a partition and not delivered out of the way. One that is held
    /// or failed fetches into a queue of its own: what comes from the restored position is not to
    /// be dropped with what came before it.
    pub(crate) fn set_aside(&self, partition: &Partition, flow: Flow) {
        let mut intake = self.shared.pool_of(partition).intake.lock();
        intake.aging.end(&self.shared);
        intake.fetched.retain(|message| {
            message.partition() != partition.partition || message.topic() != &*partition.topic
        });
        let mut state = partition.lock();
        state.flow = match flow {
            Flow::Stopped => Flow::Stopped,
            _ if partition.lane().is_none() => Flow::Unclaimed,
            _ => flow,
        };
        self.shared.limits.count(state.parked_bytes(), 0);
        let paused = state.discard_fetched();
        if let Some(queue) = &state.queue {
            let apart = !matches!(state.flow, Flow::Running | Flow::Stopped);
            queue.forward(intake.queue.as_ref().filter(|_| !apart));
        }
        // Acks wait for the state.
        drop(state);
        if paused {
            let list = Offsets::new([(&*partition.topic, partition.partition, 0)]);
            self.client.resume(&list);
        }
    }

    /// Looks after partitions that failed in the middle of their records.
    pub(crate) fn settle_faults(&mut self) {
        for fault in self.shared.take_faults() {
            if let Some(partition) = self.shared.partition(fault.slot) {
                if self.is_held(&partition, fault.epoch) {
                    self.settle(&partition, fault);
                }
            }
        }
    }

    fn is_held(&self, partition: &Partition, epoch: u32) -> bool {
        let state = partition.lock();
        state.flow == Flow::Held && state.cursor.is_assigned() && state.cursor.epoch() == epoch
    }

    fn settle(&self, partition: &Arc<Partition>, fault: Fault) {
        use RDKafkaRespErr::*;
        self.set_aside(partition, Flow::Held);
        if fault.code.is(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
            // librdkafka hands this fault out however old it is. One from an earlier assignment
            // speaks of another position: to follow it would skip records.
            return if is_next(partition, fault.offset) {
                self.look_up_reset(partition, fault.epoch)
            } else {
                self.seek(partition)
            };
        }
        let corrupt = fault.code.is(RD_KAFKA_RESP_ERR__BAD_MSG);
        let rest = if corrupt {
            "; the partition stops here, as going on would skip records"
        } else {
            ""
        };
        self.report(Error::Kafka {
            code: fault.code,
            message: format!(
                "{} [{}]: {}{rest}",
                partition.topic, partition.partition, fault.text
            ),
            fatal: false,
            topic: Some(partition.topic.to_string()),
            partition: Some(partition.partition),
        });
        if corrupt {
            partition.lock().flow = Flow::Failed;
        } else {
            self.seek(partition);
        }
    }

    fn look_up_reset(&self, partition: &Partition, epoch: u32) {
        let state = partition.lock();
        let again = state.cursor.tracker().is_some_and(Tracker::redelivering);
        let (topic, topic_id) = (partition.topic.to_string(), state.topic_id);
        self.lookup.send(Job::Reset {
            slot: partition.slot,
            epoch,
            partition: (topic, partition.partition, topic_id),
            again,
        });
    }

    /// A topic that was deleted and created again starts anew. librdkafka goes on in it where it
    /// was, and the records before that would be skipped.
    pub(crate) fn see_topics(&self, ids: &HashMap<String, TopicId>) {
        for partition in self.assigned() {
            let epoch = {
                let mut state = partition.lock();
                // The look at the time of its assignment may have failed.
                let is_another = ids
                    .get(&*partition.topic)
                    .is_some_and(|is| state.topic_id.get_or_insert(*is) != is);
                (is_another && !matches!(state.flow, Flow::Stopped | Flow::Unclaimed))
                    .then(|| state.cursor.epoch())
            };
            if let Some(epoch) = epoch {
                self.set_aside(&partition, Flow::Held);
                self.look_up_reset(&partition, epoch);
            }
        }
    }

    /// A record went past its lane: it must be fetched again, or a gap would open.
    pub(crate) fn hold_stray(&self, topic: &str, partition: i32) {
        let Some(partition) = self.shared.find(topic, partition) else {
            return;
        };
        if partition.lock().flow == Flow::Running {
            self.set_aside(&partition, Flow::Held);
            self.seek(&partition);
        }
    }

    /// Moves the fetch position to the cursor's next offset.
    pub(crate) fn seek(&self, partition: &Partition) {
        let state = partition.lock();
        let Some(offset) = state.cursor.tracker().map(|tracker| tracker.next()) else {
            return;
        };
        let (slot, epoch) = (partition.slot, state.cursor.epoch());
        self.lookup.send(Job::Seek {
            slot,
            epoch,
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset,
        });
    }

    pub(crate) fn apply_seek(&mut self, slot: u32, epoch: u32, result: Result<i64, Error>) {
        let Some(partition) = self.shared.partition(slot) else {
            return;
        };
        if !self.is_held(&partition, epoch) {
            return;
        }
        let next = partition
            .lock()
            .cursor
            .tracker()
            .map(|tracker| tracker.next());
        match result {
            Ok(offset) if next == Some(offset) && self.is_unread(&partition) => {
                self.set_aside(&partition, Flow::Running);
            }
            Ok(_) => self.seek(&partition),
            Err(error) if error.code().is_some_and(is_not_fetched) => {
                self.waiting_resets.push((slot, epoch, None));
            }
            Err(error) => {
                self.report(error);
                self.seek(&partition);
            }
        }
        self.shared.ring(partition.lane());
    }

    /// Whether nothing was read since the seek. A pull that was reading while it was done may
    /// have moved the position past it, which a pause of librdkafka's would take for the truth.
    fn is_unread(&self, partition: &Partition) -> bool {
        let _no_pull = self.shared.pool_of(partition).intake.lock();
        let list = Offsets::new([(&*partition.topic, partition.partition, 0)]);
        self.client.positions(&list).is_ok() && list.entries().iter().all(|entry| entry.offset < 0)
    }

    /// Takes the policy's offset for a position that does not exist.
    pub(crate) fn apply_reset(&mut self, slot: u32, epoch: u32, result: Result<Position, Error>) {
        match result {
            Ok(position) => self.waiting_resets.push((slot, epoch, Some(position))),
            Err(error) => {
                self.report(error);
                if let Some(partition) = self.shared.partition(slot) {
                    if self.is_held(&partition, epoch) {
                        self.look_up_reset(&partition, epoch);
                    }
                }
            }
        }
    }

    /// Applies resets, outside of a rebalance: librdkafka takes no assignment then but the one it
    /// waits for.
    pub(crate) fn apply_waiting_resets(&mut self) {
        if !self.rebalance.is_settled() || self.leaving.is_some() {
            return;
        }
        for (slot, epoch, position) in std::mem::take(&mut self.waiting_resets) {
            if let Some(partition) = self.shared.partition(slot) {
                if self.is_held(&partition, epoch) {
                    self.assign_anew(&partition, position);
                }
            }
        }
    }

    /// Goes on at another offset, or where it was when librdkafka gave it up. A seek does not
    /// recover from a position that does not exist; a new assignment does, and with another offset
    /// comes a new epoch.
    fn assign_anew(&self, partition: &Arc<Partition>, position: Option<Position>) {
        let reset = position.map(|position| {
            let mut state = partition.lock();
            let from = state.cursor.tracker().map_or(-1, |tracker| tracker.next());
            state.begin_epoch(position.start, None);
            state.topic_id = position.topic_id;
            Event::Reset {
                topic: position.topic,
                partition: position.partition,
                from,
                to: position.start,
            }
        });
        let protocol = self.rebalance.protocol();
        let again = match protocol {
            Protocol::Cooperative => vec![Arc::clone(partition)],
            // The eager protocol knows whole assignments only.
            Protocol::Eager => self.assigned(),
        };
        let list = Offsets::new(again.iter().filter_map(|p| {
            let next = p.lock().cursor.tracker()?.next();
            Some((&*p.topic, p.partition, next))
        }));
        self.client
            .unassign(protocol, &list)
            .unwrap_or_else(|error| self.report(error));
        // The partitions' stop is queued behind that, and undoes the forwarding of their queues.
        let _ = self.client.protocol();
        for each in &again {
            let flow = if Arc::ptr_eq(each, partition) {
                Flow::Running
            } else {
                each.lock().flow
            };
            self.join_lane(each, flow);
        }
        self.client
            .assign(protocol, &list)
            .unwrap_or_else(|error| self.report(error));
        self.shared.want_commit();
        if let Some(reset) = reset {
            self.shared.sink.event(reset);
        }
        self.resume();
    }

    /// The partitions that are ours now.
    pub(crate) fn assigned(&self) -> Vec<Arc<Partition>> {
        let all = self.shared.all().into_iter();
        all.filter(|p| p.lock().cursor.is_assigned()).collect()
    }

    /// Joins a partition's queue to its lane's, as an assignment begins with fresh queues; what
    /// was fetched before comes again.
    fn join_lane(&self, partition: &Partition, flow: Flow) {
        partition.lock().queue = self
            .client
            .partition_queue(&partition.topic, partition.partition);
        self.set_aside(partition, flow);
    }

    /// Moves cursors over control records and trailing gaps. The caller holds the pool's intake,
    /// and nothing waits in it.
    pub(crate) fn advance_positions(&self, pool: &Pool) {
        let partitions: Vec<Arc<Partition>> = self
            .shared
            .all()
            .into_iter()
            .filter(|it| ptr::eq(self.shared.pool_of(it), pool) && is_idle(it))
            .collect();
        if partitions.is_empty() {
            return;
        }
        let list = Offsets::new(partitions.iter().map(|p| (&*p.topic, p.partition, 0)));
        if self.client.positions(&list).is_err() {
            return;
        }
        for (partition, entry) in partitions.iter().zip(list.entries()) {
            let mut state = partition.lock();
            if entry.error.is_none() && entry.offset >= 0 {
                state.cursor.advance(entry.offset);
                if state.cursor.to_commit().is_some() {
                    self.shared.want_commit();
                }
            }
        }
    }
}

/// Whether a fault's offset, where it has one, is where the partition goes on.
fn is_next(partition: &Partition, offset: i64) -> bool {
    let state = partition.lock();
    let next = state.cursor.tracker().map(Tracker::next);
    offset < 0 || next == Some(offset)
}

/// Whether a seek was refused because librdkafka has given a partition up, as it does when its
/// position does not exist. Only an assignment begins again; if the position still does not exist
/// we hear of it.
fn is_not_fetched(code: Code) -> bool {
    code.is(RDKafkaRespErr::RD_KAFKA_RESP_ERR__STATE)
}

fn is_idle(partition: &Partition) -> bool {
    let state = partition.lock();
    state.flow == Flow::Running
        && state.nothing_parked()
        && state
            .cursor
            .tracker()
            .is_some_and(|tracker| tracker.in_flight() == 0)
}
