//! What a member's requests tell that librdkafka does not: seen as they are sent and as they end.

use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::connections::Connections;
use crate::event::Event;
use crate::heartbeat::Heard;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::text::text;

/// Sees every JoinGroup, every KIP-848 heartbeat, and what becomes of connections.
#[derive(Default)]
pub(crate) struct Requests {
    heard: Mutex<Heard>,
    closed: AtomicBool,
    joining: AtomicBool,
    connections: Connections,
}

// By Kafka's API keys.
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 68;
const NOTICE: i32 = 5;
const CLOSED: &str =
    "the answer to a ConsumerGroupHeartbeatRequest was lost: closed the connection to the \
    coordinator, so that the next one asks for the assignment again";
const NAME: *const c_char = c"requests".as_ptr();

impl Requests {
    /// Watches the client that will be made of this configuration.
    ///
    /// # Safety
    /// The configuration must be live, and self must outlive the client.
    pub(crate) unsafe fn watch(&self, conf: *mut rd::rd_kafka_conf_t) {
        let own: *const Requests = self;
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

    /// What there is to tell next: that a connection was closed, came up or went down.
    pub(crate) fn told(&self) -> Option<Event> {
        self.told_of_closing().or_else(|| self.connections.told())
    }

    fn told_of_closing(&self) -> Option<Event> {
        let closed = self.closed.swap(false, Ordering::AcqRel);
        closed.then(|| Event::Log {
            level: NOTICE,
            facility: "HEARTBEAT".into(),
            message: CLOSED.into(),
        })
    }

    /// Whether a JoinGroup is under way.
    pub(crate) fn is_joining(&self) -> bool {
        self.joining.load(Ordering::Acquire)
    }

    fn step(&self, next: impl FnOnce(Heard) -> Heard) -> Heard {
        let mut heard = self.heard.lock();
        *heard = next(*heard);
        *heard
    }
}

/// # Safety
/// `own` must point at live [`Requests`].
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
        rd::rd_kafka_interceptor_add_on_broker_state_change(client, NAME, Some(on_state), own);
        rd::rd_kafka_interceptor_add_on_response_received(client, NAME, Some(on_ended), own)
    }
}

/// Called by the thread that owns the socket.
///
/// # Safety
/// `own` must point at live [`Requests`], and the socket must be open.
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
    let own = unsafe { &*own.cast::<Requests>() };
    if api_key == JOIN_GROUP {
        own.joining.store(true, Ordering::Release);
    }
    if api_key == HEARTBEAT && own.step(Heard::sent) == Heard::Closing {
        own.closed.store(true, Ordering::Release);
        // SAFETY: the socket is open, and stays librdkafka's to close.
        let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(socket) });
        // One that is closed already ends the same way.
        let _ = socket.shutdown(Shutdown::Both);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called by a broker's thread, which holds the broker's lock: it only writes down what it sees.
///
/// # Safety
/// `own` must point at live [`Requests`], the names at NUL-terminated strings.
unsafe extern "C" fn on_state(
    _client: *mut rd::rd_kafka_t,
    broker: i32,
    _protocol: *const c_char,
    host: *const c_char,
    port: c_int,
    state: *const c_char,
    own: *mut c_void,
) -> RDKafkaRespErr {
    // SAFETY: as the caller promises.
    let (own, host, state) = unsafe { (&*own.cast::<Requests>(), text(host), text(state)) };
    own.connections.changed(broker, &host, port, &state);
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called with the answer, or with why there is none.
///
/// # Safety
/// `own` must point at live [`Requests`].
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
    // SAFETY: as the caller promises.
    let own = unsafe { &*own.cast::<Requests>() };
    match api_key {
        JOIN_GROUP => own.joining.store(false, Ordering::Release),
        HEARTBEAT => {
            own.step(|heard| heard.ended(err));
        }
        _ => {}
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
