//! Where partitions start and go on.

use crate::describe::TopicId;

pub(crate) type Wanted = (String, i32, Option<TopicId>);

#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) start: i64,
    pub(crate) committed: Option<i64>,
}
