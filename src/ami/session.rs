//! One link to Asterisk, from the first connect to the last reconnect.
//!
//! This file owns the link's states, its watchdog and its deadlines; `login` has what is said before
//! the link is up. It must not know sockets, names to resolve, or why an action was asked.
//!
//! The surprising fact: a manager session can be alive and deaf. Asterisk before 20.21, 22.11 and
//! 23.5 may lose the wake-up of a session's thread and answer minutes late, so silence is never
//! taken for health: an idle link is pinged, and a link whose answer is overdue is pinged at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::debug;

use super::Message;
use super::action::Action;
use super::codec::{DecodeError, Decoder, Item};
use super::event::Event;
use super::instance::{Ask, Instance};
use crate::config::Secret;

mod answer;
mod backoff;
mod login;
mod note;
mod pending;

pub use answer::{ActionError, Response};
pub use note::Note;

use backoff::Backoff;
use pending::{Asked, Pending, Verdict};

/// A connect that has not come about by then is given up.
const CONNECT: Duration = Duration::from_secs(10);
/// Banner and login answers come within this; a wrong secret is answered after one second.
const LOGIN: Duration = Duration::from_secs(10);
/// An idle link is asked for a sign of life.
const IDLE: Duration = Duration::from_secs(30);
/// And given up when none comes.
const GRACE: Duration = Duration::from_secs(10);
/// A link that tells events but answers nothing for so long is no use. A busy Asterisk may well take
/// some seconds, and to reconnect is to miss what happens meanwhile.
const DEAF: Duration = Duration::from_secs(30);
/// Unwritten bytes beyond this: the peer no longer reads.
const MAX_UNSENT: usize = 64 * 1024;

/// The account a login uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its name in manager.conf.
    pub user: Box<str>,
    /// Its secret.
    pub secret: Secret,
}

/// What salara found out about an Asterisk while logging in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The version its banner names, of the interface.
    pub ami_version: Box<str>,
    /// Asterisk's own version, if the account may ask.
    pub asterisk_version: Option<Box<str>>,
    /// There is a chan_sip, and the account may ask it about peers.
    pub chan_sip: bool,
    /// There is a PJSIP, and the account may ask it about endpoints.
    pub pjsip: bool,
}

/// What the session wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection, then call `handle_connected` or `handle_disconnected`.
    Connect,
    /// Close the connection; `handle_disconnected` is not wanted.
    Disconnect,
    /// Actions are accepted from now on.
    Up(Facts),
    /// Actions are refused from now on; all pending ones have been answered.
    Down,
    /// Something happened in Asterisk.
    Event(Event),
    /// An ask was answered, or never will be.
    Done(Ask, Result<Response, ActionError>),
    /// A person should read this once.
    Note(Note),
}

/// The machine. Obeys the contract of all pure machines here: `handle_*`, then `poll_output` until
/// `None`.
#[derive(Debug)]
pub struct Session {
    instance: Instance,
    events: Box<str>,
    filter: Box<str>,
    state: State,
    decoder: Decoder,
    out: Vec<u8>,
    pending: Pending,
    outputs: VecDeque<Output>,
    backoff: Backoff,
    facts: Facts,
    /// It has been said that the secret travels in clear.
    sends_clear: bool,
    /// Asterisk had not booted when it was last asked what it can do.
    is_stale: bool,
    /// This account is told when Asterisk has booted.
    tells_boot: bool,
    /// Since when a question is unanswered, and every later one.
    deaf_since: Option<Instant>,
    /// The reason last given for not being connected.
    said: Option<String>,
    serial: u32,
}

/// ```text
/// Waiting ──► Connecting ──► Greeting ──► LoggingIn ──► Booting ──► Probing ──► Up
///    ▲             │             │            │            │           │        │
///    └─────────────┴─────────────┴────────────┴────────────┴───────────┴────────┘  with a back-off
/// ```
#[derive(Debug)]
enum State {
    Waiting {
        retry_at: Instant,
    },
    Connecting {
        give_up_at: Instant,
    },
    Greeting {
        give_up_at: Instant,
        credentials: Credentials,
    },
    LoggingIn {
        give_up_at: Instant,
        credentials: Credentials,
    },
    /// Logged in, and Asterisk may still be loading its modules.
    Booting {
        until: Instant,
    },
    /// They are loaded, and asked for.
    Probing,
    Up {
        watch: Watch,
    },
}

#[derive(Clone, Copy, Debug)]
enum Watch {
    Quiet { ping_at: Instant },
    Pinged { dead_at: Instant },
}

impl Session {
    /// A session that will connect at the first `handle_timeout`. `events` is its mask, `seed` feeds
    /// the jitter of its back-off.
    pub fn new(instance: Instance, events: &str, seed: u64, now: Instant) -> Self {
        Self {
            instance,
            events: events.into(),
            filter: "".into(),
            state: State::Waiting { retry_at: now },
            decoder: Decoder::new(),
            out: Vec::new(),
            pending: Pending::default(),
            outputs: VecDeque::new(),
            backoff: Backoff::new(seed),
            facts: Facts::default(),
            sends_clear: false,
            is_stale: false,
            tells_boot: false,
            deaf_since: None,
            said: None,
            serial: 0,
        }
    }

