//! A record that no longer refers to the answer it came in.

use crate::message::{Headers, Message};

/// A record's own copy of all it has.
pub(crate) struct Copied {
    /// The topic's name, the key, the value.
    bytes: Box<[u8]>,
    topic: usize,
    key: Option<usize>,
    value: Option<usize>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Headers,
}

impl Copied {
    pub(crate) fn of(message: &Message) -> Copied {
        let (topic, key, value) = (message.topic(), message.key(), message.value());
        let parts = [
            topic.as_bytes(),
            key.unwrap_or_default(),
            value.unwrap_or_default(),
        ];
        Copied {
            bytes: parts.concat().into(),
            topic: topic.len(),
            key: key.map(<[u8]>::len),
            value: value.map(<[u8]>::len),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp(),
            headers: message.headers(),
        }
    }

    #[cfg(test)]
    pub(crate) fn nothing(offset: i64) -> Copied {
        Copied {
            bytes: Box::default(),
            topic: 0,
            key: None,
            value: None,
            partition: 0,
            offset,
            timestamp: None,
            headers: Headers::default(),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        let name = self.bytes.get(..self.topic).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.bytes.get(self.topic..self.topic + self.key?)
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        let start = self.topic + self.key.unwrap_or(0);
        self.bytes.get(start..start + self.value?)
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len() - self.topic
    }
}
