//! Strings of C.

use std::ffi::{c_char, CStr};

/// The text librdkafka left in a buffer, trimmed.
pub(crate) fn c_text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer
        .iter()
        .take_while(|c| **c != 0)
        .map(|c| *c as u8)
        .collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The text a pointer leads to, trimmed; empty for null.
///
/// # Safety
/// `string` must be null or NUL-terminated.
pub(crate) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(string) }
        .to_string_lossy()
        .trim()
        .to_owned()
}
