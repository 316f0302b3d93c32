//! Connections to brokers, as librdkafka's broker threads tell of them.

use std::collections::{BTreeSet, VecDeque};

use crate::event::Event;
use crate::sync::Mutex;

/// Who is connected to, and what of that is still to be told.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    up: BTreeSet<(i32, String, i32)>,
    untold: VecDeque<Event>,
}

// A broker that comes and goes faster than it is told of: what is older is of no use.
const UNTOLD: usize = 1024;

impl Connections {
    /// A broker is in another state. Those on the way to a connection are no news.
    pub(crate) fn changed(&self, broker: i32, host: &str, port: i32, state: &str) {
        let mut seen = self.0.lock();
        let key = (broker, host.to_owned(), port);
        let news = match state {
            // An update of its feature set, while it is up.
            "UPDATE" => false,
            "UP" => seen.up.insert(key),
            _ => seen.up.remove(&key),
        };
        if !news {
            return;
        }
        if seen.untold.len() == UNTOLD {
            seen.untold.pop_front();
        }
        seen.untold.push_back(Event::Connection {
            up: state == "UP",
            broker: (broker >= 0).then_some(broker),
            host: host.to_owned(),
            port,
        });
    }

    /// The oldest change that was not told yet.
    pub(crate) fn told(&self) -> Option<Event> {
        self.0.lock().untold.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(connections: &Connections) -> Vec<(bool, Option<i32>)> {
        std::iter::from_fn(|| connections.told())
            .filter_map(|event| match event {
                Event::Connection { up, broker, .. } => Some((up, broker)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_connection_is_told_of_when_it_comes_up_and_when_it_goes_down_and_not_between() {
        let connections = Connections::default();
        for state in ["INIT", "TRY_CONNECT", "CONNECT", "DOWN"] {
            connections.changed(1, "kafka", 9092, state);
        }
        assert_eq!(told(&connections), []);
        for state in ["APIVERSION_QUERY", "UP", "UPDATE", "UP"] {
            connections.changed(1, "kafka", 9092, state);
        }
        connections.changed(-1, "kafka", 9092, "UP");
        assert_eq!(told(&connections), [(true, Some(1)), (true, None)]);
        connections.changed(1, "kafka", 9092, "DOWN");
        connections.changed(1, "kafka", 9092, "INIT");
        assert_eq!(told(&connections), [(false, Some(1))]);
    }

    #[test]
    fn what_is_never_told_takes_bounded_memory() {
        let connections = Connections::default();
        for _ in 0..UNTOLD {
            connections.changed(1, "kafka", 9092, "UP");
            connections.changed(1, "kafka", 9092, "DOWN");
        }
        assert_eq!(told(&connections).len(), UNTOLD);
    }
}
