//! What the member is subscribed to, changed while it runs.

use crate::asked::Asked;
use crate::command::Command;
use crate::config::Topic;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::event::Event;
use crate::lookup::Job;
use crate::service::Service;

/// Another subscription, in place of the one that there is.
pub(crate) struct Update {
    pub(crate) topics: Vec<Topic>,
    /// Those of them that the member is not subscribed to yet.
    pub(crate) added: Vec<String>,
    pub(crate) asked: Asked,
}

impl Consumer {
    /// Subscribes to these topics in place of those before. The rebalance follows: partitions of topics
    /// that are left go as they do in any, drained and committed, and those of new ones start as when
    /// the member started with them. Fails, and changes nothing, when a new topic does not exist. Blocks,
    /// as brokers are asked for new topics.
    pub fn update_topics(&self, topics: Vec<Topic>) -> Result<(), Error> {
        self.ask_brokers(|asked| {
            Command::UpdateTopics(Update {
                topics,
                added: Vec::new(),
                asked,
            })
        })
    }
}

impl Service {
    /// librdkafka has to know new topics before it subscribes to them: it takes partitions of topics that
    /// are left for lost, and not for revoked, when it has to ask for others meanwhile.
    pub(crate) fn begin_update(&mut self, mut update: Update) {
        let names = update.topics.iter().map(|topic| topic.name.clone());
        update.added = names.filter(|name| !self.topics.contains(name)).collect();
        if update.added.is_empty() {
            self.apply_update(update, Ok(()));
        } else {
            self.lookup.send(Job::Meet(update));
        }
    }

    pub(crate) fn apply_update(&mut self, update: Update, met: Result<(), Error>) {
        let met = update.asked.in_time(met);
        let done = met.and_then(|()| self.subscribe(update.topics));
        update.asked.answer(done);
    }

    fn subscribe(&mut self, topics: Vec<Topic>) -> Result<(), Error> {
        if self.leaving.is_some() {
            return Err(Error::Closed);
        }
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        // Where only policies change, nobody has to rebalance.
        if !is_same(&self.topics, &names) {
            self.client.subscribe(&names)?;
        }
        self.topics = names.iter().map(|name| (*name).to_owned()).collect();
        // Before an assignment that follows from it: its start positions are looked up by these.
        self.lookup.send(Job::Topics(topics.clone()));
        let mut paused = self.shared.paused();
        paused.retain_topics(&self.topics);
        self.set_paused(paused, Event::Resumed);
        self.shared.sink.event(Event::Subscribed(topics));
        Ok(())
    }
}

fn is_same(before: &[String], now: &[&str]) -> bool {
    before.len() == now.len() && now.iter().all(|name| before.iter().any(|had| had == name))
}
