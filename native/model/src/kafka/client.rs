//! The calls that a member makes.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::code::Code;
use crate::committed::Commit;
use crate::conf::Conf;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::event::Event;
use crate::failure::refusal;
use crate::journal::{self, Note};
use crate::lookup::Desk;
use crate::offsets::Offsets;
use crate::polled::Polled;
use crate::queue::{Ops, Queue};
use crate::sync::Mutex;
use crate::types::RDKafkaRespErr;

/// The client, and the cluster behind it.
pub(crate) struct Client {
    pub(crate) cluster: Mutex<Cluster>,
    pub(crate) desk: Mutex<Option<Desk>>,
    pub(crate) protocol: Protocol,
    pub(crate) events: Arc<Ops>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Eager,
    Cooperative,
}

const NONE: i64 = -1001;

impl Client {
    pub(crate) fn new(conf: Conf) -> Result<Client, Error> {
        Ok(Client {
            cluster: Mutex::new(Cluster::new(conf.partitions)),
            desk: Mutex::default(),
            protocol: conf.protocol,
            events: Arc::default(),
        })
    }

    pub(crate) fn member_queue(&self) -> Result<Queue, Error> {
        Ok(Queue::of(&self.events))
    }

    pub(crate) fn new_queue(&self) -> Result<Queue, Error> {
        Ok(Queue::of(&Arc::default()))
    }

    pub(crate) fn partition_queue(&self, _: &str, partition: i32) -> Option<Queue> {
        Some(Queue::of(&self.cluster.lock().at(partition).ops))
    }

    pub(crate) fn told(&self) -> Option<Event> {
        None
    }

    pub(crate) fn authenticate(&self, _: Credentials) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn subscribe(&self, _: &[&str]) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn has_joined(&self) -> bool {
        let cluster = self.cluster.lock();
        cluster.joined
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn assign(&self, protocol: Protocol, list: &Offsets) -> Result<(), Error> {
        assert_eq!(protocol, self.protocol);
        let mut cluster = self.cluster.lock();
        if protocol == Protocol::Eager {
            cluster.unassign_all();
        }
        for entry in list.entries() {
            cluster.assign(entry.partition, entry.offset);
        }
        cluster.answered(true);
        Ok(())
    }

    pub(crate) fn unassign(&self, protocol: Protocol, list: &Offsets) -> Result<(), Error> {
        assert!(protocol == self.protocol || list.entries().is_empty());
        let mut cluster = self.cluster.lock();
        match protocol {
            Protocol::Eager => cluster.unassign_all(),
            Protocol::Cooperative => {
                let entries = list.entries();
                entries.iter().for_each(|e| cluster.unassign(e.partition));
            }
        }
        cluster.answered(false);
        Ok(())
    }

    pub(crate) fn assignment_lost(&self) -> bool {
        self.cluster.lock().lost
    }

    pub(crate) fn commit(&self, list: &Offsets, queue: &Queue) -> Result<(), Error> {
        let mut cluster = self.cluster.lock();
        assert!(!cluster.lost, "a commit of what was lost");
        assert!(cluster.commit.is_none(), "a second commit under way");
        let mut entries = list.entries();
        // Sent in no order of its own; a history that is played again has to be the same.
        entries.sort_by_key(|entry| entry.partition);
        let offsets = entries.iter().map(|entry| (entry.partition, entry.offset));
        journal::note(Note::Sent(offsets.collect()));
        if std::mem::take(&mut cluster.refuse_next_commit) || cluster.failed {
            return Err(refusal());
        }
        cluster.commit = Some(Commit {
            entries,
            results: queue.ops(),
            generation: cluster.generation,
            done: false,
        });
        Ok(())
    }

    pub(crate) fn positions(&self, list: &Offsets) -> Result<(), Error> {
        let cluster = self.cluster.lock();
        list.answer(|partition| {
            let position = cluster.at(partition).at.position();
            position.taken.unwrap_or(NONE)
        });
        Ok(())
    }

    pub(crate) fn pause(&self, list: &Offsets) {
        let cluster = self.cluster.lock();
        for entry in list.entries() {
            let mut position = cluster.at(entry.partition).at.position();
            position.pause();
            position.paused = true;
        }
    }

    pub(crate) fn resume(&self, list: &Offsets) {
        let cluster = self.cluster.lock();
        for entry in list.entries() {
            let mut position = cluster.at(entry.partition).at.position();
            // A resumption that comes too late, or too often, does no harm but this.
            position.version += 1;
            position.paused = false;
        }
    }

    /// Moves the fetch position.
    pub(crate) fn seek(&self, partition: i32, offset: i64) -> Result<i64, Error> {
        let cluster = self.cluster.lock();
        let mut position = cluster.at(partition).at.position();
        if position.stuck || !position.assigned {
            let code = Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__STATE);
            return Err(code.map_or(Error::Closed, |code| Error::kafka("seek", code)));
        }
        position.begin(offset);
        Ok(offset)
    }

    pub(crate) fn watermarks(&self, _: &str, partition: i32) -> (Option<i64>, Option<i64>) {
        (None, Some(self.cluster.lock().at(partition).end))
    }

    pub(crate) fn close(&self, _: &Queue) -> Result<(), Error> {
        let mut cluster = self.cluster.lock();
        cluster.closing = true;
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        let cluster = self.cluster.lock();
        let settled = cluster.unanswered.is_none() && cluster.ours.is_empty();
        cluster.closing && settled && cluster.commit.is_none()
    }

    pub(crate) fn poll(&self, queue: &Queue) -> Option<Polled> {
        queue.ops().poll()
    }

    /// Nothing here waits for brokers.
    pub(crate) fn leaders(&self, _: Duration) {}
}
