//! What ends the service thread's sleep.

use crossbeam_channel::Sender;

/// The way to the service thread. Holds one token: whoever finds it full knows that the thread
/// will look.
pub(crate) struct Kick(Sender<()>);

impl Kick {
    pub(crate) fn new(token: Sender<()>) -> Kick {
        Kick(token)
    }

    /// Makes the service thread look at what changed.
    pub(crate) fn kick(&self) {
        let _ = self.0.try_send(());
    }
}
