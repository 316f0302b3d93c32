//! The service thread: the only one that polls librdkafka. It sleeps when nothing happens and
//! never blocks: what blocks runs on the lookup's and the nudge's threads.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select, Receiver, Sender};
use rdkafka::types::RDKafkaRespErr;

use crate::client::Client;
use crate::clock;
use crate::commit::Commits;
use crate::config::Config;
use crate::consumer::Progress;
use crate::error::Error;
use crate::event::Event;
use crate::kick::Kick;
use crate::leave::Leaving;
use crate::lookup::{Answer, Lookup};
use crate::nudge::Nudge;
use crate::polled::Polled;
use crate::positions::Position;
use crate::queue::Queue;
use crate::rebalance::Rebalance;
use crate::shared::Shared;
use crate::stall::Stalls;

/// What the service thread is asked to do.
pub(crate) enum Command {
    /// Deliver again what is unacked on a lane, whose process was replaced.
    RedeliverLane(usize),
    /// Deliver again what is unacked of a partition.
    Redeliver(u32),
    Progress(Sender<Vec<Progress>>),
    Close(Duration),
    Answer(Answer),
}

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
    stalls: Stalls,
    pub(crate) drain_timeout: Duration,
    /// No broker can be reached, as far as librdkafka has said.
    pub(crate) brokers_down: bool,
    pub(crate) commands: Receiver<Command>,
    pub(crate) kick: Receiver<()>,
    next_look: Instant,
    // Last, as fields are dropped in order: a client goes after its queues.
    pub(crate) client: Arc<Client>,
}

// Wake-ups may be lost (librdkafka sends them on empty to non-empty only), and positions move over
// control records in silence: this often everything is looked at without having been told to.
const BACKSTOP: Duration = Duration::from_secs(1);

const SOON: Duration = Duration::from_millis(50);

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
        shared: Arc::clone(&shared),
        client,
        commands,
        kick,
        next_look: clock::now(),
    };
    for lane in &shared.lanes {
        let mut queue = service.client.new_queue()?;
        let bell = Arc::clone(&lane.bell);
        queue.on_nonempty(move || bell.ring());
        lane.intake.lock().queue = Some(queue);
    }
    let topics: Vec<&str> = config
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect();
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
        self.settle_faults();
        self.step_rebalance(now);
        self.apply_waiting_resets();
        self.commits.step(
            &self.shared,
            &self.client,
            &self.commit_queue,
            now,
            self.is_urgent(),
        );
        self.stalls.step(&self.shared, now);
        if now >= self.next_look {
            self.next_look = now + BACKSTOP;
            self.look();
        }
        self.step_leave(now)
    }

    /// How long there is nothing to do unless somebody says so.
    pub(crate) fn pause(&self) -> Duration {
        let now = clock::now();
        let deadlines = [
            self.commits.due(&self.shared, self.is_urgent(), now),
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

    fn command(&mut self, command: Command) {
        match command {
            Command::RedeliverLane(lane) => self.redeliver_lane(lane),
            Command::Redeliver(slot) => self.redeliver_slot(slot),
            Command::Progress(reply) => {
                let _ = reply.try_send(self.progress());
            }
            Command::Close(timeout) => self.begin_leave(timeout),
            Command::Answer(answer) => self.answer(answer),
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Start {
                rebalance,
                positions,
            } => self.apply_assignment(rebalance, &positions),
            Answer::Reset {
                slot,
                epoch,
                result,
            } => self.apply_reset(slot, epoch, result),
            Answer::Sought {
                slot,
                epoch,
                result,
            } => self.apply_seek(slot, epoch, result),
            Answer::Topics(ids) => self.see_topics(&ids),
            Answer::Trouble(error) => self.report(error),
        }
    }

    pub(crate) fn report(&self, error: Error) {
        self.shared.sink.event(Event::Error(error));
    }

    fn poll(&mut self) {
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
                Polled::Commit(..) | Polled::Other => {}
            }
        }
        while let Some(polled) = self.client.poll(&self.commit_queue) {
            if let Polled::Commit(code, entries) = polled {
                self.brokers_down &= code.is_some();
                self.commits
                    .result(&self.shared, code, entries, clock::now());
            }
        }
    }

    /// Looks before the backstop.
    pub(crate) fn look_soon(&mut self) {
        self.next_look = self.next_look.min(clock::now() + SOON);
    }

    /// What is looked at without having been told to.
    fn look(&mut self) {
        for partition in self.assigned() {
            let intake = self.shared.lanes[partition.lane].intake.lock();
            partition.lock().rejoin(intake.queue.as_ref());
        }
        for (index, lane) in self.shared.lanes.iter().enumerate() {
            let intake = lane.intake.lock();
            let Some(queue) = &intake.queue else { continue };
            if queue.len() > 0 {
                lane.bell.ring();
            }
            // A position counts what was taken from the queue, whatever is left in it.
            if intake.fetched.is_empty() {
                self.advance_positions(index);
            }
        }
    }

    fn progress(&self) -> Vec<Progress> {
        self.shared
            .all()
            .iter()
            .filter_map(|partition| {
                let mut progress = Progress::of(partition)?;
                progress.high_watermark = self
                    .client
                    .high_watermark(&partition.topic, partition.partition);
                Some(progress)
            })
            .collect()
    }

    /// Lets go of what callers could still reach of librdkafka.
    fn release(&self) {
        for lane in &self.shared.lanes {
            let mut intake = lane.intake.lock();
            intake.fetched.clear();
            intake.queue = None;
        }
        for partition in self.shared.all() {
            let mut state = partition.lock();
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
