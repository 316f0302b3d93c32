//! Wake-ups and events, sent to processes.

use std::sync::{Mutex, PoisonError};

use consumer::{Event, Shelf, Sink};
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};

use crate::{atoms, event};

/// Sends a member's events to its owner, and each lane's wake-ups to the process attached to it.
pub(crate) struct Processes {
    owner: LocalPid,
    lanes: Shelf<Mutex<Option<LocalPid>>>,
}

impl Processes {
    pub(crate) fn new(owner: LocalPid, lanes: usize) -> Processes {
        let processes = Processes {
            owner,
            lanes: Shelf::default(),
        };
        processes.grow_to(lanes);
        processes
    }

    /// Makes room for the processes of so many lanes.
    pub(crate) fn grow_to(&self, lanes: usize) {
        self.lanes.grow_to(lanes, |_| Mutex::new(None));
    }

    /// Whether this process hears the member's events.
    pub(crate) fn is_owner(&self, pid: LocalPid) -> bool {
        self.owner == pid
    }

    /// Sends the lane's wake-ups to this process from now on.
    pub(crate) fn attach(&self, lane: usize, pid: LocalPid) {
        self.put(lane, Some(pid));
    }

    /// Sends them to nobody.
    pub(crate) fn detach(&self, lane: usize) {
        self.put(lane, None);
    }

    fn put(&self, lane: usize, pid: Option<LocalPid>) {
        if let Some(attached) = self.lanes.get(lane) {
            *attached.lock().unwrap_or_else(PoisonError::into_inner) = pid;
        }
    }

    /// Whether this process is the one that serves the lane.
    pub(crate) fn is_attached(&self, lane: usize, pid: LocalPid) -> bool {
        self.attached(lane) == Some(pid)
    }

    /// Wakes a lane's process from a NIF call, whose thread is a scheduler's.
    pub(crate) fn wake_from(&self, env: Env<'_>, lane: usize) {
        if let Some(pid) = self.attached(lane) {
            let _ = env.send(&pid, (atoms::off_broadway_rust_kafka(), atoms::wake()));
        }
    }

    fn attached(&self, lane: usize) -> Option<LocalPid> {
        let attached = self.lanes.get(lane)?;
        *attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A process that is gone does not read: nothing to do about it here.
    fn send(&self, pid: LocalPid, message: impl for<'a> FnOnce(Env<'a>) -> Term<'a>) {
        let tagged = |env| (atoms::off_broadway_rust_kafka(), message(env)).encode(env);
        let _ = OwnedEnv::new().send_and_clear(&pid, tagged);
    }
}

impl Sink for Processes {
    fn wake(&self, lane: usize) {
        if let Some(pid) = self.attached(lane) {
            self.send(pid, |env| atoms::wake().encode(env));
        }
    }

    fn event(&self, event: Event) {
        self.send(self.owner, |env| event::encode(env, &event));
    }
}
