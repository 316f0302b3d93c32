//! Where partitions start and go on: at the committed offset, by the policy, or at the first record
//! of what is new. Blocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::config::{ResetPolicy, Topic};
use crate::describe::TopicId;
use crate::error::Error;
use crate::known::Known;
use crate::offsets::Offsets;

/// A partition, and the topic that this member knew it to be of, if it had it before.
pub(crate) type Wanted = (String, i32, Option<TopicId>);

/// Where a partition starts.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) start: i64,
    pub(crate) committed: Option<i64>,
}

/// Finds positions.
pub(crate) struct Positions {
    pub(crate) client: Arc<Client>,
    topics: Vec<Topic>,
    known: Known,
}

pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

// For ids, which only the controller tells: it may be away while all else goes on.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

// ListOffsets' own names for the two ends of a partition.
pub(crate) const OLDEST: i64 = -2;
pub(crate) const END: i64 = -1;

impl Positions {
    pub(crate) fn new(client: Arc<Client>, topics: Vec<Topic>) -> Positions {
        Positions {
            client,
            topics,
            known: Known::default(),
        }
    }

    /// Goes by other topics from now on, and knows nothing any more of those that are left.
    pub(crate) fn set_topics(&mut self, topics: Vec<Topic>) {
        self.known
            .retain(|known| topics.iter().any(|topic| topic.name == known));
        self.topics = topics;
    }

    /// The ids that the topics have now, of those that have one.
    pub(crate) fn look(&mut self) -> Result<HashMap<String, TopicId>, Error> {
        let names: Vec<&str> = self.topics.iter().map(|t| t.name.as_str()).collect();
        let described = self.client.describe(&names, LOOK_TIMEOUT)?;
        self.known.see(described);
        Ok(self.known.ids())
    }

    /// A look before an answer that rests on it. One that fails holds nothing up, as the next one
    /// tells the same; but how many partitions a topic has when it is first seen must be known.
    fn look_first(&mut self, topics: &[&str]) -> Result<(), Error> {
        let _ = self.look();
        if topics.iter().any(|topic| !self.known.has(topic)) {
            let mut described = self.client.metadata(TIMEOUT)?.topics();
            described.retain(|found| {
                topics.contains(&found.topic.as_str()) && !self.known.has(&found.topic)
            });
            self.known.see(described);
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, wanted: &[Wanted]) -> Result<Vec<Position>, Error> {
        let topics: Vec<&str> = wanted.iter().map(|(topic, ..)| topic.as_str()).collect();
        self.look_first(&topics)?;
        // What is committed for a topic's predecessor says nothing of it.
        let (anew, others): (Vec<_>, Vec<_>) = wanted
            .iter()
            .partition(|(topic, _, was)| self.is_another(topic, *was));
        let mut positions = self.committed(&others)?;
        let mut missing = by_topic(&anew);
        for (topic, partition, _) in others {
            if !positions
                .iter()
                .any(|p| p.topic == *topic && p.partition == *partition)
            {
                missing.entry(topic).or_default().push(*partition);
            }
        }
        for (topic, partitions) in missing {
            for (partition, start) in self.uncommitted(topic, &partitions)? {
                positions.push(self.position(topic, partition, start, None));
            }
        }
        Ok(positions)
    }

    /// Where a partition goes on whose position does not exist: by the topic's policy, but at the
    /// oldest record when that was the position of records to be delivered again, or of another
    /// topic, as everything else of the partition is to be delivered.
    pub(crate) fn reset(
        &mut self,
        (topic, partition, was): &Wanted,
        again: bool,
    ) -> Result<Position, Error> {
        self.look_first(&[topic])?;
        let found = if again || self.is_another(topic, *was) {
            self.list(topic, &[*partition], OLDEST)?
        } else {
            self.by_policy(topic, &[*partition])?
        };
        let start = found.first().map_or(0, |(_, offset)| *offset);
        Ok(self.position(topic, *partition, start, None))
    }

    /// Moves the fetch position.
    pub(crate) fn seek(&self, topic: &str, partition: i32, offset: i64) -> Result<i64, Error> {
        let list = Offsets::new([(topic, partition, offset)]);
        self.client.seek(&list, TIMEOUT).map(|()| offset)
    }

    fn is_another(&self, topic: &str, was: Option<TopicId>) -> bool {
        was.is_some() && was != self.known.id(topic)
    }

    fn position(
        &self,
        topic: &str,
        partition: i32,
        start: i64,
        committed: Option<i64>,
    ) -> Position {
        Position {
            topic: topic.to_owned(),
            partition,
            topic_id: self.known.id(topic),
            start,
            committed,
        }
    }

    fn committed(&self, wanted: &[&Wanted]) -> Result<Vec<Position>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let list = Offsets::new(
            wanted
                .iter()
                .map(|(topic, partition, _)| (topic.as_str(), *partition, 0)),
        );
        self.client.committed(&list, TIMEOUT)?;
        let mut positions = Vec::with_capacity(wanted.len());
        for entry in list.entries() {
            match entry.error {
                Some(code) => {
                    return Err(Error::kafka("fetch of committed offsets", code)
                        .at(&entry.topic, entry.partition))
                }
                None if entry.offset >= 0 => {
                    let committed = Some(entry.offset);
                    positions.push(self.position(
                        &entry.topic,
                        entry.partition,
                        entry.offset,
                        committed,
                    ));
                }
                None => {}
            }
        }
        Ok(positions)
    }

    /// Start positions without a committed offset: by the topic's policy, but at the oldest record
    /// where the partition appeared while this member was running, as nobody has read it yet.
    fn uncommitted(&self, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Error> {
        let (new, old): (Vec<i32>, Vec<i32>) = partitions
            .iter()
            .partition(|partition| self.known.is_new(topic, **partition));
        let mut found = self.by_policy(topic, &old)?;
        found.extend(self.list(topic, &new, OLDEST)?);
        Ok(found)
    }

    fn by_policy(&self, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Error> {
        let policy = self
            .topics
            .iter()
            .find(|t| t.name == topic)
            .map_or(ResetPolicy::Earliest, |t| t.reset);
        match policy {
            ResetPolicy::Earliest => self.list(topic, partitions, OLDEST),
            ResetPolicy::Latest => self.list(topic, partitions, END),
            ResetPolicy::Timestamp(millis) => {
                let found = self.list(topic, partitions, millis)?;
                let (mut found, none): (Vec<_>, Vec<_>) =
                    found.into_iter().partition(|(_, offset)| *offset >= 0);
                let none: Vec<i32> = none.into_iter().map(|(partition, _)| partition).collect();
                found.extend(self.list(topic, &none, END)?);
                Ok(found)
            }
        }
    }

    fn list(&self, topic: &str, partitions: &[i32], at: i64) -> Result<Vec<(i32, i64)>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = Offsets::new(partitions.iter().map(|partition| (topic, *partition, at)));
        self.client.offsets_for_times(&list, TIMEOUT)?;
        list.entries()
            .into_iter()
            .map(|entry| match entry.error {
                Some(code) => {
                    Err(Error::kafka("list offsets", code).at(&entry.topic, entry.partition))
                }
                None => Ok((entry.partition, entry.offset)),
            })
            .collect()
    }
}

fn by_topic<'a>(wanted: &[&'a Wanted]) -> HashMap<&'a str, Vec<i32>> {
    let mut topics: HashMap<&str, Vec<i32>> = HashMap::new();
    for (topic, partition, _) in wanted {
        topics.entry(topic).or_default().push(*partition);
    }
    topics
}
