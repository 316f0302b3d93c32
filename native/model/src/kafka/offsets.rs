//! Lists of partitions and offsets.

use crate::code::Code;
use crate::sync::Mutex;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) error: Option<Code>,
}

/// A list that calls write their answers into.
pub(crate) struct Offsets(Mutex<Vec<Entry>>);

impl Offsets {
    pub(crate) fn new<'a>(items: impl IntoIterator<Item = (&'a str, i32, i64)>) -> Offsets {
        let entries = items.into_iter().map(|(topic, partition, offset)| Entry {
            topic: topic.to_owned(),
            partition,
            offset,
            error: None,
        });
        Offsets(Mutex::new(entries.collect()))
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().clone()
    }

    /// Writes an offset for each partition.
    pub(crate) fn answer(&self, offset: impl Fn(i32) -> i64) {
        for entry in self.0.lock().iter_mut() {
            entry.offset = offset(entry.partition);
        }
    }
}
