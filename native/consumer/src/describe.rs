//! Descriptions of topics: their ids, which tell a topic from an earlier one of its name.

use std::ffi::{c_char, CStr, CString};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::client::{millis, Client};
use crate::code::Code;
use crate::error::Error;

/// A topic's id; a topic that is deleted and created again gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicId(pub(crate) i64, pub(crate) i64);

/// A topic, with no partitions where there is none of the name.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) topic: String,
    /// None where the brokers have no ids.
    pub(crate) id: Option<TopicId>,
    pub(crate) partitions: usize,
}

/// Owns what a description is asked with.
struct Question {
    options: NonNull<rd::rd_kafka_AdminOptions_t>,
    topics: NonNull<rd::rd_kafka_TopicCollection_t>,
}

impl Drop for Question {
    fn drop(&mut self) {
        // SAFETY: both are ours and were not given away.
        unsafe {
            rd::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            rd::rd_kafka_TopicCollection_destroy(self.topics.as_ptr());
        }
    }
}

// The answer to a question that timed out comes a little after its timeout.
const GRACE: Duration = Duration::from_millis(200);

impl Client {
    /// Describes topics, as the controller knows them; those of which it says nothing now are left
    /// out. Blocks.
    pub(crate) fn describe(
        &self,
        topics: &[&str],
        timeout: Duration,
    ) -> Result<Vec<Described>, Error> {
        let no_answer = || {
            let code = Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
            code.map_or(Error::Closed, |code| Error::kafka("describe topics", code))
        };
        if !self.has_controller(timeout).ok_or_else(no_answer)? {
            return Ok(Vec::new());
        }
        let queue = self.new_queue()?;
        let question = self.question(topics, timeout).ok_or_else(no_answer)?;
        // SAFETY: instance, question and queue are live; the question is copied.
        unsafe {
            rd::rd_kafka_DescribeTopics(
                self.ptr(),
                question.topics.as_ptr(),
                question.options.as_ptr(),
                queue.ptr(),
            );
        }
        let wait = millis(timeout.saturating_add(GRACE));
        // SAFETY: the queue is live; the event answered is destroyed once, after its last use.
        unsafe {
            let event = NonNull::new(rd::rd_kafka_queue_poll(queue.ptr(), wait))
                .ok_or_else(no_answer)?
                .as_ptr();
            let described = match Code::of(rd::rd_kafka_event_error(event)) {
                Some(code) => Err(Error::kafka("describe topics", code)),
                None => Ok(read(event)),
            };
            rd::rd_kafka_event_destroy(event);
            described
        }
    }

    /// librdkafka's mock cluster names a controller that there is not, and a question to it would
    /// wait for its end; `None` while no broker has said what cluster it is of.
    fn has_controller(&self, timeout: Duration) -> Option<bool> {
        // SAFETY: the instance is live; the answer is null or a NUL-terminated string that is ours,
        // freed once, after its last use.
        unsafe {
            let id = NonNull::new(rd::rd_kafka_clusterid(self.ptr(), millis(timeout)))?.as_ptr();
            let mock = CStr::from_ptr(id).to_bytes().starts_with(b"mockCluster");
            rd::rd_kafka_mem_free(self.ptr(), id.cast());
            Some(!mock)
        }
    }

    fn question(&self, topics: &[&str], timeout: Duration) -> Option<Question> {
        let names: Vec<CString> = topics
            .iter()
            .filter_map(|topic| CString::new(*topic).ok())
            .collect();
        let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the instance is live; the names are NUL-terminated and copied.
        let question = unsafe {
            Question {
                options: NonNull::new(rd::rd_kafka_AdminOptions_new(
                    self.ptr(),
                    rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                ))?,
                topics: NonNull::new(rd::rd_kafka_TopicCollection_of_topic_names(
                    names.as_mut_ptr(),
                    names.len(),
                ))?,
            }
        };
        // SAFETY: the options are live; there is no buffer to write to. A value that is refused
        // leaves the default.
        unsafe {
            rd::rd_kafka_AdminOptions_set_request_timeout(
                question.options.as_ptr(),
                millis(timeout),
                ptr::null_mut(),
                0,
            );
        }
        Some(question)
    }
}

/// # Safety
/// `event` must be a live DescribeTopics event without an error.
unsafe fn read(event: *mut rd::rd_kafka_event_t) -> Vec<Described> {
    let mut count = 0;
    // SAFETY: the event is live, and with it all that it answers; the array has `count` elements.
    let topics = unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Vec::new();
        }
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Vec::new();
        }
        slice::from_raw_parts(topics, count)
    };
    // SAFETY: each is a description that lives as long as the event.
    topics
        .iter()
        .filter_map(|topic| unsafe { read_topic(*topic) })
        .collect()
}

/// # Safety
/// `topic` must be a live description.
unsafe fn read_topic(topic: *const rd::rd_kafka_TopicDescription_t) -> Option<Described> {
    use RDKafkaRespErr::*;
    // SAFETY: the description is live, and with it its error, name, id and partitions.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        let code = Code::of(rd::rd_kafka_error_code(error));
        if code.is_some_and(|code| !code.is(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)) {
            return None;
        }
        let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic));
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let id = TopicId(
            rd::rd_kafka_Uuid_most_significant_bits(id),
            rd::rd_kafka_Uuid_least_significant_bits(id),
        );
        let mut partitions = 0;
        rd::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        Some(Described {
            topic: name.to_string_lossy().into_owned(),
            id: Some(id).filter(|id| code.is_none() && *id != TopicId(0, 0)),
            partitions,
        })
    }
}
