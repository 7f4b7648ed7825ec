//! What Asterisk was asked, and what for.
//!
//! This file owns the questions under way: their names, how many there may be, and what becomes of one
//! that is not answered or not allowed. It must not know what an answer says.
//!
//! The surprising fact: requests and callers are counted apart. Who asks much must not turn a call
//! away, nor the other way round.

use std::collections::HashMap;
use std::time::Instant;

use super::hints::Key;
use super::peer::Dialect;
use super::{ConnId, Decision, Engine, Output};
use crate::ami::action::Action;
use crate::ami::instance::Ask;
use crate::ami::session::ActionError;
use crate::api::Reply;
use crate::value::{Body, Name, Number, Sender};

/// Requests in the works; more means that Asterisk does not keep up.
pub(super) const MAX_JOBS: usize = 200;

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    last: u32,
    under_way: HashMap<Ask, Job>,
    /// Actions the account may not, of which a person was told.
    denied: Vec<&'static str>,
}

/// What an answer is awaited for.
#[derive(Debug)]
pub(super) enum Job {
    Extension {
        conn: ConnId,
        key: Key,
    },
    Call {
        conn: ConnId,
        operator: Number,
        phone: Number,
    },
    Message {
        conn: ConnId,
        operator: Name,
        from: Sender,
        body: Body,
    },
    Peer {
        conn: ConnId,
        peer: Name,
        dialects: &'static [Dialect],
    },
    Channel {
        conn: ConnId,
    },
    /// The call was handed over; only its refusal is news.
    Originate,
    /// The message was handed over.
    Send {
        to: Box<str>,
    },
    /// Which of the tracked channels are still alive.
    Resync,
    /// An administrator typed it.
    Command {
        conn: ConnId,
    },
    /// The state of a place for an incoming call.
    Incoming {
        conn: ConnId,
        key: Key,
    },
}

impl Jobs {
    /// It may be another Asterisk, or another account there.
    pub(super) fn handle_up(&mut self) {
        self.denied.clear();
    }

    /// Gives a question its name.
    pub(super) fn begin(&mut self, job: Job) -> Ask {
        self.last = self.last.wrapping_add(1);
        let ask = Ask(self.last);
        self.under_way.insert(ask, job);
        ask
    }

    /// What was asked for, once.
    pub(super) fn end(&mut self, ask: Ask) -> Option<Job> {
        self.under_way.remove(&ask)
    }

    /// Whether Asterisk does not keep up with requests.
    pub(super) fn are_too_many(&self) -> bool {
        let is_request = |job: &&Job| !matches!(job, Job::Incoming { .. });
        let count = || self.under_way.values().filter(is_request).count();
        self.under_way.len() >= MAX_JOBS && count() >= MAX_JOBS
    }
}

impl Engine {
    /// Asks it.
    pub(super) fn act(&mut self, job: Job, action: Action) {
        let ask = self.jobs.begin(job);
        self.outputs.push_back(Output::Act(ask, action));
    }

    /// There will be no answer.
    pub(super) fn unanswered(&mut self, ask: Ask, job: Job, error: ActionError, now: Instant) {
        match job {
            Job::Extension { conn, .. }
            | Job::Call { conn, .. }
            | Job::Message { conn, .. }
            | Job::Peer { conn, .. }
            | Job::Channel { conn }
            | Job::Command { conn } => {
                let status = if error == ActionError::Refused {
                    400
                } else {
                    503
                };
                self.reply(conn, Reply::error(status, error.to_string()));
            }
            Job::Originate => self.call_failed(ask, &error.to_string()),
            Job::Resync => {}
            Job::Incoming { conn, .. } => self.stateless(conn, &error.to_string(), now),
            Job::Send { to } => {
                let why = error.to_string().into();
                self.note(Decision::NotSent { to, why });
            }
        }
    }

    /// The account may not ask that.
    pub(super) fn denied(&mut self, ask: Ask, job: Job, now: Instant) {
        let (action, needs, conn) = match &job {
            Job::Extension { conn, .. } | Job::Call { conn, .. } | Job::Message { conn, .. } => {
                ("ExtensionState", "call or reporting", Some(*conn))
            }
            Job::Peer { conn, dialects, .. } => match dialects.first() {
                Some(Dialect::ChanSip) => ("SIPpeerstatus", "system", Some(*conn)),
                Some(Dialect::Pjsip) | None => ("PJSIPShowEndpoint", "system", Some(*conn)),
            },
            Job::Channel { conn } => ("Status", "system, call or reporting", Some(*conn)),
            Job::Command { conn } => ("Command", "command", Some(*conn)),
            Job::Originate => ("Originate", "originate", None),
            Job::Send { .. } => ("MessageSend", "message", None),
            Job::Resync => ("CoreShowChannels", "system or reporting", None),
            Job::Incoming { .. } => ("ExtensionState", "call or reporting", None),
        };
        if !self.jobs.denied.contains(&action) {
            self.jobs.denied.push(action);
            self.note(Decision::Denied { action, needs });
        }
        if let Some(conn) = conn {
            let why = format!("the AMI account may not {action}: it needs write={needs}");
            return self.reply(conn, Reply::error(503, why));
        }
        self.unanswered(ask, job, ActionError::Denied, now);
    }
}
