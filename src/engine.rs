//! The joins: a request becomes actions, their answers become a reply.
//!
//! This file owns what salara does about a request. It must not know sockets, bytes or clocks, and
//! it holds no buffers.
//!
//! The surprising fact: a call is answered before anything rings. The reply tells the state of the
//! operator's hint, as it always did; how the call ends is told by an event later.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use crate::agi;
use crate::ami::action::Action;
use crate::ami::event::{Event, number};
use crate::ami::instance::{Ask, Instance};
use crate::ami::session::{ActionError, Facts, Response};
use crate::ami::state;
use crate::api::{Reply, Request};
use crate::channel::{Channels, Post};
use crate::config::{ChannelReply, Config};
use crate::crm::Question;
use crate::value::Name;

mod calls;
mod decision;
mod hint;
mod hints;
mod incoming;
mod job;
mod peer;
mod redirect;

pub use decision::{Decision, Fate};

use calls::Call;
use hint::Device;
use hints::{Hints, Known};
use incoming::Incoming;
use job::{Job, Jobs};
use peer::Dialect;

/// Names a client's connection; what was meant for one that is gone reaches no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Its place in the table.
    pub slot: usize,
    /// Which of the place's tenants it is.
    pub generation: usize,
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Output {
    /// Ask this of Asterisk.
    Act(Ask, Action),
    /// Answer this connection's request.
    Reply(ConnId, Reply),
    /// Tell the CRM.
    Post(Post),
    /// Ask the CRM about a caller.
    LookUp(Question<ConnId>),
    /// Tell this AGI session's call.
    Tell(ConnId, agi::Command),
    /// Hand this AGI session's call back to the dialplan.
    HandBack(ConnId),
    /// Tell a person.
    Note(Decision),
}