    /// Has Asterisk send only events of these names, where the account may ask for that: the classes
    /// of a mask are wide.
    pub fn with_filter(mut self, names: &[&str]) -> Self {
        self.filter = filter(names);
        self
    }

    /// Other events are wanted, or `anew` for whatever reason: then the link is made anew, at once.
    /// One that is not up is tried at once in any case, for what kept it down may have been mended.
    pub fn reconnect(&mut self, events: &str, names: &[&str], anew: bool, now: Instant) {
        let filter = filter(names);
        let is_other = *self.events != *events || self.filter != filter;
        (self.events, self.filter) = (events.into(), filter);
        if self.is_up() {
            if is_other || anew {
                self.outputs.push_back(Output::Disconnect);
                self.close(now);
                self.note(Note::Lost("salara.conf wants another".into()));
            }
            return;
        }
        self.backoff.reset();
        self.said = None;
        if !matches!(self.state, State::Waiting { .. }) {
            self.outputs.push_back(Output::Disconnect);
        }
        self.close(now);
    }

    /// The connection asked for by `Output::Connect` stands.
    pub fn handle_connected(&mut self, credentials: Credentials, now: Instant) {
        self.decoder = Decoder::new();
        self.facts = Facts::default();
        self.is_stale = false;
        self.state = State::Greeting {
            give_up_at: now + LOGIN,
            credentials,
        };
    }

    /// The connection could not be made, or has ended. `near` says that trying again costs nobody
    /// anything: the peer is this machine and refused at once.
    pub fn handle_disconnected(&mut self, why: &str, near: bool, now: Instant) {
        if !matches!(self.state, State::Waiting { .. }) {
            self.fall(why, near, now);
        }
    }

