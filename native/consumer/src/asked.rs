//! What somebody waits for while brokers are asked: it is done in time, or not at all.

use std::time::{Duration, Instant};

use crate::clock;
use crate::command::{Command, Reply};
use crate::consumer::Consumer;
use crate::error::Error;

/// Somebody who waits.
pub(crate) struct Asked {
    deadline: Instant,
    reply: Reply,
}

/// For look-ups that ask brokers up to three times.
const TIMEOUT: Duration = Duration::from_secs(10);
// From the deadline until the answer that nothing was done.
const GRACE: Duration = Duration::from_secs(1);

impl Asked {
    pub(crate) fn new(reply: Reply) -> Asked {
        Asked {
            deadline: clock::now() + TIMEOUT,
            reply,
        }
    }

    /// What was looked up, unless it comes too late.
    pub(crate) fn in_time<T>(&self, found: Result<T, Error>) -> Result<T, Error> {
        if clock::now() < self.deadline {
            found
        } else {
            Err(Error::Busy)
        }
    }

    pub(crate) fn answer(&self, result: Result<(), Error>) {
        let _ = self.reply.try_send(result);
    }
}

impl Consumer {
    /// Waits for something that brokers are asked for.
    pub(crate) fn ask_brokers(&self, command: impl FnOnce(Asked) -> Command) -> Result<(), Error> {
        self.ask(TIMEOUT + GRACE, |reply| command(Asked::new(reply)))?
    }
}
