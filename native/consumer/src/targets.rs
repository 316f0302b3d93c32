//! What is looked up for an operator: the offsets that seeks go to, and topics to subscribe to. Blocks.

use std::collections::HashMap;

use rdkafka::types::RDKafkaRespErr;

use crate::code::Code;
use crate::error::Error;
use crate::offsets::Offsets;
use crate::positions::{Positions, END, OLDEST, TIMEOUT};
use crate::seeks::{SeekTo, Target};

type Found = HashMap<(String, i32), i64>;

impl Positions {
    /// An offset for each target, in their order.
    pub(crate) fn resolve(&self, targets: &[Target]) -> Result<Vec<i64>, Error> {
        let oldest = self.list_all(targets, |to| {
            matches!(to, SeekTo::Beginning | SeekTo::Offset(_)).then_some(OLDEST)
        })?;
        let end = self.list_all(targets, |to| (to != SeekTo::Beginning).then_some(END))?;
        let at_time = self.list_all(targets, |to| match to {
            SeekTo::Timestamp(millis) => Some(millis),
            _ => None,
        })?;
        let resolved = targets.iter().map(|target| {
            let key = (target.topic.clone(), target.partition);
            let of = |found: &Found| found.get(&key).copied().unwrap_or(END);
            match target.to {
                SeekTo::Beginning => Ok(of(&oldest)),
                SeekTo::End => Ok(of(&end)),
                SeekTo::Timestamp(_) if of(&at_time) < 0 => Ok(of(&end)),
                SeekTo::Timestamp(_) => Ok(of(&at_time)),
                SeekTo::Offset(offset) => within(target, offset, of(&oldest), of(&end)),
            }
        });
        resolved.collect()
    }

    /// Makes topics known to librdkafka, which only asks for those that it uses.
    pub(crate) fn meet(&self, topics: &[String]) -> Result<(), Error> {
        let mut topics = topics.iter();
        topics.try_for_each(|topic| self.client.meet(topic, TIMEOUT))
    }

    fn list_all(
        &self,
        targets: &[Target],
        at: impl Fn(SeekTo) -> Option<i64>,
    ) -> Result<Found, Error> {
        let asked: Vec<_> = targets
            .iter()
            .filter_map(|it| Some((it.topic.as_str(), it.partition, at(it.to)?)))
            .collect();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let list = Offsets::new(asked);
        self.client.offsets_for_times(&list, TIMEOUT)?;
        let answered = list.entries().into_iter().map(|entry| match entry.error {
            Some(code) => Err(Error::kafka("list offsets", code).at(&entry.topic, entry.partition)),
            None => Ok(((entry.topic, entry.partition), entry.offset)),
        });
        answered.collect()
    }
}

fn within(target: &Target, offset: i64, oldest: i64, end: i64) -> Result<i64, Error> {
    if (oldest..=end).contains(&offset) {
        return Ok(offset);
    }
    let code = Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    Err(code.map_or(Error::Closed, |code| Error::Kafka {
        code,
        message: format!(
            "seek to {offset}: the partition has offsets from {oldest}, and ends at {end}"
        ),
        fatal: false,
        topic: Some(target.topic.clone()),
        partition: Some(target.partition),
    }))
}