    /// Bytes came from Asterisk.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.decoder.push(bytes);
        if let State::Up { watch } = &mut self.state {
            *watch = Watch::Quiet {
                ping_at: now + IDLE,
            };
        }
        // The decoder lends its messages, so it is taken out while they are read.
        let mut decoder = std::mem::take(&mut self.decoder);
        while !matches!(self.state, State::Waiting { .. }) {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(Item::Banner(version))) => self.greet(version, now),
                Ok(Some(Item::Message(message))) => self.message(message, now),
                Err(error @ DecodeError::TooLarge { .. }) => self.pass_over(&error),
                Err(error @ DecodeError::NotAmi(_)) => self.hang_up(&error.to_string(), now),
            }
        }
        self.decoder = decoder;
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (id, asked) in self.pending.expire(now) {
            match asked {
                Asked::Engine(ask) => {
                    debug!(target: "ami", "{id}: no answer in time");
                    self.deaf_since.get_or_insert(now);
                    self.outputs
                        .push_back(Output::Done(ask, Err(ActionError::Timeout)));
                    self.ping_now(now);
                }
                Asked::CommandsAgain if self.is_stale => self.probe_again(now),
                Asked::Version | Asked::Filter | Asked::CommandsAgain => {}
                Asked::Commands => self.probed(None, now),
                // Their state's own deadline speaks for them.
                Asked::Challenge | Asked::Login | Asked::Ping => {}
            }
        }
        if self.deaf_since.is_some_and(|since| since + DEAF <= now) {
            return self.hang_up("it answers nothing", now);
        }
        match self.state {
            State::Waiting { retry_at } if retry_at <= now => {
                self.state = State::Connecting {
                    give_up_at: now + CONNECT,
                };
                self.outputs.push_back(Output::Connect);
            }
            State::Connecting { give_up_at } if give_up_at <= now => {
                self.hang_up("no connection within 10 s", now);
            }
            State::Greeting { give_up_at, .. } if give_up_at <= now => {
                self.hang_up("no banner within 10 s: not an Asterisk manager?", now);
            }
            State::LoggingIn { give_up_at, .. } if give_up_at <= now => {
                self.hang_up("no answer to the login within 10 s", now);
            }
            State::Booting { until } if until <= now => self.probe(now),
            State::Up {
                watch: Watch::Quiet { ping_at },
            } if ping_at <= now => self.ping_now(now),
            State::Up {
                watch: Watch::Pinged { dead_at },
            } if dead_at <= now => {
                self.hang_up("it fell silent", now);
            }
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Greeting { .. }
            | State::LoggingIn { .. }
            | State::Booting { .. }
            | State::Probing
            | State::Up { .. } => {}
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Waiting { retry_at } => Some(retry_at),
            State::Connecting { give_up_at }
            | State::Greeting { give_up_at, .. }
            | State::LoggingIn { give_up_at, .. } => Some(give_up_at),
            State::Booting { until } => Some(until),
            // The question's own deadline is in the table.
            State::Probing => None,
            State::Up {
                watch: Watch::Quiet { ping_at },
            } => Some(ping_at),
            State::Up {
                watch: Watch::Pinged { dead_at },
            } => Some(dead_at),
        };
        let deaf = self.deaf_since.map(|since| since + DEAF);
        own.into_iter()
            .chain(deaf)
            .chain(self.pending.deadline())
            .min()
    }

    /// What is to be done or told; drain it after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Bytes to write.
    pub fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// So many of them were written.
    pub fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }

    /// Whether actions are accepted.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Sends an action; its answer comes as `Output::Done`, whatever happens.
    pub fn ask(&mut self, ask: Ask, action: &Action, now: Instant) {
        let refused = if !self.is_up() {
            Some(ActionError::LinkDown)
        } else if self.pending.is_full() {
            Some(ActionError::Busy)
        } else {
            None
        };
        let id = self.instance.action_id(ask);
        if let Some(error) = refused.or_else(|| self.send(id, Asked::Engine(ask), action, now)) {
            self.outputs.push_back(Output::Done(ask, Err(error)));
        }
        if self.out.len() > MAX_UNSENT {
            self.hang_up("it does not read", now);
        }
    }

    /// A message is too large; whoever waits for it need not.
    fn pass_over(&mut self, error: &DecodeError) {
        self.note(Note::PassedOver(error.to_string()));
        if let DecodeError::TooLarge {
            action_id: Some(id),
        } = error
            && let Some(ask) = self.pending.pass_over(id)
        {
            self.outputs
                .push_back(Output::Done(ask, Err(ActionError::TooLarge)));
        }
    }

    fn message(&mut self, message: Message<'_>, now: Instant) {
        debug!(target: "wire", "< {message:?}");
        match self.pending.handle(message) {
            Verdict::Done(asked, response) => {
                self.deaf_since = None;
                self.answered(asked, response, now);
            }
            Verdict::Collected => {}
            Verdict::NotAsked => {
                let Some(event) = Event::parse(message) else {
                    return;
                };
                match event {
                    Event::FullyBooted => self.booted(now),
                    other => self.outputs.push_back(Output::Event(other)),
                }
            }
        }
    }

    fn answered(&mut self, asked: Asked, response: Response, now: Instant) {
        let head = response.head.message();
        match asked {
            Asked::Challenge => self.challenged(&response, now),
            Asked::Login => self.logged_in(&response, now),
            Asked::Version => {
                self.facts.asterisk_version = head
                    .get("AsteriskVersion")
                    .map(|version| String::from_utf8_lossy(version).into());
            }
            Asked::Commands | Asked::CommandsAgain => self.probed(Some(head), now),
            Asked::Ping | Asked::Filter => {}
            Asked::Engine(ask) => self.outputs.push_back(Output::Done(ask, Ok(response))),
        }
    }

    fn ping_now(&mut self, now: Instant) {
        if let State::Up {
            watch: watch @ Watch::Quiet { .. },
        } = &mut self.state
        {
            *watch = Watch::Pinged {
                dead_at: now + GRACE,
            };
            self.send_own(Asked::Ping, &Action::Ping, now);
        }
    }

    fn hang_up(&mut self, why: &str, now: Instant) {
        self.outputs.push_back(Output::Disconnect);
        self.fall(why, false, now);
    }

    fn fall(&mut self, why: &str, near: bool, now: Instant) {
        let was_up = self.is_up();
        let retry_in = if near {
            self.backoff.after_refusal()
        } else {
            self.backoff.after_failure()
        };
        self.close(now + retry_in);
        if was_up {
            self.note(Note::Lost(why.into()));
        } else if self.said.as_deref() != Some(why) {
            self.said = Some(why.into());
            self.note(Note::Unreachable(why.into()));
        }
    }

    fn close(&mut self, retry_at: Instant) {
        let was_up = self.is_up();
        self.state = State::Waiting { retry_at };
        self.out.clear();
        self.deaf_since = None;
        for asked in self.pending.fail_all() {
            if let Asked::Engine(ask) = asked {
                self.outputs
                    .push_back(Output::Done(ask, Err(ActionError::LinkDown)));
            }
        }
        if was_up {
            self.outputs.push_back(Output::Down);
        }
    }

    fn send_own(&mut self, asked: Asked, action: &Action, now: Instant) {
        self.serial = self.serial.wrapping_add(1);
        let id = format!("{}-link-{}", self.instance, self.serial);
        if self.send(id, asked, action, now).is_some() {
            // Only a login's user or secret can be unfit; no later attempt mends it by itself.
            self.rejected("the user or the secret holds what a line cannot", now);
        }
    }

    fn send(
        &mut self,
        id: String,
        asked: Asked,
        action: &Action,
        now: Instant,
    ) -> Option<ActionError> {
        if let Err(bad) = action.encode(&id, &mut self.out) {
            debug!(target: "ami", "{}: {bad}", action.name());
            return Some(ActionError::Refused);
        }
        debug!(target: "ami", "> {} {id}", action.name());
        self.pending.add(id, asked, action.list_end(), now);
        None
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }
}

/// The text of an event begins with its name; the dialplan's texts come later in it.
fn filter(names: &[&str]) -> Box<str> {
    format!("^Event: ({})[[:space:]]", names.join("|")).into()
}

#[cfg(test)]
mod tests;
