//! Events of the client.

use crate::code::Code;
use crate::error::Error;
use crate::offsets::Entry;

pub(crate) enum Polled {
    Assign(Vec<Entry>),
    Revoke(Vec<Entry>),
    Commit(Option<Code>, Vec<Entry>),
    Stray(String, i32),
    Error(Error),
    Log(i32, String, String),
    Statistics(String),
    TokenWanted,
    Other,
}
