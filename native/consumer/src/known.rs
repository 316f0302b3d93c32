//! What a member knows of its topics: which id each has, and which partitions are new.

use std::collections::HashMap;

use crate::describe::{Described, TopicId};

/// The topics as this member knows them.
#[derive(Default)]
pub(crate) struct Known(HashMap<String, KnownTopic>);

struct KnownTopic {
    id: Option<TopicId>,
    /// Partitions from this number on appeared while the member was there.
    first_new: usize,
}

impl Known {
    pub(crate) fn see(&mut self, described: Vec<Described>) {
        for Described {
            topic,
            id,
            partitions,
        } in described
        {
            let known = self.0.entry(topic).or_insert(KnownTopic {
                id,
                first_new: partitions,
            });
            // One that is gone for now keeps its id, so that its successor is seen to be another.
            if let Some(id) = id.filter(|id| known.id != Some(*id)) {
                if known.id.replace(id).is_some() {
                    known.first_new = 0;
                }
            }
        }
    }

    /// Forgets topics: one that is met again is seen for the first time.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|topic, _| wanted(topic));
    }

    pub(crate) fn has(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }

    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        self.0.get(topic)?.id
    }

    pub(crate) fn ids(&self) -> HashMap<String, TopicId> {
        let topics = self.0.iter();
        topics
            .filter_map(|(topic, known)| Some((topic.clone(), known.id?)))
            .collect()
    }

    /// Whether a partition appeared while the member was there.
    pub(crate) fn is_new(&self, topic: &str, partition: i32) -> bool {
        self.0
            .get(topic)
            .is_some_and(|known| partition as usize >= known.first_new)
    }
}

#[cfg(test)]
mod tests {
    use super::{Described, Known, TopicId};

    fn saw(known: &mut Known, id: Option<i64>, partitions: usize) {
        known.see(vec![Described {
            topic: "orders".into(),
            id: id.map(|id| TopicId(0, id)),
            partitions,
        }]);
    }

    fn new(known: &Known) -> [bool; 3] {
        [0, 1, 2].map(|partition| known.is_new("orders", partition))
    }

    #[test]
    fn partitions_are_new_that_a_later_look_finds() {
        for id in [None, Some(1)] {
            let mut known = Known::default();
            assert_eq!(new(&known), [false; 3]);
            saw(&mut known, id, 2);
            assert_eq!(new(&known), [false, false, true]);
            saw(&mut known, id, 3);
            assert_eq!(new(&known), [false, false, true]);
        }
    }

    #[test]
    fn all_partitions_are_new_of_a_topic_that_appears_later() {
        for id in [None, Some(1)] {
            let mut known = Known::default();
            saw(&mut known, None, 0);
            saw(&mut known, id, 3);
            assert_eq!(new(&known), [true; 3]);
        }
    }

    #[test]
    fn a_topic_that_was_left_is_seen_for_the_first_time_when_it_is_taken_again() {
        let mut known = Known::default();
        saw(&mut known, Some(1), 1);
        known.retain(|topic| topic != "orders");
        saw(&mut known, Some(1), 3);
        assert_eq!(new(&known), [false; 3]);
    }

    #[test]
    fn all_partitions_are_new_of_a_topic_that_is_created_again() {
        let mut known = Known::default();
        saw(&mut known, Some(1), 3);
        saw(&mut known, None, 0);
        assert_eq!(known.id("orders"), Some(TopicId(0, 1)));
        assert_eq!(new(&known), [false; 3]);
        saw(&mut known, Some(2), 3);
        assert_eq!(known.id("orders"), Some(TopicId(0, 2)));
        assert_eq!(new(&known), [true; 3]);
    }
}
