//! Topics' ids, which no topic has here.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicId(pub(crate) i64, pub(crate) i64);
