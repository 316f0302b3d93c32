//! librdkafka's names of its codes, which nothing here depends on.

use std::ffi::c_char;

use crate::types::RDKafkaRespErr;

/// # Safety
/// None is needed: it is so declared as librdkafka's own is.
pub unsafe fn rd_kafka_err2name(_: RDKafkaRespErr) -> *const c_char {
    c"CODE".as_ptr()
}

/// # Safety
/// None is needed: it is so declared as librdkafka's own is.
pub unsafe fn rd_kafka_err2str(_: RDKafkaRespErr) -> *const c_char {
    c"a code".as_ptr()
}
