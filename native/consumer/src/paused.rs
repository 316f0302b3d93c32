//! What whoever operates a member has paused.

use std::collections::BTreeSet;

/// What is to be paused, or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that the member has, and what it gets until it is resumed.
    All,
    /// These only.
    Some(Vec<Subject>),
}

/// A part of what a member may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A topic that the member is subscribed to, with partitions that it gets later.
    Topic(String),
    /// A partition.
    Partition(String, i32),
}

/// What is paused: none of its records are delivered. It stays so whatever the group does with the
/// partitions, until it is resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// All.
    pub all: bool,
    /// Topics and partitions.
    pub subjects: BTreeSet<Subject>,
}

impl Paused {
    /// Whether a partition is paused by itself or with its topic.
    pub(crate) fn covers(&self, topic: &str, partition: i32) -> bool {
        self.subjects.iter().any(|subject| match subject {
            Subject::Topic(paused) => paused == topic,
            Subject::Partition(of, number) => of == topic && *number == partition,
        })
    }

    /// Whether a topic is paused as a whole.
    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.subjects.contains(&Subject::Topic(topic.to_owned()))
    }

    pub(crate) fn add(&mut self, scope: &Scope) {
        match scope {
            Scope::All => self.all = true,
            Scope::Some(subjects) => self.subjects.extend(subjects.iter().cloned()),
        }
    }

    /// A topic takes its partitions with it, and all takes everything.
    pub(crate) fn remove(&mut self, scope: &Scope) {
        match scope {
            Scope::All => *self = Paused::default(),
            Scope::Some(subjects) => self.subjects.retain(|paused| {
                !subjects.iter().any(|it| {
                    it == paused || matches!(it, Subject::Topic(topic) if topic == paused.topic())
                })
            }),
        }
    }

    pub(crate) fn retain_topics(&mut self, topics: &[String]) {
        self.subjects
            .retain(|subject| topics.iter().any(|topic| topic == subject.topic()));
    }
}

impl Subject {
    pub(crate) fn topic(&self) -> &str {
        match self {
            Subject::Topic(topic) | Subject::Partition(topic, _) => topic,
        }
    }

    pub(crate) fn partition(&self) -> Option<i32> {
        match self {
            Subject::Topic(_) => None,
            Subject::Partition(_, partition) => Some(*partition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Paused, Scope, Subject};

    fn topic() -> Subject {
        Subject::Topic("orders".into())
    }

    fn partition(number: i32) -> Subject {
        Subject::Partition("orders".into(), number)
    }

    fn paused(subjects: &[Subject]) -> Paused {
        let mut paused = Paused::default();
        paused.add(&Scope::Some(subjects.to_vec()));
        paused
    }

    #[test]
    fn a_topic_covers_its_partitions_and_a_partition_itself() {
        assert!(paused(&[topic()]).covers("orders", 7));
        assert!(!paused(&[topic()]).covers("bills", 7));
        assert!(paused(&[partition(7)]).covers("orders", 7));
        assert!(!paused(&[partition(7)]).covers("orders", 8));
    }

    #[test]
    fn what_is_resumed_takes_with_it_what_was_paused_in_it() {
        let mut all = paused(&[topic(), partition(1)]);
        all.add(&Scope::All);
        all.remove(&Scope::All);
        assert_eq!(all, Paused::default());
        let mut of_topic = paused(&[topic(), partition(1), Subject::Topic("bills".into())]);
        of_topic.remove(&Scope::Some(vec![topic()]));
        assert_eq!(of_topic, paused(&[Subject::Topic("bills".into())]));
        let mut one = paused(&[partition(1), partition(2)]);
        one.remove(&Scope::Some(vec![partition(1)]));
        assert_eq!(one, paused(&[partition(2)]));
    }

    #[test]
    fn what_is_of_topics_that_are_gone_is_forgotten() {
        let mut some = paused(&[topic(), partition(1), Subject::Topic("bills".into())]);
        some.retain_topics(&["bills".into()]);
        assert_eq!(some, paused(&[Subject::Topic("bills".into())]));
    }
}
