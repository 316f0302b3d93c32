//! The service thread: the only one that polls librdkafka. It sleeps when nothing happens and
//! never blocks: what blocks runs on the lookup's and the nudge's threads.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select, Receiver, Sender};
use rdkafka::types::RDKafkaRespErr;

use crate::client::Client;
use crate::clock;
use crate::command::Command;
use crate::commit::Commits;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::kick::Kick;
use crate::leave::Leaving;
use crate::lookup::Lookup;
use crate::nudge::Nudge;
use crate::polled::Polled;
use crate::positions::Position;
use crate::queue::Queue;
use crate::rebalance::Rebalance;
use crate::shared::Shared;
use crate::stall::Stalls;

pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) member_queue: Queue,
    pub(crate) commit_queue: Queue,
    pub(crate) commits: Commits,
    pub(crate) rebalance: Rebalance,
    pub(crate) lookup: Lookup,
    pub(crate) nudge: Nudge,
    /// Slot, epoch and position of resets that wait for the rebalance to be over.
    pub(crate) waiting_resets: Vec<(u32, u32, Option<Position>)>,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) stalls: Stalls,
    pub(crate) drain_timeout: Duration,
    /// No broker can be reached, as far as librdkafka has said.
    pub(crate) brokers_down: bool,
    /// What the member is subscribed to.
    pub(crate) topics: Vec<String>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) kick: Receiver<()>,
    pub(crate) next_look: Instant,
    // Last, as fields are dropped in order: a client goes after its queues.
    pub(crate) client: Arc<Client>,
}

const COMMANDS: usize = 1024;

/// Starts a member and the thread that serves it.
pub(crate) fn start(
    config: &Config,
    sink: Arc<dyn crate::event::Sink>,
) -> Result<(Arc<Shared>, Sender<Command>), Error> {
    let (service, commands) = create(config, sink)?;
    let shared = Arc::clone(&service.shared);
    thread::Builder::new()
        .name("kafka-member".into())
        .spawn(move || service.run())
        .map_err(no_thread)?;
    Ok((shared, commands))
}

/// Makes a member: its client, its queues, its helpers.
pub(crate) fn create(
    config: &Config,
    sink: Arc<dyn crate::event::Sink>,
) -> Result<(Service, Sender<Command>), Error> {
    let (kick_tx, kick) = bounded(1);
    let (commands_tx, commands) = bounded(COMMANDS);
    let client = Arc::new(Client::new(config.native()?)?);
    let shared = Arc::new(Shared::new(config, sink, Kick::new(kick_tx)));
    let service = Service {
        member_queue: watched(client.member_queue()?, &shared),
        commit_queue: watched(client.new_queue()?, &shared),
        commits: Commits::new(config.commit_interval, clock::now()),
        // With KIP-848 a member that gets nothing is told nothing.
        rebalance: Rebalance::new(!config.has_consumer_protocol()),
        lookup: Lookup::start(
            Arc::clone(&client),
            config.topics.clone(),
            config.metadata_interval(),
            commands_tx.clone(),
        )
        .map_err(no_thread)?,
        nudge: Nudge::start(Arc::clone(&client)).map_err(no_thread)?,
        waiting_resets: Vec::new(),
        leaving: None,
        stalls: Stalls::new(config.unacked_timeout, clock::now()),
        drain_timeout: config.drain_timeout,
        brokers_down: false,
        topics: config.topics.iter().map(|it| it.name.clone()).collect(),
        shared: Arc::clone(&shared),
        client,
        commands,
        kick,
        next_look: clock::now(),
    };
    for pool in &shared.pools {
        let mut queue = service.client.new_queue()?;
        queue = match pool.bell.clone() {
            Some(bell) => {
                queue.on_nonempty(move || bell.ring());
                queue
            }
            None => watched(queue, &shared),
        };
        pool.intake.lock().queue = Some(queue);
    }
    let topics: Vec<&str> = service.topics.iter().map(String::as_str).collect();
    service.client.subscribe(&topics)?;
    Ok((service, commands_tx))
}

fn watched(mut queue: Queue, shared: &Arc<Shared>) -> Queue {
    // Weak: the queue must not keep alive what keeps the lanes' queues.
    let shared = Arc::downgrade(shared);
    queue.on_nonempty(move || {
        if let Some(shared) = shared.upgrade() {
            shared.kick();
        }
    });
    queue
}

