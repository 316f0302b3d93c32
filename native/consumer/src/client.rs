//! The calls to librdkafka that a member needs, each in a safe coat.

use std::ffi::{c_char, c_int, CStr, CString};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaRespErr, RDKafkaType};

use crate::certificates::Certificates;
use crate::code::Code;
use crate::conf::Conf;
use crate::error::Error;
use crate::event::Event;
use crate::offsets::Offsets;
use crate::polled::{self, Polled};
use crate::queue::Queue;
use crate::requests::Requests;
use crate::text::{c_text, text};

/// Owns a consumer instance. Dropping it waits for librdkafka's threads: only on a thread of
/// this crate, after every queue handle is gone.
pub(crate) struct Client {
    raw: NonNull<rd::rd_kafka_t>,
    // Called by librdkafka until the instance is destroyed.
    requests: Box<Requests>,
    certificates: Box<Certificates>,
}

// SAFETY: librdkafka's client handle is thread-safe.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// How the group moves partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Eager,
    Cooperative,
}

const EVENTS: c_int = rd::RD_KAFKA_EVENT_REBALANCE
    | rd::RD_KAFKA_EVENT_OFFSET_COMMIT
    | rd::RD_KAFKA_EVENT_ERROR
    | rd::RD_KAFKA_EVENT_STATS
    | rd::RD_KAFKA_EVENT_LOG
    | rd::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;

