//! Answers to KIP-848 heartbeats that were lost.
//!
//! The brokers tell a member of a change of its partitions once, unless it sends a full request,
//! which it should do after a heartbeat that timed out. librdkafka does so after a lost connection
//! only. So the first heartbeat after one that timed out loses its connection.

use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::event::Event;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// What a member has heard from its coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heard {
    /// All there is to hear.
    #[default]
    All,
    /// A heartbeat timed out: what its answer said is not known.
    Missed,
    /// The connection of the heartbeat that followed is being closed.
    Closing,
    /// It is closed: librdkafka sends full requests until one is answered.
    Asking,
}

impl Heard {
    /// A heartbeat ended.
    fn ended(self, err: RDKafkaRespErr) -> Heard {
        use RDKafkaRespErr::*;
        match (err, self) {
            (RD_KAFKA_RESP_ERR__TRANSPORT, _) => Heard::Asking,
            (RD_KAFKA_RESP_ERR_NO_ERROR, Heard::Asking) => Heard::All,
            (RD_KAFKA_RESP_ERR__TIMED_OUT, Heard::All) | (_, Heard::Closing) => Heard::Missed,
            (_, heard) => heard,
        }
    }

    /// A heartbeat was sent.
    fn sent(self) -> Heard {
        match self {
            Heard::Missed => Heard::Closing,
            heard => heard,
        }
    }
}

/// Sees every heartbeat that is sent, and how it ends.
#[derive(Default)]
pub(crate) struct Heartbeats {
    heard: Mutex<Heard>,
    closed: AtomicBool,
}

const HEARTBEAT: i16 = 68;
const NOTICE: i32 = 5;
const CLOSED: &str =
    "the answer to a ConsumerGroupHeartbeatRequest was lost: closed the connection to the \
    coordinator, so that the next one asks for the assignment again";
const NAME: *const c_char = c"heartbeats".as_ptr();

impl Heartbeats {
    /// Watches the client that will be made of this configuration.
    ///
    /// # Safety
    /// The configuration must be live, and self must outlive the client.
    pub(crate) unsafe fn watch(&self, conf: *mut rd::rd_kafka_conf_t) {
        let own: *const Heartbeats = self;
        // SAFETY: the configuration is live, the name NUL-terminated; what the functions are given
        // outlives their client.
        unsafe {
            rd::rd_kafka_conf_interceptor_add_on_new(
                conf,
                NAME,
                Some(on_new),
                own.cast_mut().cast(),
            );
        }
    }

    /// What there is to tell: that a connection was closed.
    pub(crate) fn told(&self) -> Option<Event> {
        let closed = self.closed.swap(false, Ordering::AcqRel);
        closed.then(|| Event::Log {
            level: NOTICE,
            facility: "HEARTBEAT".into(),
            message: CLOSED.into(),
        })
    }

    fn step(&self, next: impl FnOnce(Heard) -> Heard) -> Heard {
        let mut heard = self.heard.lock();
        *heard = next(*heard);
        *heard
    }
}

/// # Safety
/// `own` must point at live [`Heartbeats`].
unsafe extern "C" fn on_new(
    client: *mut rd::rd_kafka_t,
    _conf: *const rd::rd_kafka_conf_t,
    own: *mut c_void,
    _text: *mut c_char,
    _size: usize,
) -> RDKafkaRespErr {
    // SAFETY: the client is live and takes interceptors now; the name is NUL-terminated.
    unsafe {
        rd::rd_kafka_interceptor_add_on_request_sent(client, NAME, Some(on_sent), own);
        rd::rd_kafka_interceptor_add_on_response_received(client, NAME, Some(on_ended), own)
    }
}

/// Called by the thread that owns the socket.
///
/// # Safety
/// `own` must point at live [`Heartbeats`], and the socket must be open.
unsafe extern "C" fn on_sent(
    _client: *mut rd::rd_kafka_t,
    socket: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    api_key: i16,
    _version: i16,
    _correlation: i32,
    _bytes: usize,
    own: *mut c_void,
) -> RDKafkaRespErr {
    // SAFETY: as the caller promises.
    let own = unsafe { &*own.cast::<Heartbeats>() };
    if api_key == HEARTBEAT && own.step(Heard::sent) == Heard::Closing {
        own.closed.store(true, Ordering::Release);
        // SAFETY: the socket is open, and stays librdkafka's to close.
        let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(socket) });
        // One that is closed already ends the same way.
        let _ = socket.shutdown(Shutdown::Both);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called with the answer, or with why there is none.
///
/// # Safety
/// `own` must point at live [`Heartbeats`].
unsafe extern "C" fn on_ended(
    _client: *mut rd::rd_kafka_t,
    _socket: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    api_key: i16,
    _version: i16,
    _correlation: i32,
    _bytes: usize,
    _round_trip: i64,
    err: RDKafkaRespErr,
    own: *mut c_void,
) -> RDKafkaRespErr {
    if api_key == HEARTBEAT {
        // SAFETY: as the caller promises.
        unsafe { &*own.cast::<Heartbeats>() }.step(|heard| heard.ended(err));
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

#[cfg(test)]
mod tests {
    use super::Heard::{self, *};
    use super::RDKafkaRespErr::{self, *};

    const ANSWERED: RDKafkaRespErr = RD_KAFKA_RESP_ERR_NO_ERROR;
    const DISCONNECTED: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TRANSPORT;
    const TIMED_OUT: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TIMED_OUT;
    const NEVER_SENT: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE;

    fn heartbeats(ends: &[RDKafkaRespErr]) -> (Heard, usize) {
        ends.iter().fold((All, 0), |(heard, closed), end| {
            let sent = heard.sent();
            (sent.ended(*end), closed + usize::from(sent == Closing))
        })
    }

    #[test]
    fn the_heartbeat_after_a_lost_answer_loses_its_connection() {
        assert_eq!(heartbeats(&[TIMED_OUT]), (Missed, 0));
        assert_eq!(heartbeats(&[TIMED_OUT, DISCONNECTED]), (Asking, 1));
        assert_eq!(heartbeats(&[TIMED_OUT, DISCONNECTED, ANSWERED]), (All, 1));
    }

    #[test]
    fn no_connection_is_closed_where_librdkafka_asks_for_everything_by_itself() {
        assert_eq!(
            heartbeats(&[DISCONNECTED, TIMED_OUT, TIMED_OUT]),
            (Asking, 0)
        );
        assert_eq!(heartbeats(&[ANSWERED, NEVER_SENT, ANSWERED]), (All, 0));
    }

    #[test]
    fn a_network_that_is_slow_for_long_costs_one_connection() {
        let ends = [
            TIMED_OUT,
            DISCONNECTED,
            TIMED_OUT,
            TIMED_OUT,
            NEVER_SENT,
            ANSWERED,
        ];
        assert_eq!(heartbeats(&ends), (All, 1));
    }

    #[test]
    fn a_heartbeat_that_outlived_its_connection_is_followed_by_another() {
        assert_eq!(heartbeats(&[TIMED_OUT, ANSWERED]), (Missed, 1));
        assert_eq!(
            heartbeats(&[TIMED_OUT, ANSWERED, DISCONNECTED, ANSWERED]),
            (All, 2)
        );
    }
}
