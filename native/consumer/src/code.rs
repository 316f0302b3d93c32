//! librdkafka's error codes.

use std::ffi::CStr;
use std::fmt;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

/// An error code of librdkafka or of a broker, with librdkafka's own name for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(RDKafkaRespErr);

impl Code {
    /// The code, or `None` for "no error".
    pub(crate) fn of(err: RDKafkaRespErr) -> Option<Code> {
        (err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(Code(err))
    }

    /// librdkafka's name, such as `UNKNOWN_TOPIC_OR_PART` or `_TRANSPORT`; the underscore marks
    /// the codes a client raises itself.
    pub fn name(self) -> &'static str {
        // SAFETY: rd_kafka_err2name answers a static, NUL-terminated string for any code.
        unsafe { CStr::from_ptr(rd::rd_kafka_err2name(self.0)) }
            .to_str()
            .unwrap_or("UNKNOWN")
    }

    /// librdkafka's sentence for the code.
    pub fn describe(self) -> &'static str {
        // SAFETY: rd_kafka_err2str answers a static, NUL-terminated string for any code.
        unsafe { CStr::from_ptr(rd::rd_kafka_err2str(self.0)) }
            .to_str()
            .unwrap_or("unknown error")
    }

    pub(crate) fn is(self, err: RDKafkaRespErr) -> bool {
        self.0 == err
    }

    /// Whether the same request may succeed later with nothing changed but time.
    pub fn is_retryable(self) -> bool {
        use RDKafkaRespErr::*;
        !matches!(
            self.0,
            RD_KAFKA_RESP_ERR__AUTHENTICATION
                | RD_KAFKA_RESP_ERR__BAD_MSG
                | RD_KAFKA_RESP_ERR__FATAL
                | RD_KAFKA_RESP_ERR__FENCED
                | RD_KAFKA_RESP_ERR__INVALID_ARG
                | RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED
                | RD_KAFKA_RESP_ERR__SSL
                | RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE
                | RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
                | RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                | RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
                | RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL
                | RD_KAFKA_RESP_ERR_INVALID_GROUP_ID
                | RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT
                | RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED
                | RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
                | RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION
                | RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM
                | RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION
        )
    }

    /// Whether there is no such topic, as it was deleted.
    pub(crate) fn is_gone(self) -> bool {
        use RDKafkaRespErr::*;
        matches!(
            self.0,
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
        )
    }

    /// Whether it is librdkafka's own, for want of an answer from a broker.
    pub(crate) fn is_local(self) -> bool {
        (self.0 as i32) < 0
    }

    /// Whether the broker no longer takes us for the member that owns the partitions.
    pub(crate) fn is_fenced(self) -> bool {
        use RDKafkaRespErr::*;
        matches!(
            self.0,
            RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
                | RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
                | RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                | RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH
                | RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH
        )
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