fn no_thread(error: std::io::Error) -> Error {
    Error::Create {
        message: format!("no thread can be started: {error}"),
    }
}

impl Service {
    fn run(mut self) {
        loop {
            let command = select! {
                recv(self.commands) -> command => command.ok(),
                recv(self.kick) -> _ => None,
                default(self.pause()) => None,
            };
            if let Some(result) = self.turn(command) {
                self.release();
                self.commits.give_up();
                // What is left to do may take long: the owner hears before that.
                self.shared.sink.event(Event::Closed(result));
                return self.linger();
            }
        }
    }

    /// Does what there is to do; answers how the member ended once it has.
    pub(crate) fn turn(&mut self, first: Option<Command>) -> Option<Result<(), Error>> {
        let now = clock::now();
        // Before the commands: some assign, and librdkafka takes that for the answer to a rebalance
        // that we do not know of yet.
        self.poll();
        first.into_iter().for_each(|command| self.command(command));
        while let Ok(command) = self.commands.try_recv() {
            self.command(command);
        }
        if let Some(timeout) = self.shared.take_close() {
            self.begin_leave(timeout);
        }
        self.step_claims();
        self.settle_faults();
        self.step_pauses();
        self.step_pools();
        self.step_rebalance(now);
        self.apply_waiting_resets();
        self.commits.step(
            &self.shared,
            &self.client,
            &self.commit_queue,
            now,
            self.is_urgent(),
        );
        self.commits.settle(&self.shared, now);
        self.stalls.step(&self.shared, now);
        if now >= self.next_look {
            self.look(now);
        }
        self.step_leave(now)
    }

    /// How long there is nothing to do unless somebody says so.
    pub(crate) fn pause(&self) -> Duration {
        let now = clock::now();
        let deadlines = [
            self.commits.due(&self.shared, self.is_urgent(), now),
            self.commits.deadline(),
            self.rebalance.deadline(),
            self.stalls.due(),
            self.leaving.as_ref().map(Leaving::deadline),
        ];
        let first = deadlines
            .into_iter()
            .flatten()
            .fold(self.next_look, Instant::min);
        first.saturating_duration_since(now)
    }

    fn is_urgent(&self) -> bool {
        self.leaving.is_some() || self.rebalance.is_committing()
    }

    pub(crate) fn report(&self, error: Error) {
        self.shared.sink.event(Event::Error(error));
    }

    fn poll(&mut self) {
        while let Some(event) = self.client.told() {
            self.shared.sink.event(event);
        }
        // Before the other: an answer that came before all brokers went does not say that one is there.
        while let Some(polled) = self.client.poll(&self.commit_queue) {
            if let Polled::Commit(code, entries) = polled {
                self.brokers_down &= code.is_some();
                self.commits
                    .result(&self.shared, code, entries, clock::now());
            }
        }
        while let Some(polled) = self.client.poll(&self.member_queue) {
            match polled {
                Polled::Assign(entries) => self.begin_assign(entries),
                Polled::Revoke(entries) => self.begin_revoke(entries),
                Polled::Stray(topic, partition) => self.hold_stray(&topic, partition),
                Polled::Error(error) => {
                    self.brokers_down |= error.code().is_some_and(|code| {
                        code.is(RDKafkaRespErr::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
                    });
                    let fatal = error.is_fatal();
                    self.report(error);
                    if fatal {
                        self.lose_all();
                    }
                }
                Polled::Log(level, facility, message) => {
                    self.shared.sink.event(Event::Log {
                        level,
                        facility,
                        message,
                    });
                }
                Polled::Statistics(json) => self.shared.sink.event(Event::Statistics(json)),
                Polled::TokenWanted => self.shared.sink.event(Event::TokenWanted),
                Polled::Commit(..) | Polled::Other => {}
            }
        }
    }

    /// Lets go of what callers could still reach of librdkafka.
    fn release(&self) {
        for pool in &self.shared.pools {
            let mut intake = pool.intake.lock();
            intake.fetched.clear();
            intake.queue = None;
        }
        for partition in self.shared.all() {
            let mut state = partition.lock();
            self.shared.limits.count(state.parked_bytes(), 0);
            state.discard_fetched();
            state.queue = None;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.release();
    }
}