/// The machine: `handle_*`, then `poll_output` until `None`.
#[derive(Debug)]
pub struct Engine {
    config: Rc<Config>,
    instance: Instance,
    /// What is at the other end of the link, while there is one.
    link: Option<Facts>,
    jobs: Jobs,
    calls: HashMap<Ask, Call>,
    hints: Hints,
    channels: Channels,
    incoming: HashMap<ConnId, Incoming>,
    /// Who comes now is handed back.
    is_stopping: bool,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine without a link.
    pub fn new(config: Rc<Config>, instance: Instance) -> Self {
        Self {
            channels: Channels::new(config.event.clone()),
            incoming: HashMap::new(),
            is_stopping: false,
            config,
            instance,
            link: None,
            jobs: Jobs::default(),
            calls: HashMap::new(),
            hints: Hints::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Asterisk takes actions.
    pub fn handle_up(&mut self, facts: Facts) {
        self.hints.clear();
        // More may be found out about an Asterisk while the link stands.
        let is_new = self.link.is_none();
        if is_new {
            self.channels.handle_up(&facts.ami_version);
            self.jobs.handle_up();
        }
        self.link = Some(facts);
        // Channels may have ended while nobody was listening.
        if is_new && !self.channels.is_empty() {
            self.act(Job::Resync, Action::CoreShowChannels);
        }
    }

    /// It no longer does. Every job's answer has come before this, as an error.
    pub fn handle_down(&mut self) {
        self.link = None;
        self.hints.clear();
        // Asterisk may be gone with its channels; their ends will not be told.
        self.forget_calls();
    }

    /// A client wants something.
    pub fn handle_request(&mut self, conn: ConnId, request: Request, now: Instant) {
        if self.link.is_none() {
            return self.reply(conn, Reply::error(503, ActionError::LinkDown.to_string()));
        }
        if self.jobs.are_too_many() {
            return self.reply(conn, Reply::error(503, ActionError::Busy.to_string()));
        }
        match request {
            Request::Call {
                operator,
                phone,
                context,
            } => {
                let question = self.state_of(operator.as_str(), context);
                self.ask_state(
                    conn,
                    question,
                    Job::Call {
                        conn,
                        operator,
                        phone,
                    },
                );
            }
            Request::Message {
                operator,
                phone,
                body,
                context,
            } => {
                let question = self.state_of(operator.as_str(), context);
                self.ask_state(
                    conn,
                    question,
                    Job::Message {
                        conn,
                        operator,
                        from: phone,
                        body,
                    },
                );
            }
            Request::Extension { extension, context } => {
                self.extension(conn, extension, context, now);
            }
            Request::Peer { peer } => self.peer(conn, &peer),
            // Without a name `Status` would list every channel.
            Request::Channel { channel } if channel.as_str().is_empty() => {
                self.reply(conn, no_channel());
            }
            Request::Channel { channel } => {
                self.act(Job::Channel { conn }, Action::Status { channel });
            }
        }
    }

    /// An administrator wants a command of Asterisk's console. The reply's text is what it prints.
    pub fn handle_command(&mut self, conn: ConnId, command: &str) {
        let command = command.into();
        self.act(Job::Command { conn }, Action::Command { command });
    }

    /// Other settings count from now on, for what is under way too.
    pub fn configure(&mut self, config: Rc<Config>) {
        self.channels.configure(config.event.clone());
        self.config = config;
    }

    /// What is known of Asterisk, while there is a link.
    pub fn asterisk(&self) -> Option<&Facts> {
        self.link.as_ref()
    }

    /// The tracked calls.
    pub fn channels(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// An ask was answered, or never will be.
    pub fn handle_done(&mut self, ask: Ask, result: Result<Response, ActionError>, now: Instant) {
        let Some(job) = self.jobs.end(ask) else {
            return;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => return self.unanswered(ask, job, error, now),
        };
        let head = response.head.message();
        if !response.success && head.text("Message").contains("Permission denied") {
            return self.denied(ask, job, now);
        }
        match job {
            Job::Extension { conn, key } => {
                let known = Known::read(head);
                self.hints.insert(key, known.clone(), now);
                self.reply(conn, known.reply());
            }
            Job::Call {
                conn,
                operator,
                phone,
            } => self.call(conn, operator, phone, head, now),
            Job::Message {
                conn,
                operator,
                from,
                body,
            } => {
                self.message(conn, &operator, from, body, head);
            }
            Job::Peer {
                conn,
                peer,
                dialects,
            } => {
                let (dialect, others) = dialects.split_at(dialects.len().min(1));
                match dialect.first().and_then(|dialect| dialect.read(&response)) {
                    Some(status) => self.reply(conn, Reply::state(0, status)),
                    None => self.ask_peer(conn, peer, others),
                }
            }
            Job::Channel { conn } => {
                let reply = channel_reply(&response, self.config.compat.channel_reply);
                self.reply(conn, reply);
            }
            Job::Originate if response.success => {}
            Job::Originate => self.call_failed(ask, &head.text("Message")),
            Job::Resync => self.resync(&response),
            Job::Command { conn } => {
                let mut text = String::new();
                for (_, line) in head
                    .iter()
                    .filter(|(key, _)| key.eq_ignore_ascii_case(b"Output"))
                {
                    text.push_str(&String::from_utf8_lossy(line));
                    text.push('\n');
                }
                if !response.success && text.is_empty() {
                    text = head.text("Message").into_owned();
                }
                let result = if response.success { 0 } else { -1 };
                self.reply(conn, Reply::state(result, text));
            }
            Job::Incoming { conn, key } => self.checked(conn, key, head, now),
            Job::Send { to } if response.success => self.note(Decision::Sent { to }),
            Job::Send { to } => {
                let why = head.text("Message").into();
                self.note(Decision::NotSent { to, why });
            }
        }
    }

    /// Something happened in Asterisk.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        if let Some(post) = self.channels.handle_event(&event, now) {
            self.outputs.push_back(Output::Post(post));
        }
        match event {
            Event::OriginateResponse(response) => self.call_ended(response),
            Event::ExtensionStatus(status) => self.hints.update(&status, now),
            // Hints may have come, gone or moved to other devices.
            Event::Reload => self.hints.clear(),
            Event::Hangup(channel) => self.channel_ended(&channel.uniqueid),
            Event::FullyBooted
            | Event::Shutdown { .. }
            | Event::Newchannel(_)
            | Event::Newexten { .. }
            | Event::AgentConnect { .. } => {}
        }
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.forget_old_calls(now);
        self.hurry_incoming(now);
        self.channels.handle_timeout(now);
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().map(|call| call.forget_at);
        let others = [self.channels.poll_timeout(), self.incoming_timeout()];
        calls.chain(others.into_iter().flatten()).min()
    }

    /// What is to be done; drain it after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn extension(&mut self, conn: ConnId, name: Name, context: Option<Name>, now: Instant) {
        let key = hints::Key::new(
            &name,
            context.as_ref(),
            &self.config.general.default_context,
        );
        if let Some(known) = self.hints.find(&key, now) {
            let reply = known.reply();
            return self.reply(conn, reply);
        }
        let question = self.state_of(name.as_str(), context);
        self.ask_state(conn, question, Job::Extension { conn, key });
    }

