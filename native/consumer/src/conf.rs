//! The native configuration: what we set, what callers set, and what they may not.

use std::env;
use std::ffi::{c_char, CString};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaConfRes;

use crate::config::{Config, PropertyFault};
use crate::error::Error;
use crate::limits::Limits;
use crate::text::c_text;

const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "off_broadway_rust_kafka"),
    // A full second by default: a stall each time the queue was full. What a full queue holds lasts for
    // 6 ms where records are 10 KiB, and for 10 ms where they are small. While it is full all partitions
    // are looked at this often, which costs with a thousand.
    ("fetch.queue.backoff.ms", "5"),
    // A minute by default, which is longer than a session: a connection to the coordinator that
    // answers nothing would cost all partitions before anybody noticed.
    ("socket.timeout.ms", "30000"),
    ("socket.nagle.disable", "true"),
    METADATA_INTERVAL,
];

// Five minutes by default: as long new partitions and topics would go unread.
const METADATA_INTERVAL: (&str, &str) = ("topic.metadata.refresh.interval.ms", "10000");

// KIP-848 leaves the assignor to the broker and refuses this property.
const CLASSIC_DEFAULTS: &[(&str, &str)] =
    &[("partition.assignment.strategy", "cooperative-sticky")];

// Where systems have the certificates of authorities.
const AUTHORITIES: &[(&str, &str)] = &[("ssl.ca.location", "probe")];

// OpenSSL's own variables say where else.
const OWN_AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

const RESERVED: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("log.queue", "true"),
];

// librdkafka takes any string for these: the one as the address of a function to call, the other
// as a signal to send, to which the whole process listens.
const REFUSED: &[&str] = &["internal.termination.signal", "ut_handle_ProduceResponse"];

impl Config {
    /// The native configuration: defaults, then the caller's properties, then ours.
    pub(crate) fn native(&self) -> Result<Conf, Error> {
        let mut conf = Conf::new();
        let classic = if self.has_consumer_protocol() {
            &[]
        } else {
            CLASSIC_DEFAULTS
        };
        let limits = Limits::new(self.max_buffered_bytes, self.lanes).properties();
        let limits = limits.iter().map(|(name, value)| (*name, value.as_str()));
        let authorities = looked_for(cfg!(feature = "vendored"), |name| {
            env::var_os(name).is_some()
        });
        let own = DEFAULTS.iter().chain(classic).chain(authorities);
        let own = own.copied().chain(limits);
        let given = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(given).chain(RESERVED.iter().copied()) {
            conf.set(name, value)?;
        }
        Ok(conf)
    }

    /// Whether the group's protocol is that of KIP-848.
    pub(crate) fn has_consumer_protocol(&self) -> bool {
        self.properties
            .iter()
            .any(|(name, value)| name == "group.protocol" && value.eq_ignore_ascii_case("consumer"))
    }

    /// How often topics are looked at; `None` for once.
    pub(crate) fn metadata_interval(&self) -> Option<Duration> {
        let (name, default) = METADATA_INTERVAL;
        let mut given = self.properties.iter().rev();
        let value = given
            .find(|(given, _)| given == name)
            .map_or(default, |(_, value)| value);
        // Zero or negative, it is turned off.
        let millis = value.trim().parse().ok().filter(|millis| *millis > 0)?;
        Some(Duration::from_millis(millis))
    }
}

/// An OpenSSL that is built in looks where it was built, unless it is told otherwise.
fn looked_for(
    built_in: bool,
    is_set: impl Fn(&str) -> bool,
) -> &'static [(&'static str, &'static str)] {
    if built_in && !OWN_AUTHORITIES.iter().any(|name| is_set(name)) {
        AUTHORITIES
    } else {
        &[]
    }
}

/// Tries each property on a fresh librdkafka configuration.
pub fn check(properties: &[(String, String)]) -> Result<(), Error> {
    let mut conf = Conf::new();
    properties
        .iter()
        .try_for_each(|(name, value)| conf.set(name, value))
}

/// Owns a `rd_kafka_conf_t`.
pub(crate) struct Conf(*mut rd::rd_kafka_conf_t);

impl Conf {
    pub(crate) fn new() -> Conf {
        // SAFETY: rd_kafka_conf_new has no preconditions; the result is owned by this value.
        Conf(unsafe { rd::rd_kafka_conf_new() })
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let invalid = |fault, message| Error::Property {
            property: name.to_owned(),
            fault,
            message,
        };
        let nul = |_| {
            invalid(
                PropertyFault::Invalid,
                format!("property {name:?} holds a NUL byte"),
            )
        };
        if REFUSED.contains(&name) {
            let message = format!("property {name:?} is not for the configuration of a consumer");
            return Err(invalid(PropertyFault::Invalid, message));
        }
        let c_name = CString::new(name).map_err(nul)?;
        let c_value = CString::new(value).map_err(nul)?;
        let mut text = [0 as c_char; 512];
        // SAFETY: the configuration is live, both strings are NUL-terminated, and the buffer has
        // the length it is said to have.
        let result = unsafe {
            rd::rd_kafka_conf_set(
                self.0,
                c_name.as_ptr(),
                c_value.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        match result {
            RDKafkaConfRes::RD_KAFKA_CONF_OK => Ok(()),
            RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
                Err(invalid(PropertyFault::Unknown, c_text(&text)))
            }
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID => {
                Err(invalid(PropertyFault::Invalid, c_text(&text)))
            }
        }
    }

    /// A property's value, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        let mut text = [0 as c_char; 512];
        let mut size = text.len();
        // SAFETY: the configuration is live, the name is NUL-terminated, and the buffer has the length
        // it is said to have.
        let result =
            unsafe { rd::rd_kafka_conf_get(self.0, name.as_ptr(), text.as_mut_ptr(), &mut size) };
        (result == RDKafkaConfRes::RD_KAFKA_CONF_OK).then(|| c_text(&text))
    }

    pub(crate) fn ptr(&self) -> *mut rd::rd_kafka_conf_t {
        self.0
    }

    /// Gives the pointer up, to `rd_kafka_new`.
    pub(crate) fn release(mut self) {
        self.0 = std::ptr::null_mut();
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer is ours and was not handed to rd_kafka_new.
            unsafe { rd::rd_kafka_conf_destroy(self.0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openssl_that_is_built_in_finds_the_systems_certificates() {
        assert_eq!(looked_for(true, |_| false), AUTHORITIES);
        assert!(looked_for(true, |name| name == "SSL_CERT_FILE").is_empty());
        assert!(looked_for(true, |name| name == "SSL_CERT_DIR").is_empty());
        assert!(looked_for(false, |_| false).is_empty());
    }
}
