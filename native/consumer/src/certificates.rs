//! Why a certificate was refused. librdkafka says only that, and OpenSSL tells who verifies it.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::code::Code;
use crate::conf::Conf;
use crate::error::Error;
use crate::polled::Polled;
use crate::sync::Mutex;
use crate::text::{put_text, text};

/// The fault of the certificate that each broker, by `host:port`, has shown last.
#[derive(Default)]
pub(crate) struct Certificates(Mutex<BTreeMap<String, Fault>>);

#[derive(Clone, Copy)]
struct Fault {
    /// OpenSSL's number of it.
    error: c_int,
    /// Whether it is the broker's own certificate, and not that of who issued it.
    own: bool,
}

// More names than a cluster has brokers: what is older is of no use.
const NAMES: usize = 1024;
const VERIFICATION: &str = "enable.ssl.certificate.verification";
const REFUSED: &str = "certificate verify failed";
// Who wants TLS hangs up on who begins without, and the other way round. librdkafka does not always
// say that.
const UNSPOKEN: [(&str, &str); 2] = [
    (
        "in state APIVERSION_QUERY",
        "does the listener want TLS? See security.protocol",
    ),
    (
        "in state SSL_HANDSHAKE",
        "connecting to a PLAINTEXT listener? See security.protocol",
    ),
];

impl Certificates {
    /// Verifies the brokers' certificates as OpenSSL does, and keeps why. Where they are not to be
    /// verified OpenSSL would ask all the same, and librdkafka log as an error what does not count.
    ///
    /// # Safety
    /// Self must outlive the client that will be made of the configuration.
    pub(crate) unsafe fn watch(&self, conf: &Conf) {
        if conf.get(VERIFICATION).as_deref() == Some("false") {
            return;
        }
        let own: *const Certificates = self;
        // SAFETY: the configuration is live. The opaque pointer is given to nobody else.
        unsafe {
            rd::rd_kafka_conf_set_opaque(conf.ptr(), own.cast_mut().cast());
            rd::rd_kafka_conf_set_ssl_cert_verify_cb(conf.ptr(), Some(verify));
        }
    }

    fn refused(&self, broker: String, fault: Fault) {
        let mut faults = self.0.lock();
        if faults.len() == NAMES {
            faults.clear();
        }
        faults.insert(broker, fault);
    }

    /// What librdkafka says of a refused certificate, with the reason in place of its guess.
    pub(crate) fn explained(&self, polled: Polled) -> Polled {
        match polled {
            Polled::Error(error) => Polled::Error(self.error(error)),
            Polled::Log(level, facility, message) => {
                let message = self.reason(&message).unwrap_or(message);
                Polled::Log(level, facility, message)
            }
            other => other,
        }
    }

    fn error(&self, error: Error) -> Error {
        match error {
            Error::Kafka {
                code,
                message,
                fatal,
                topic,
                partition,
            } => Error::Kafka {
                code: kind(code, &message),
                message: self.reason(&message).unwrap_or(message),
                fatal,
                topic,
                partition,
            },
            other => other,
        }
    }

    fn reason(&self, message: &str) -> Option<String> {
        if is_alert(message) {
            return Some(format!("{message}: {}", refused_by_broker(message)));
        }
        if message.contains("Disconnected") && !message.contains("PLAINTEXT") {
            let (_, hint) = UNSPOKEN.iter().find(|(state, _)| message.contains(state))?;
            return Some(format!("{message}: {hint}"));
        }
        let upto = message.find(REFUSED)? + REFUSED.len();
        let faults = self.0.lock();
        let (broker, fault) = faults
            .iter()
            .find(|(broker, _)| message.contains(&format!("://{broker}/")))?;
        Some(format!("{}: {}", &message[..upto], fault.sentence(broker)))
    }
}

// With TLS 1.3 our handshake is over before the broker has seen our certificate: librdkafka takes
// its refusal for a broken connection.
fn kind(code: Code, message: &str) -> Code {
    if is_alert(message) {
        Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__SSL).unwrap_or(code)
    } else {
        code
    }
}

// OpenSSL's words for what the other side says.
fn is_alert(message: &str) -> bool {
    message.contains("SSL routines:") && message.contains(" alert ")
}

fn refused_by_broker(message: &str) -> &'static str {
    if message.contains("certificate") || message.contains("unknown ca") {
        "the broker refused the client's certificate, or the lack of one: set ssl.certificate.location and \
        ssl.key.location to one that is not expired, of an issuer whom the brokers trust"
    } else {
        "the broker broke the handshake off: see its log"
    }
}

impl Fault {
    // The numbers are those of OpenSSL's x509_vfy.h, which it does not change.
    fn sentence(self, broker: &str) -> String {
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
        let whose = if self.own {
            "the broker's certificate"
        } else {
            "the certificate of who issued the broker's"
        };
        match self.error {
            9 => format!("{whose} is not valid yet: is this machine's clock right?"),
            10 => format!("{whose} has expired: renew it on the brokers"),
            23 => format!("{whose} has been revoked: renew it on the brokers"),
            26 => format!("{whose} is not meant for a server: issue another for the brokers"),
            62 | 64 => format!(
                "{whose} is not for {host}: use a name that is in it, in :hosts and in the brokers' \
                advertised.listeners"
            ),
            2 | 18..=21 => format!(
                "{whose} was issued by nobody whom this machine trusts: set ssl.ca.location or ssl.ca.pem \
                to its issuer's certificate"
            ),
            error => format!("{whose} is refused by OpenSSL's verification error {error}"),
        }
    }
}

