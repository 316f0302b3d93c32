//! A life that is played: what each step does.

use std::collections::BTreeSet;

use crossbeam_channel::bounded;

use crate::asked::Asked;
use crate::cluster::TOPIC;
use crate::command::{Command, Reply};
use crate::committed::Outcome;
use crate::config::{ResetPolicy, Topic};
use crate::consumer::AckId;
use crate::paused::{Paused, Scope};
use crate::seeks::{SeekTo, Seeks, Target};
use crate::subscription::Update;

use super::life::Life;
use super::steps::Step;

impl Life {
    pub(super) fn run(&mut self, step: Step) {
        match step {
            Step::Append {
                partition,
                gap,
                count,
            } => self.client.append(partition, gap, count),
            Step::Expire { partition, count } => self.client.expire(partition, count),
            Step::Fetch { partition, count } => self.client.fetch(partition, count),
            Step::Fail { partition } => self.client.fail(partition),
            Step::Stray { partition } => self.client.stray(partition),
            Step::Pull { lane, demand } => {
                self.pull(self.first + lane, demand);
            }
            Step::Ack { which, times } => {
                if !self.in_hand.is_empty() {
                    let (_, id) = *which.get(&self.in_hand);
                    (0..times).for_each(|_| self.ack(&[id]));
                }
            }
            Step::AckAllBut { count } => {
                let kept = self.in_hand.len().saturating_sub(count);
                let ids: Vec<AckId> = self.in_hand[..kept].iter().map(|(_, id)| *id).collect();
                self.ack(&ids);
            }
            Step::AckChunk { which, times } => {
                if !self.chunks.is_empty() {
                    let range = *which.get(&self.chunks);
                    (0..times).for_each(|_| self.ack_range(range));
                }
            }
            Step::Commit { which } => {
                if !self.in_hand.is_empty() && self.left.is_none() {
                    let (_, id) = *which.get(&self.in_hand);
                    self.commit(id);
                }
            }
            Step::AckAny {
                slot,
                epoch,
                offset,
            } => self.ack(&[(slot, epoch, offset)]),
            Step::Forget { which } => {
                if !self.in_hand.is_empty() {
                    self.in_hand.swap_remove(which.index(self.in_hand.len()));
                }
            }
            Step::Attach { lane, forget } => {
                let lane = self.first + lane;
                self.attach(lane);
                if forget {
                    self.in_hand.retain(|(of, _)| *of != lane);
                }
            }
            Step::Redeliver { slot } => {
                let _ = self.consumer.redeliver(vec![slot]);
            }
            Step::Pause { scope } => self.ask(|reply| Command::Pause(scope, reply)),
            Step::Resume { scope } => self.ask(|reply| Command::Resume(scope, reply)),
            Step::Seek { to } => {
                let targets = to.into_iter().map(|(partition, to)| Target {
                    topic: TOPIC.to_owned(),
                    partition,
                    to: SeekTo::Offset(to),
                });
                let targets = targets.collect();
                self.ask(|reply| {
                    let asked = Asked::new(reply);
                    Command::Seek(Seeks { targets, asked })
                });
            }
            Step::UpdateTopics => {
                let topic = Topic {
                    name: TOPIC.to_owned(),
                    reset: ResetPolicy::Earliest,
                };
                self.ask(|reply| {
                    Command::UpdateTopics(Update {
                        topics: vec![topic],
                        added: Vec::new(),
                        asked: Asked::new(reply),
                    })
                });
            }
            Step::Release { forget } => self.release(forget),
            Step::Claim => self.claim(),
            Step::Give { partitions } => self.client.give(&partitions),
            Step::TakeBack { partitions } => self.client.take_back(&partitions),
            Step::GiveAgain => self.client.give_again(),
            Step::Lose => {
                self.disturbed = true;
                self.client.lose();
            }
            Step::AllDown => self.lose_brokers(),
            Step::HandledElsewhere { partition, count } => {
                self.client.handled_elsewhere(partition, count);
            }
            Step::Away { partition, count } => self.send_away(partition, count),
            Step::Work { well } => {
                self.client.work(well);
            }
            Step::Decide { outcome } => {
                self.disturbed |= outcome != Outcome::Done;
                self.client.decide(outcome);
            }
            Step::RefuseCommit => {
                self.disturbed = true;
                self.client.look().refuse_next_commit = true;
            }
            Step::Turn { after } => {
                // The last commit may have waited too long for its answer.
                self.disturbed |= after > 0;
                self.turn(after);
            }
            Step::Settle => self.settle(),
            Step::Close { timeout } => self.close(timeout),
        }
    }

    /// Asks the service thread for something, and lets it hear that.
    fn ask(&mut self, command: impl FnOnce(Reply) -> Command) {
        let (reply, _answer) = bounded(1);
        let _ = self.consumer.commands.send(command(reply));
        self.turn(0);
    }

    /// Nothing is paused any more.
    pub(super) fn resume_all(&mut self) {
        self.ask(|reply| Command::Resume(Scope::All, reply));
        assert_eq!(self.paused, Paused::default());
    }

    fn send_away(&mut self, partition: i32, count: usize) {
        self.client.take_back(&BTreeSet::from([partition]));
        self.settle();
        self.client.handled_elsewhere(partition, count);
        self.client.give(&BTreeSet::from([partition]));
        self.settle();
    }

    fn lose_brokers(&mut self) {
        self.disturbed = true;
        // What was answered before is read before.
        self.turn(0);
        self.client.all_down();
        self.turn(0);
    }
}
