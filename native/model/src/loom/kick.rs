//! A token that loom sees.

use std::sync::Arc;

use crossbeam_channel::Sender;
use loom::sync::{Condvar, Mutex};

#[derive(Clone)]
pub(crate) struct Kick(Arc<(Mutex<bool>, Condvar)>);

impl Kick {
    pub(crate) fn new(_: Sender<()>) -> Kick {
        Kick(Arc::new((Mutex::new(false), Condvar::new())))
    }

    pub(crate) fn kick(&self) {
        let (token, given) = &*self.0;
        *token.lock().unwrap() = true;
        given.notify_one();
    }

    /// Sleeps until there is a token, and takes it.
    pub(crate) fn wait(&self) {
        let (token, given) = &*self.0;
        let mut token = token.lock().unwrap();
        while !*token {
            token = given.wait(token).unwrap();
        }
        *token = false;
    }
}
