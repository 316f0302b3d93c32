//! A record, as librdkafka holds it or apart from what it came with.

use std::ffi::{c_void, CStr};
use std::ptr::{self, NonNull};
use std::slice;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::code::Code;
use crate::copied::Copied;

/// A record: one message of librdkafka's, or a copy of it.
pub struct Message(Body);

enum Body {
    /// Ours to destroy. Of an uncompressed record it keeps the whole answer that it came in.
    Fetched(NonNull<rd::rd_kafka_message_t>),
    Copied(Box<Copied>),
}

// SAFETY: a message is an owned allocation without ties to the thread that fetched it. It is not
// Sync: reading headers parses them in place.
unsafe impl Send for Message {}

impl Message {
    /// Takes the message over.
    ///
    /// # Safety
    /// The pointer must be null or a message that nobody else will destroy.
    pub(crate) unsafe fn from_raw(raw: *mut rd::rd_kafka_message_t) -> Option<Message> {
        NonNull::new(raw).map(|raw| Message(Body::Fetched(raw)))
    }

    /// Leaves the answer that it came in. What stands for a fault stays as it is.
    pub(crate) fn set_apart(&mut self) {
        if self.error().is_none() && matches!(self.0, Body::Fetched(_)) {
            *self = Message(Body::Copied(Box::new(Copied::of(self))));
        }
    }

    /// A record without key and value.
    #[cfg(test)]
    pub(crate) fn tombstone(offset: i64) -> Message {
        Message(Body::Copied(Box::new(Copied::nothing(offset))))
    }

    fn body(&self) -> Result<&rd::rd_kafka_message_t, &Copied> {
        match &self.0 {
            // SAFETY: the pointer is a live message for as long as self is.
            Body::Fetched(raw) => Ok(unsafe { raw.as_ref() }),
            Body::Copied(copied) => Err(copied),
        }
    }

    /// The error, when this stands for a fault of its partition and not for a record.
    pub(crate) fn error(&self) -> Option<Code> {
        self.body().ok().and_then(|raw| Code::of(raw.err))
    }

    /// The sentence that goes with [`Message::error`].
    pub(crate) fn error_text(&self) -> String {
        let Body::Fetched(raw) = &self.0 else {
            return String::new();
        };
        // SAFETY: the message is live; the answer is null or a NUL-terminated string it owns.
        let text = unsafe { rd::rd_kafka_message_errstr(raw.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null, NUL-terminated, and alive as long as the message.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    }

    /// What tells partitions apart while the messages live, as they were fetched: librdkafka's topic
    /// handle and number.
    pub(crate) fn partition_key(&self) -> (usize, i32) {
        let handle = self.body().map_or(0, |raw| raw.rkt as usize);
        (handle, self.partition())
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        let rkt = match self.body() {
            Ok(raw) => raw.rkt,
            Err(copied) => return copied.topic(),
        };
        if rkt.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to its topic handle, whose name is a
        // NUL-terminated string that lives as long.
        unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(rkt)) }
            .to_str()
            .unwrap_or("")
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.body()
            .map_or_else(|copied| copied.partition, |raw| raw.partition)
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.body()
            .map_or_else(|copied| copied.offset, |raw| raw.offset)
    }

    /// The key; `None` where the record has none, which is not an empty one.
    pub fn key(&self) -> Option<&[u8]> {
        match self.body() {
            // SAFETY: librdkafka's key pointer is null or points at key_len bytes owned by the message.
            Ok(raw) => unsafe { bytes(raw.key, raw.key_len) },
            Err(copied) => copied.key(),
        }
    }

    /// The value; `None` for a tombstone, which is not an empty value.
    pub fn value(&self) -> Option<&[u8]> {
        match self.body() {
            // SAFETY: librdkafka's payload pointer is null or points at len bytes owned by the message.
            Ok(raw) => unsafe { bytes(raw.payload, raw.len) },
            Err(copied) => copied.value(),
        }
    }

    /// Milliseconds since the epoch, of creation or of append as the topic is configured.
    pub fn timestamp(&self) -> Option<i64> {
        let raw = match &self.0 {
            Body::Fetched(raw) => raw.as_ptr(),
            Body::Copied(copied) => return copied.timestamp,
        };
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live and `kind` is writable.
        let millis = unsafe { rd::rd_kafka_message_timestamp(raw, &mut kind) };
        (millis >= 0).then_some(millis)
    }

    /// The headers, parsed at each call.
    ///
    /// librdkafka allocates each of them. Headers that are dropped before the next message's are asked
    /// for leave it their memory, which costs a fraction of new memory: so they are not the message's.
    pub fn headers(&self) -> Headers {
        let raw = match &self.0 {
            Body::Fetched(raw) => raw.as_ptr(),
            Body::Copied(copied) => return copied.headers.clone(),
        };
        let mut headers = ptr::null_mut();
        // SAFETY: the message is live, and no other thread has it; what it answers is ours.
        let err = unsafe { rd::rd_kafka_message_detach_headers(raw, &mut headers) };
        let found = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers(NonNull::new(headers).filter(|_| found))
    }

    /// Where in librdkafka's memory the value is, if there is one.
    pub(crate) fn address(&self) -> Option<usize> {
        let payload = self.body().ok().map(|raw| raw.payload as usize);
        payload.filter(|it| *it != 0)
    }

    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.body()
            .map_or_else(Copied::size, |raw| raw.len + raw.key_len)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Body::Fetched(raw) = &self.0 {
            // SAFETY: the message is ours and nobody refers to it any more.
            unsafe { rd::rd_kafka_message_destroy(raw.as_ptr()) }
        }
    }
}

/// The headers of a record, in order, duplicates included.
#[derive(Default)]
pub struct Headers(Option<NonNull<rd::rd_kafka_headers_t>>);

impl Headers {
    /// How many there are.
    pub fn len(&self) -> usize {
        // SAFETY: the list is ours and live.
        self.0
            .map_or(0, |list| unsafe { rd::rd_kafka_header_cnt(list.as_ptr()) })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name and the value of the one at this place; `None` past their end.
    pub fn get(&self, place: usize) -> Option<(&[u8], Option<&[u8]>)> {
        let list = self.0?.as_ptr();
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list is ours and live; a place past its end is answered with an error.
        let err =
            unsafe { rd::rd_kafka_header_get_all(list, place, &mut name, &mut value, &mut size) };
        if err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the name is NUL-terminated and lives as long as the list.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: the value is null or `size` bytes that live as long as the list.
        Some((name, unsafe { bytes(value, size) }))
    }
}

impl Clone for Headers {
    fn clone(&self) -> Headers {
        // SAFETY: the list is ours and live; what it answers is ours as well.
        let copy = |list: NonNull<_>| unsafe { rd::rd_kafka_headers_copy(list.as_ptr()) };
        Headers(self.0.and_then(|list| NonNull::new(copy(list))))
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(list) = self.0 {
            // SAFETY: the list is ours, and nobody refers to it any more.
            unsafe { rd::rd_kafka_headers_destroy(list.as_ptr()) }
        }
    }
}

/// # Safety
/// `data` must be null or point at `len` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { slice::from_raw_parts(data.cast(), len) })
}
