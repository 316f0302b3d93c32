//! librdkafka's queues: of the member, of a lane, of a partition, of commit results.

use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{self, NonNull};

use rdkafka::bindings as rd;

use crate::message::Message;

type Callback = Box<dyn Fn() + Send + Sync>;

/// Owns a handle to a queue. Must be dropped before the client it belongs to.
pub(crate) struct Queue {
    raw: NonNull<rd::rd_kafka_queue_t>,
    callback: Option<Box<Callback>>,
}

// SAFETY: librdkafka's queues may be used from any thread, also from several at once.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// # Safety
    /// The pointer must be null or a queue handle that nobody else will destroy.
    pub(crate) unsafe fn from_raw(raw: *mut rd::rd_kafka_queue_t) -> Option<Queue> {
        NonNull::new(raw).map(|raw| Queue {
            raw,
            callback: None,
        })
    }

    pub(crate) fn ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    /// Calls back when the queue turns from empty to non-empty. The callback runs with the
    /// queue's lock held: it may only set flags and send.
    pub(crate) fn on_nonempty(&mut self, callback: impl Fn() + Send + Sync + 'static) {
        let callback: Box<Callback> = Box::new(Box::new(callback));
        let opaque = ptr::from_ref::<Callback>(&callback).cast_mut().cast();
        // SAFETY: the queue is live, and the callback lives in self until it is disabled.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.ptr(), Some(call), opaque) }
        self.callback = Some(callback);
    }

    /// Moves up to `max` messages that are there now to the end of `out`; answers how many.
    pub(crate) fn consume(&self, max: usize, out: &mut impl Extend<Message>) -> usize {
        let mut raw: [*mut rd::rd_kafka_message_t; CHUNK] = [ptr::null_mut(); CHUNK];
        // SAFETY: the queue is live and the array has room for what is asked.
        let count = unsafe {
            rd::rd_kafka_consume_batch_queue(self.ptr(), 0, raw.as_mut_ptr(), max.min(CHUNK))
        };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: librdkafka hands over `count` messages, each once.
        out.extend(
            raw[..count]
                .iter()
                .filter_map(|m| unsafe { Message::from_raw(*m) }),
        );
        count
    }

    /// Messages and events that wait in the queue.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the queue is live.
        unsafe { rd::rd_kafka_queue_length(self.ptr()) }
    }

    /// Sends what is in this queue, and what will come, to another; `None` keeps it here.
    pub(crate) fn forward(&self, to: Option<&Queue>) {
        // SAFETY: both queues are live; null stops forwarding.
        unsafe { rd::rd_kafka_queue_forward(self.ptr(), to.map_or(ptr::null_mut(), Queue::ptr)) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is live. Disabling takes the queue's lock, so no callback runs when
        // the callback is freed after this.
        unsafe {
            if self.callback.is_some() {
                rd::rd_kafka_queue_cb_event_enable(self.ptr(), None, ptr::null_mut());
            }
            rd::rd_kafka_queue_destroy(self.ptr());
        }
    }
}

/// Messages taken from a queue at a time.
pub(crate) const CHUNK: usize = 500;

unsafe extern "C" fn call(_: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: the opaque is the Callback that on_nonempty registered and keeps alive.
    let callback = unsafe { &*opaque.cast::<Callback>() };
    // A panic must not cross into C.
    let _ = catch_unwind(AssertUnwindSafe(callback));
}
