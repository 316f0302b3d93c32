//! librdkafka's own consumer, as a C program would use it: batches from the group's queue, offsets
//! stored and committed by itself.

use std::ffi::{c_char, CStr};
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::Failure;

const BATCH: usize = 1000;
const WAIT_MS: i32 = 100;

/// One member of a group, subscribed to one topic.
pub struct Consumer {
    client: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// Whether each record's headers are looked at: librdkafka parses them only then.
    headers: bool,
}

impl Consumer {
    /// Starts to join the group.
    pub fn new(config: &ClientConfig, topic: &str, headers: bool) -> Result<Consumer, Failure> {
        // rd_kafka_new takes it over.
        let config = ManuallyDrop::new(config.create_native_config()?);
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: the configuration is live, and the buffer has the length that is told.
        let client = unsafe {
            rd::rd_kafka_new(
                RDKafkaType::RD_KAFKA_CONSUMER,
                config.ptr(),
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        let Some(client) = NonNull::new(client) else {
            // SAFETY: librdkafka ends what it writes with a zero.
            let reason = unsafe { CStr::from_ptr(reason.as_ptr()) };
            return Err(reason.to_string_lossy().into());
        };
        let mut topics = TopicPartitionList::new();
        topics.add_topic_unassigned(topic);
        // SAFETY: the client and the list are live; librdkafka copies the list.
        let (polled, subscribed, queue) = unsafe {
            (
                rd::rd_kafka_poll_set_consumer(client.as_ptr()),
                rd::rd_kafka_subscribe(client.as_ptr(), topics.ptr()),
                rd::rd_kafka_queue_get_consumer(client.as_ptr()),
            )
        };
        let none = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        if polled != none || subscribed != none {
            return Err(format!("subscribe: {polled:?}, {subscribed:?}").into());
        }
        let queue = NonNull::new(queue).ok_or("the consumer has no queue")?;
        Ok(Consumer {
            client,
            queue,
            headers,
        })
    }

    /// Hands over the values that are there, or waits a little for the next: how many there were.
    pub fn take(&self, mut each: impl FnMut(&[u8])) -> usize {
        let mut messages = [ptr::null_mut(); BATCH];
        // SAFETY: the queue is live, and the array has room for what is asked.
        let count = unsafe {
            rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), BATCH)
        };
        let mut count = usize::try_from(count).unwrap_or(0);
        if count == 0 {
            // With a timeout, a batch is not handed over before it is full.
            // SAFETY: the client is live.
            messages[0] = unsafe { rd::rd_kafka_consumer_poll(self.client.as_ptr(), WAIT_MS) };
            count = usize::from(!messages[0].is_null());
        }
        messages[..count]
            .iter()
            .filter(|message| {
                // SAFETY: librdkafka has handed over these messages, each once.
                unsafe {
                    if self.headers {
                        read_headers(**message);
                    }
                    hand_over(**message, &mut each)
                }
            })
            .count()
    }
}

/// # Safety
/// The message is live.
unsafe fn read_headers(raw: *const rd::rd_kafka_message_t) {
    let none = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    let (mut list, mut name, mut value, mut size) = (ptr::null_mut(), ptr::null(), ptr::null(), 0);
    // SAFETY: the message is live and owns the list; an index past its end is answered with an error.
    unsafe {
        if rd::rd_kafka_message_headers(raw, &mut list) != none {
            return;
        }
        for index in 0.. {
            let err = rd::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size);
            if err != none {
                return;
            }
            black_box((name, value, size));
        }
    }
}

/// # Safety
/// The message is live and nobody else's; it is destroyed here.
unsafe fn hand_over(raw: *mut rd::rd_kafka_message_t, each: &mut impl FnMut(&[u8])) -> bool {
    // SAFETY: as above; the payload is live as long as the message.
    unsafe {
        let message = &*raw;
        let fine = message.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        if !fine {
            eprintln!("raw: {:?}", message.err);
        } else if !message.payload.is_null() {
            each(std::slice::from_raw_parts(
                message.payload.cast(),
                message.len,
            ));
        }
        rd::rd_kafka_message_destroy(raw);
        fine
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // SAFETY: both are live, and the queue goes first.
        unsafe {
            rd::rd_kafka_consumer_close(self.client.as_ptr());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}