/// Called for each certificate of a chain, the broker's own last.
///
/// # Safety
/// `own` must point at live [`Certificates`], `error` and the buffer of `size` at what is writable, the name at a
/// NUL-terminated string.
unsafe extern "C" fn verify(
    _client: *mut rd::rd_kafka_t,
    broker: *const c_char,
    _broker_id: i32,
    error: *mut c_int,
    depth: c_int,
    _certificate: *const c_char,
    _length: usize,
    buffer: *mut c_char,
    size: usize,
    own: *mut c_void,
) -> c_int {
    // SAFETY: as the caller promises.
    let (own, error) = unsafe { (&*own.cast::<Certificates>(), *error) };
    if error == 0 {
        return 1;
    }
    // SAFETY: as the caller promises.
    let broker = unsafe { text(broker) };
    let fault = Fault {
        error,
        own: depth == 0,
    };
    // SAFETY: as the caller promises.
    unsafe { put_text(&fault.sentence(&broker), buffer, size) };
    own.refused(broker, fault);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: &str =
        "ssl://kafka-1:9093/1: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed";

    fn told(error: c_int, own: bool, message: &str) -> String {
        let certificates = Certificates::default();
        certificates.refused("kafka-2:9093".into(), Fault { error: 9, own });
        certificates.refused("kafka-1:9093".into(), Fault { error, own });
        let log = Polled::Log(3, "FAIL".into(), message.into());
        match certificates.explained(log) {
            Polled::Log(3, facility, message) if facility == "FAIL" => message,
            _ => String::new(),
        }
    }

    #[test]
    fn certificates_are_verified_unless_that_is_turned_off() {
        for (given, watched) in [(None, true), (Some("true"), true), (Some("false"), false)] {
            let mut conf = Conf::new();
            if let Some(value) = given {
                conf.set(VERIFICATION, value).unwrap();
            }
            let certificates = Certificates::default();
            // SAFETY: no client is made of it.
            unsafe { certificates.watch(&conf) };
            let callback = conf.get("ssl.certificate.verify_cb");
            assert_eq!(callback.is_some(), watched, "{given:?}: {callback:?}");
        }
    }

    #[test]
    fn a_certificate_that_is_refused_is_told_with_the_reason_of_its_own_broker() {
        let guess = format!("{HANDSHAKE}: verify that ssl.ca.location is correctly configured");
        for (error, own, reason) in [
            (10, true, "the broker's certificate has expired"),
            (
                10,
                false,
                "the certificate of who issued the broker's has expired",
            ),
            (62, true, "is not for kafka-1: use a name that is in it"),
            (19, false, "issued by nobody whom this machine trusts"),
            (77, true, "verification error 77"),
        ] {
            let message = told(error, own, &guess);
            assert!(message.starts_with(HANDSHAKE), "{message}");
            assert!(message.contains(reason), "{message}");
            assert!(!message.contains("correctly configured"), "{message}");
        }
    }

    #[test]
    fn what_is_said_of_others_stays_as_it_is() {
        for message in [
            "ssl://kafka-3:9093/3: SSL handshake failed: certificate verify failed",
            "ssl://kafka-1:9093/1: Connect failed: Connection refused",
        ] {
            assert_eq!(told(10, true, message), message);
        }
    }

    #[test]
    fn a_broker_that_hangs_up_at_once_may_want_tls_or_not_know_it() {
        for (state, hint) in UNSPOKEN {
            let message = format!("kafka-1:9093/1: Disconnected (after 3ms {state})");
            assert_eq!(told(10, true, &message), format!("{message}: {hint}"));
        }
        for message in [
            "ssl://kafka-1:9093/1: Disconnected: a PLAINTEXT listener? (in state SSL_HANDSHAKE)",
            "kafka-1:9093/1: Disconnected (after 3000ms in state UP)",
        ] {
            assert_eq!(told(10, true, message), message);
        }
    }

    #[test]
    fn a_certificate_of_ours_that_a_broker_refuses_is_an_error_of_tls() {
        let transport = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
        for (message, code) in [
            (
                "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate",
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__SSL,
            ),
            ("Receive failed: Connection reset by peer", transport),
        ] {
            let Some(given) = Code::of(transport) else {
                panic!("no code");
            };
            let error = Certificates::default().error(Error::kafka(message, given));
            assert_eq!(error.code(), Code::of(code));
        }
    }

    #[test]
    fn names_that_change_for_ever_take_bounded_memory() {
        let certificates = Certificates::default();
        for name in 0..3 * NAMES {
            let fault = Fault {
                error: 10,
                own: true,
            };
            certificates.refused(name.to_string(), fault);
        }
        assert!(certificates.0.lock().len() <= NAMES);
    }
}
