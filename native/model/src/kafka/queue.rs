//! Queues that flow into one another.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;
use crate::polled::Polled;
use crate::sync::Mutex;

type Callback = Box<dyn Fn() + Send + Sync>;

/// A handle to a queue.
pub(crate) struct Queue {
    ops: Arc<Ops>,
    has_callback: bool,
}

/// What is in a queue.
#[derive(Default)]
pub(crate) struct Ops(Mutex<Content>);

#[derive(Default)]
struct Content {
    messages: VecDeque<Message>,
    events: VecDeque<Polled>,
    forward: Option<Arc<Ops>>,
    /// Joined to the member's queue, as before anybody forwards it.
    astray: bool,
    callback: Option<Callback>,
}

/// Messages taken from a queue at a time: few, so that more than one time is needed.
pub(crate) const CHUNK: usize = 3;

impl Queue {
    pub(crate) fn of(ops: &Arc<Ops>) -> Queue {
        Queue {
            ops: Arc::clone(ops),
            has_callback: false,
        }
    }

    pub(crate) fn ops(&self) -> Arc<Ops> {
        Arc::clone(&self.ops)
    }

    pub(crate) fn on_nonempty(&mut self, callback: impl Fn() + Send + Sync + 'static) {
        self.ops.0.lock().callback = Some(Box::new(callback));
        self.has_callback = true;
    }

    pub(crate) fn consume(&self, max: usize, out: &mut impl Extend<Message>) -> usize {
        let mut content = self.ops.0.lock();
        let mut count = 0;
        while count < max.min(CHUNK) {
            let Some(message) = content.messages.pop_front() else {
                break;
            };
            if message.at.take(&message) {
                out.extend([message]);
                count += 1;
            }
        }
        count
    }

    pub(crate) fn len(&self) -> usize {
        let content = self.ops.0.lock();
        content.messages.len() + content.events.len()
    }

    pub(crate) fn forward(&self, to: Option<&Queue>) {
        let waiting = {
            let mut content = self.ops.0.lock();
            content.forward = to.map(Queue::ops);
            content.astray = false;
            if to.is_some() {
                std::mem::take(&mut content.messages)
            } else {
                VecDeque::new()
            }
        };
        if let Some(to) = to {
            waiting.into_iter().for_each(|message| to.ops.put(message));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.has_callback {
            self.ops.0.lock().callback = None;
        }
    }
}

impl Ops {
    pub(crate) fn put(&self, message: Message) {
        let mut content = self.0.lock();
        match content.forward.clone() {
            Some(to) => {
                drop(content);
                to.put(message);
            }
            None => {
                content.messages.push_back(message);
                content.tell();
            }
        }
    }

    pub(crate) fn post(&self, event: Polled) {
        let mut content = self.0.lock();
        content.events.push_back(event);
        content.tell();
    }

    pub(crate) fn poll(&self) -> Option<Polled> {
        self.0.lock().events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let content = self.0.lock();
        content.messages.is_empty() && content.events.is_empty()
    }

    pub(crate) fn go_astray(&self) {
        self.0.lock().astray = true;
    }

    pub(crate) fn is_astray(&self) -> bool {
        self.0.lock().astray
    }

    /// Ends the forwarding, and forgets what waits.
    pub(crate) fn stop(&self) {
        let mut content = self.0.lock();
        content.forward = None;
        content.messages.clear();
    }
}

impl Content {
    // As with librdkafka: on empty to non-empty only, and with the queue's lock held.
    fn tell(&self) {
        if self.messages.len() + self.events.len() == 1 {
            if let Some(callback) = &self.callback {
                callback();
            }
        }
    }
}
