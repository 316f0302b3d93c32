//! What the brokers say of a group's members.

use std::time::Duration;

use rdkafka::groups::GroupMemberInfo;
use rdkafka::producer::Producer;

use crate::{Error, TestClient};

/// A member of a group of the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: String,
    /// The address it came from.
    pub host: String,
    /// What it was assigned, as its group's assignors encode it; empty while the group rebalances.
    pub assignment: Vec<u8>,
}

impl TestClient {
    /// The members of a group; none of one that the brokers do not describe, as of KIP-848.
    pub fn members(&self, group: &str, timeout: Duration) -> Result<Vec<Member>, Error> {
        let groups = self
            .producer
            .client()
            .fetch_group_list(Some(group), timeout)
            .map_err(|error| Error::from_kafka("members", error))?;
        let members = groups.groups().iter().flat_map(|found| found.members());
        Ok(members.map(member).collect())
    }
}

fn member(found: &GroupMemberInfo) -> Member {
    Member {
        id: found.id().to_owned(),
        host: found.client_host().to_owned(),
        assignment: found.assignment().unwrap_or_default().to_vec(),
    }
}
