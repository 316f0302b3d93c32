//! A consumer that is no member of anything, so that acks can be tried without Kafka by the
//! hundred thousand: for the targets in `fuzz/`.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use delivery::Cursor;

use super::Consumer;
use crate::config::Config;
use crate::event::{Event, Sink};
use crate::kick::Kick;
use crate::paused::Paused;
use crate::shared::Shared;

struct Silence;

impl Sink for Silence {
    fn wake(&self, _: usize) {}
    fn event(&self, _: Event) {}
}

impl Consumer {
    /// A consumer of as many partitions, in the slots from 0 on; none is assigned.
    pub fn unconnected(partitions: i32) -> Consumer {
        let config = Config {
            properties: Vec::new(),
            topics: Vec::new(),
            lanes: 1,
            commit_interval: Duration::ZERO,
            commit_threshold: None,
            commit_by_hand: false,
            drain_timeout: Duration::ZERO,
            max_in_flight: u64::MAX,
            max_buffered_bytes: u64::MAX,
            chunk_size: None,
            unacked_timeout: None,
            paused: Paused::default(),
        };
        let shared = Shared::new(&config, Arc::new(Silence), Kick::new(bounded(1).0));
        for partition in 0..partitions {
            shared.partition_for("topic", partition);
        }
        Consumer {
            shared: Arc::new(shared),
            commands: bounded(1).0,
        }
    }

    /// Lets something happen to a slot that is not an ack's doing.
    pub fn with_cursor<T>(&self, slot: u32, act: impl FnOnce(&mut Cursor) -> T) -> Option<T> {
        let partition = self.shared.partition(slot)?;
        let mut state = partition.lock();
        Some(act(&mut state.cursor))
    }

    /// Whether the service thread was asked to commit since this was called last.
    pub fn take_commit_wanted(&self) -> bool {
        self.shared.take_commit_wanted()
    }
}
