//! A configuration: how many partitions there are, and the group's protocol.

use std::time::Duration;

use crate::client::Protocol;
use crate::config::Config;
use crate::error::Error;

pub(crate) struct Conf {
    pub(crate) partitions: i32,
    pub(crate) protocol: Protocol,
}

impl Config {
    pub(crate) fn metadata_interval(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn has_consumer_protocol(&self) -> bool {
        false
    }

    /// Reads the properties `partitions` and `eager`, which only this cluster has.
    pub(crate) fn native(&self) -> Result<Conf, Error> {
        let find = |wanted: &str| self.properties.iter().find(|(name, _)| name == wanted);
        let partitions = find("partitions").and_then(|(_, value)| value.parse().ok());
        Ok(Conf {
            partitions: partitions.unwrap_or(1),
            protocol: match find("eager") {
                Some(_) => Protocol::Eager,
                None => Protocol::Cooperative,
            },
        })
    }
}
