//! Seeks at the wish of whoever operates the member: what is fetched of the partition is dropped, and it
//! goes on elsewhere in a new epoch, so that acks of what was delivered before change nothing.

use std::sync::Arc;

use crate::asked::Asked;
use crate::clock;
use crate::command::Command;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::event::{Event, Sought};
use crate::lookup::Job;
use crate::partition::{Flow, Partition};
use crate::service::Service;

/// Where in a partition a seek goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// To this offset, which has to be within the partition, or its end.
    Offset(i64),
    /// To the oldest record.
    Beginning,
    /// Behind the newest record.
    End,
    /// To the first record at or after this time, in milliseconds since the epoch; behind the newest
    /// record when there is none.
    Timestamp(i64),
}

/// Seeks that are done together, or not at all.
pub(crate) struct Seeks {
    pub(crate) targets: Vec<Target>,
    pub(crate) asked: Asked,
}

pub(crate) struct Target {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) to: SeekTo,
}

impl Consumer {
    /// Goes on at other places, each in an epoch of its own, and commits these at once. Answers when
    /// nothing of what was fetched before is delivered any more. Fails, and seeks nothing, when a
    /// partition is not assigned or an offset is not in it. Blocks, as brokers are asked.
    pub fn seek(&self, places: Vec<(String, i32, SeekTo)>) -> Result<(), Error> {
        let targets = places
            .into_iter()
            .map(|(topic, partition, to)| Target {
                topic,
                partition,
                to,
            })
            .collect();
        self.ask_brokers(|asked| Command::Seek(Seeks { targets, asked }))
    }
}

impl Service {
    pub(crate) fn begin_seeks(&self, seeks: Seeks) {
        match self.targets(&seeks) {
            Ok(_) => self.lookup.send(Job::Resolve(seeks)),
            Err(error) => seeks.asked.answer(Err(error)),
        }
    }

    /// Goes on at the offsets that were found for them.
    pub(crate) fn apply_seeks(&mut self, seeks: &Seeks, offsets: Result<Vec<i64>, Error>) {
        let found = seeks
            .asked
            .in_time(offsets)
            .and_then(|offsets| Ok((self.targets(seeks)?, offsets)));
        let done = found.map(|(targets, offsets)| {
            let places = targets.iter().zip(offsets);
            let sought = places
                .map(|(it, offset)| self.go_on_at(it, offset))
                .collect();
            self.commits.hurry(clock::now());
            self.shared.want_commit();
            self.shared.sink.event(Event::Sought(sought));
        });
        seeks.asked.answer(done);
    }

    fn targets(&self, seeks: &Seeks) -> Result<Vec<Arc<Partition>>, Error> {
        let targets = seeks.targets.iter();
        targets
            .map(|it| self.serving(&it.topic, it.partition))
            .collect()
    }

    /// A partition that is ours to do something to.
    pub(crate) fn serving(&self, topic: &str, partition: i32) -> Result<Arc<Partition>, Error> {
        if self.leaving.is_some() {
            return Err(Error::Closed);
        }
        let found = self.shared.find(topic, partition);
        found
            .filter(|found| found.is_served())
            .ok_or_else(|| Error::NotAssigned {
                topic: topic.to_owned(),
                partition: Some(partition),
            })
    }

    fn go_on_at(&self, partition: &Partition, offset: i64) -> Sought {
        self.set_aside(partition, Flow::Held);
        let mut state = partition.lock();
        let tracker = state.cursor.tracker();
        let (from, unacked) = tracker.map_or((offset, 0), |it| (it.next(), it.in_flight()));
        let epoch = state.begin_epoch(offset, None);
        drop(state);
        // What is nobody's is sought when it is claimed.
        if partition.lane().is_some() {
            self.seek(partition);
        }
        Sought {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch,
            from,
            to: offset,
            unacked,
        }
    }
}
