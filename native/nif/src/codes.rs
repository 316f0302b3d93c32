//! The codes that an error may have, for what is said of them.

use consumer::{codes, Code};

use crate::error::code_name;

/// `[{name, sentence, retryable?}]`: all of librdkafka's.
#[rustler::nif]
fn error_codes() -> Vec<(String, &'static str, bool)> {
    let described = |code: Code| (code_name(code.name()), code.describe(), code.is_retryable());
    codes().into_iter().map(described).collect()
}