impl Client {
    /// Creates the instance, with its log in the member's queue.
    pub(crate) fn new(conf: Conf) -> Result<Client, Error> {
        let mut text = [0 as c_char; 512];
        let requests = Box::<Requests>::default();
        let certificates = Box::<Certificates>::default();
        // SAFETY: the configuration is live, and nobody's after rd_kafka_new. The boxes are kept as long
        // as the instance.
        let raw = unsafe {
            requests.watch(conf.ptr());
            certificates.watch(&conf);
            rd::rd_kafka_conf_set_events(conf.ptr(), EVENTS);
            rd::rd_kafka_new(
                RDKafkaType::RD_KAFKA_CONSUMER,
                conf.ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        // Also when it failed: from some point on it has freed the interceptors of a configuration that
        // is ours again, and they must not be freed twice. A little memory is lost.
        conf.release();
        let Some(raw) = NonNull::new(raw) else {
            return Err(Error::Create {
                message: c_text(&text),
            });
        };
        let client = Client {
            raw,
            requests,
            certificates,
        };
        // SAFETY: the instance is live; null means the main queue, which is then forwarded to
        // the consumer queue.
        unsafe {
            rd::rd_kafka_set_log_queue(client.ptr(), ptr::null_mut());
            rd::rd_kafka_poll_set_consumer(client.ptr());
        }
        Ok(client)
    }

    pub(crate) fn ptr(&self) -> *mut rd::rd_kafka_t {
        self.raw.as_ptr()
    }

    pub(crate) fn member_queue(&self) -> Result<Queue, Error> {
        // SAFETY: the instance is live; the handle answered is ours.
        unsafe { Queue::from_raw(rd::rd_kafka_queue_get_consumer(self.ptr())) }.ok_or(
            Error::Create {
                message: "group.id is missing".into(),
            },
        )
    }

    pub(crate) fn new_queue(&self) -> Result<Queue, Error> {
        // SAFETY: the instance is live; the handle answered is ours.
        unsafe { Queue::from_raw(rd::rd_kafka_queue_new(self.ptr())) }.ok_or(Error::Create {
            message: "no queue can be made".into(),
        })
    }

    pub(crate) fn partition_queue(&self, topic: &str, partition: i32) -> Option<Queue> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the instance is live, the name NUL-terminated; the handle answered is ours.
        unsafe {
            Queue::from_raw(rd::rd_kafka_queue_get_partition(
                self.ptr(),
                topic.as_ptr(),
                partition,
            ))
        }
    }

    pub(crate) fn subscribe(&self, topics: &[&str]) -> Result<(), Error> {
        let list = Offsets::new(topics.iter().map(|topic| (*topic, -1, 0)));
        // SAFETY: the instance and the list are live; the list is copied.
        done("subscribe", unsafe {
            rd::rd_kafka_subscribe(self.ptr(), list.ptr())
        })
    }

    /// The group's protocol. An answer also says that everything asked before it was done. None
    /// comes once the member has left the group: not to be called when it may have.
    pub(crate) fn protocol(&self) -> Protocol {
        // SAFETY: the instance is live; the answer is null or a static string.
        let name = unsafe { rd::rd_kafka_rebalance_protocol(self.ptr()) };
        // SAFETY: not null, NUL-terminated.
        if !name.is_null() && unsafe { CStr::from_ptr(name) }.to_bytes() == b"COOPERATIVE" {
            Protocol::Cooperative
        } else {
            Protocol::Eager
        }
    }

    /// Whether the group knows the member, or is about to. Not to be called when it may have left.
    pub(crate) fn has_joined(&self) -> bool {
        // One that goes before it is told its id cannot leave, and the others would wait for it.
        if self.requests.is_joining() {
            return true;
        }
        // SAFETY: the instance is live; the answer is null or a NUL-terminated string that is ours.
        unsafe {
            let id = rd::rd_kafka_memberid(self.ptr());
            let known = !id.is_null() && *id != 0;
            rd::rd_kafka_mem_free(self.ptr(), id.cast());
            known
        }
    }

    /// Adds partitions to the assignment, or replaces it, as the protocol has it.
    pub(crate) fn assign(&self, protocol: Protocol, list: &Offsets) -> Result<(), Error> {
        match protocol {
            // SAFETY: the instance and the list are live; the list is copied.
            Protocol::Eager => done("assign", unsafe {
                rd::rd_kafka_assign(self.ptr(), list.ptr())
            }),
            // SAFETY: as above.
            Protocol::Cooperative => failed("incremental assign", unsafe {
                rd::rd_kafka_incremental_assign(self.ptr(), list.ptr())
            }),
        }
    }

    /// Removes partitions from the assignment, or empties it, as the protocol has it.
    pub(crate) fn unassign(&self, protocol: Protocol, list: &Offsets) -> Result<(), Error> {
        match protocol {
            // SAFETY: the instance is live; null stands for no partitions.
            Protocol::Eager => done("unassign", unsafe {
                rd::rd_kafka_assign(self.ptr(), ptr::null())
            }),
            // SAFETY: the instance and the list are live; the list is copied.
            Protocol::Cooperative => failed("incremental unassign", unsafe {
                rd::rd_kafka_incremental_unassign(self.ptr(), list.ptr())
            }),
        }
    }

    /// Whether the assignment was lost: its partitions may belong to somebody else already.
    pub(crate) fn assignment_lost(&self) -> bool {
        // SAFETY: the instance is live.
        unsafe { rd::rd_kafka_assignment_lost(self.ptr()) != 0 }
    }

    /// Sends a commit; its result comes to `queue`.
    pub(crate) fn commit(&self, list: &Offsets, queue: &Queue) -> Result<(), Error> {
        // SAFETY: instance, list and queue are live; the list is copied, and without a callback
        // the result is an event.
        done("commit", unsafe {
            rd::rd_kafka_commit_queue(self.ptr(), list.ptr(), queue.ptr(), None, ptr::null_mut())
        })
    }

    /// Where the next record of each partition would come from; control records included.
    pub(crate) fn positions(&self, list: &Offsets) -> Result<(), Error> {
        // SAFETY: the instance and the list are live; answers are written into the list.
        done("position", unsafe {
            rd::rd_kafka_position(self.ptr(), list.ptr())
        })
    }

    /// Stops fetching partitions, forgets what was fetched, and keeps the positions after what was
    /// read.
    pub(crate) fn pause(&self, list: &Offsets) {
        // SAFETY: the instance and the list are live. What is not fetched at all needs no pause.
        unsafe { rd::rd_kafka_pause_partitions(self.ptr(), list.ptr()) };
    }

    /// Fetches partitions again that were paused.
    pub(crate) fn resume(&self, list: &Offsets) {
        // SAFETY: the instance and the list are live. What is not fetched at all is not paused.
        unsafe { rd::rd_kafka_resume_partitions(self.ptr(), list.ptr()) };
    }

    /// The low and the high watermark as the last fetch saw them.
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> (Option<i64>, Option<i64>) {
        let Ok(topic) = CString::new(topic) else {
            return (None, None);
        };
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the instance is live, the name NUL-terminated, the results writable.
        let err = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.ptr(),
                topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        let known = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        let seen = |offset: i64| (known && offset >= 0).then_some(offset);
        (seen(low), seen(high))
    }

    /// Starts leaving the group: the revoke and the end come to the member's queue.
    pub(crate) fn close(&self, member_queue: &Queue) -> Result<(), Error> {
        // SAFETY: instance and queue are live.
        failed("close", unsafe {
            rd::rd_kafka_consumer_close_queue(self.ptr(), member_queue.ptr())
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: the instance is live.
        unsafe { rd::rd_kafka_consumer_closed(self.ptr()) == 1 }
    }

    /// What this crate has to say of its own accord.
    pub(crate) fn told(&self) -> Option<Event> {
        self.requests.told()
    }

    /// The next event that waits in the queue.
    pub(crate) fn poll(&self, queue: &Queue) -> Option<Polled> {
        // SAFETY: the queue is live; the event answered is destroyed once, after its last use.
        let polled = unsafe {
            let event = NonNull::new(rd::rd_kafka_queue_poll(queue.ptr(), 0))?.as_ptr();
            let polled = polled::read(event);
            rd::rd_kafka_event_destroy(event);
            polled
        };
        Some(self.certificates.explained(polled))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the instance is ours, and every queue handle was dropped before. Leaving the
        // group was done by close, or its deadline passed.
        unsafe { rd::rd_kafka_destroy_flags(self.ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) }
    }
}

/// # Safety
/// `first` must point at `count` elements that live for `'a`, when count is above 0.
pub(crate) unsafe fn elements<'a, T>(first: *const T, count: c_int) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: as the caller promises.
        Ok(count) if count > 0 => unsafe { slice::from_raw_parts(first, count) },
        _ => &[],
    }
}

pub(crate) fn done(operation: &str, err: RDKafkaRespErr) -> Result<(), Error> {
    Code::of(err).map_or(Ok(()), |code| Err(Error::kafka(operation, code)))
}

pub(crate) fn failed(operation: &str, error: *mut rd::rd_kafka_error_t) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null: a live error object that is ours; it is destroyed once, after its use.
    unsafe {
        let code = Code::of(rd::rd_kafka_error_code(error));
        let message = format!("{operation}: {}", text(rd::rd_kafka_error_string(error)));
        let fatal = rd::rd_kafka_error_is_fatal(error) != 0;
        rd::rd_kafka_error_destroy(error);
        code.map_or(Ok(()), |code| {
            Err(Error::Kafka {
                code,
                message,
                fatal,
                topic: None,
                partition: None,
            })
        })
    }
}

pub(crate) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