    /// Asks for a hint. An extension without a name has none.
    fn ask_state(&mut self, conn: ConnId, question: Option<Action>, job: Job) {
        match question {
            Some(action) => self.act(job, action),
            None => self.reply(conn, Known::no_hint().reply()),
        }
    }

    /// The question for a hint; `None` when no extension is named.
    fn state_of(&self, extension: &str, context: Option<Name>) -> Option<Action> {
        let context = context.or_else(|| Name::new(&self.config.general.default_context).ok())?;
        let extension = Name::new(extension)
            .ok()
            .filter(|name| !name.as_str().is_empty())?;
        Some(Action::ExtensionState { extension, context })
    }

    fn peer(&mut self, conn: ConnId, peer: &Name) {
        let device = Device::parse(peer.as_str());
        let name = device.map_or(peer.as_str(), |device| device.name());
        let tech = device
            .map(|device| device.tech)
            .or_else(|| self.preferred());
        let dialects = match &self.link {
            Some(facts) if !name.is_empty() => Dialect::choose(tech, facts),
            _ => &[],
        };
        match Name::new(name) {
            Ok(name) => self.ask_peer(conn, name, dialects),
            Err(_) => self.reply(conn, no_peer()),
        }
    }

    fn ask_peer(&mut self, conn: ConnId, peer: Name, dialects: &'static [Dialect]) {
        match dialects.first() {
            Some(dialect) => {
                let action = dialect.action(peer.clone());
                self.act(
                    Job::Peer {
                        conn,
                        peer,
                        dialects,
                    },
                    action,
                );
            }
            None => self.reply(conn, no_peer()),
        }
    }

    fn resync(&mut self, response: &Response) {
        if !response.success || response.is_cut {
            return;
        }
        let alive: HashSet<Vec<u8>> = response
            .items
            .iter()
            .filter_map(|item| item.message().get("Uniqueid").map(<[u8]>::to_vec))
            .collect();
        let ended = self.channels.keep_only(|id| alive.contains(id.as_bytes()));
        if ended > 0 {
            self.note(Decision::Ended { count: ended });
        }
    }

    fn reply(&mut self, conn: ConnId, reply: Reply) {
        self.outputs.push_back(Output::Reply(conn, reply));
    }

    fn note(&mut self, decision: Decision) {
        self.outputs.push_back(Output::Note(decision));
    }
}

fn no_peer() -> Reply {
    Reply::state(-1, "Error".to_owned())
}

fn no_channel() -> Reply {
    Reply::state(-1, "Channel not present".to_owned())
}

fn channel_reply(response: &Response, wording: ChannelReply) -> Reply {
    let Some(item) = response.items.first() else {
        return no_channel();
    };
    let item = item.message();
    let number = number(item, "ChannelState").unwrap_or(-1);
    match wording {
        ChannelReply::Documented => {
            Reply::state(0, format!("{} ({number})", item.text("ChannelStateDesc")))
        }
        ChannelReply::Module => Reply::state(number, state::channel_state(number).to_owned()),
    }
}

#[cfg(test)]
mod tests;
