//! Broker threads that never sleep need no nudge.

use std::sync::Arc;

use crate::client::Client;

pub(crate) struct Nudge;

impl Nudge {
    pub(crate) fn start(_: Arc<Client>) -> std::io::Result<Nudge> {
        Ok(Nudge)
    }

    pub(crate) fn send(&self, _: Vec<(String, i32)>) {}
}
