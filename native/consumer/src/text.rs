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

/// Writes a text to a buffer of C, cut short where it is longer.
///
/// # Safety
/// `buffer` must point at `size` writable bytes.
pub(crate) unsafe fn put_text(text: &str, buffer: *mut c_char, size: usize) {
    let Some(room) = size.checked_sub(1) else {
        return;
    };
    let length = text.len().min(room);
    // SAFETY: both are `length` bytes long, and the buffer one more.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, length);
        *buffer.add(length) = 0;
    }
}
