//! Gets fetching under way again after a rebalance.
//!
//! A broker thread that found nothing to fetch for, because librdkafka pauses all partitions of
//! an unanswered rebalance, may sleep up to a second before it looks again. A request wakes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, Receiver, Sender};

use crate::client::Client;

/// Pauses before each round; the later ones are for answers that took effect late.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(60),
];
const TIMEOUT: Duration = Duration::from_secs(1);

/// The service thread's end.
pub(crate) struct Nudge(Sender<Vec<(String, i32)>>);

impl Nudge {
    pub(crate) fn start(client: Arc<Client>) -> std::io::Result<Nudge> {
        let (requests, todo) = bounded(1);
        thread::Builder::new()
            .name("kafka-nudge".into())
            .spawn(move || run(&client, &todo))?;
        Ok(Nudge(requests))
    }

    /// Wakes the broker threads that lead these partitions; a nudge that waits already will do.
    pub(crate) fn send(&self, partitions: Vec<(String, i32)>) {
        if !partitions.is_empty() {
            let _ = self.0.try_send(partitions);
        }
    }
}

fn run(client: &Client, todo: &Receiver<Vec<(String, i32)>>) {
    while let Ok(partitions) = todo.recv() {
        let Ok(metadata) = client.metadata(TIMEOUT) else {
            continue;
        };
        let leaders = metadata.leaders();
        // One partition for each leader.
        let chosen: BTreeMap<i32, &(String, i32)> = partitions
            .iter()
            .filter_map(|at| leaders.get(at).map(|leader| (*leader, at)))
            .collect();
        for pause in PAUSES {
            thread::sleep(pause);
            for (topic, partition) in chosen.values() {
                client.nudge(topic, *partition, TIMEOUT);
            }
        }
    }
}
