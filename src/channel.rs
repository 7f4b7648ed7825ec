//! The channels salara has set up or handed over, and which events of a channel the CRM gets.
//!
//! This file owns the records and the levels of `[event]`. It must not know where facts come from,
//! nor how a post travels.
//!
//! The surprising fact: names of channels repeat, their ids do not. A record is found by its id
//! alone; by caller and extension only where Asterisk has not told an id yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ami::event::{Event, Snapshot};
use crate::ami::state::channel_state;
use crate::config::{CallLevel, EventSettings, StateLevel};
use crate::value::is_nobody;

/// How long a handed-over caller may take to come back as a new channel.
const BIND: Duration = Duration::from_secs(30);
/// More records than this are not kept, nor more of who is waited for; the oldest make room.
const MAX_RECORDS: usize = 4_096;
/// The state in which both sides hear each other.
const UP: i32 = 6;
/// Where a channel is before it is anywhere.
const START: &str = "s";

/// An event as the CRM gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// What keeps the events of one call in order.
    pub call: Box<str>,
    /// The JSON.
    pub body: Box<str>,
}

/// The records, and the levels that decide what is posted of them and of others.
#[derive(Debug)]
pub struct Channels {
    settings: EventSettings,
    records: HashMap<Box<str>, Record>,
    unbound: Vec<Unbound>,
    /// The call each posted channel began in. Its `Linkedid` changes when calls are joined, but its
    /// own posts keep their order.
    calls: HashMap<Box<str>, Box<str>>,
    /// Whether Asterisk gives a channel the id we ask for (version 12 and later).
    has_channel_ids: bool,
    /// How many links have come up.
    links: u32,
}

/// A tracked channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The channel's name; empty until Asterisk has told it.
    pub channel: Box<str>,
    /// Who is on it.
    pub caller: Box<str>,
    /// Where it was sent.
    pub extension: Box<str>,
    /// Whether salara set it up; else it was handed over.
    pub is_ours: bool,
    since: Instant,
    /// The link on which it came about.
    link: u32,
}

/// A channel that is known before its id is.
#[derive(Debug)]
struct Unbound {
    /// The id we asked for, for a call of ours.
    wished: Option<Box<str>>,
    caller: Box<str>,
    extension: Box<str>,
    until: Instant,
}

impl Channels {
    /// No records yet.
    pub fn new(settings: EventSettings) -> Self {
        Self {
            settings,
            records: HashMap::new(),
            unbound: Vec::new(),
            calls: HashMap::new(),
            has_channel_ids: true,
            links: 0,
        }
    }

    /// A link came up to an Asterisk that speaks this version of AMI.
    pub fn handle_up(&mut self, ami_version: &str) {
        self.links = self.links.wrapping_add(1);
        let major = ami_version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        self.has_channel_ids = major.is_none_or(|major| major >= 2);
    }

    /// A call of ours was handed to Asterisk; it rings for `timeout` at most.
    pub fn originated(
        &mut self,
        id: &str,
        operator: &str,
        phone: &str,
        timeout: Duration,
        now: Instant,
    ) {
        if !self.settings.watch_makecall {
            return;
        }
        if self.has_channel_ids {
            self.insert(id.into(), "", operator, phone, true, now);
        } else {
            self.await_channel(Unbound {
                wished: Some(id.into()),
                caller: operator.into(),
                extension: phone.into(),
                until: now + timeout + BIND,
            });
        }
    }

    /// A caller was sent away and will come back as a new channel.
    pub fn transferred(&mut self, caller: &str, target: &str, now: Instant) {
        self.await_channel(Unbound {
            wished: None,
            caller: caller.into(),
            extension: target.into(),
            until: now + BIND,
        });
    }

    /// He was not, after all.
    pub fn not_transferred(&mut self, caller: &str, target: &str) {
        let fits = |unbound: &Unbound| {
            unbound.wished.is_none() && *unbound.caller == *caller && *unbound.extension == *target
        };
        if let Some(at) = self.unbound.iter().rposition(fits) {
            self.unbound.remove(at);
        }
    }

    /// A caller's channel goes on somewhere else.
    pub fn continued(&mut self, id: &str, channel: &str, caller: &str, target: &str, now: Instant) {
        self.insert(id.into(), channel, caller, target, false, now);
    }

    /// A call of ours failed. If its channel was seen, the channel's own end is still to come.
    pub fn failed(&mut self, id: &str) {
        self.unbound
            .retain(|unbound| unbound.wished.as_deref() != Some(id));
        if self
            .records
            .get(id)
            .is_some_and(|record| record.channel.is_empty())
        {
            self.records.remove(id);
        }
    }

    /// After a reconnect: only these channels are alive, and those of this link, which may be younger
    /// than the list. Returns how many records ended with their channels.
    pub fn keep_only(&mut self, alive: impl Fn(&str) -> bool) -> usize {
        let before = self.records.len();
        self.records
            .retain(|id, record| record.link == self.links || alive(id));
        before - self.records.len()
    }

    /// Forgets a record by its channel, empty while that is not known, and its caller; returns how
    /// many there were.
    pub fn forget(&mut self, channel: &str, caller: &str) -> usize {
        let before = self.records.len() + self.unbound.len();
        self.records
            .retain(|_, record| *record.channel != *channel || *record.caller != *caller);
        self.unbound
            .retain(|unbound| !channel.is_empty() || *unbound.caller != *caller);
        before - self.records.len() - self.unbound.len()
    }

    /// Other levels count from now on.
    pub fn configure(&mut self, settings: EventSettings) {
        self.settings = settings;
    }

    /// Whether any record is kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records with their ids, in no order.
    pub fn records(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.records.iter().map(|(id, record)| (&**id, record))
    }

    /// Those whose channel is not known yet: caller and extension.
    pub fn awaited(&self) -> impl Iterator<Item = (&str, &str)> {
        let unbound = self.unbound.iter();
        unbound.map(|unbound| (&*unbound.caller, &*unbound.extension))
    }

    /// Something happened to a channel; what of it the CRM gets.
    pub fn handle_event(&mut self, event: &Event, now: Instant) -> Option<Post> {
        match event {
            Event::Newchannel(channel) => {
                let body = self.newchannel(channel, now)?;
                Some(self.in_order(channel, body))
            }
            Event::Newexten {
                channel,
                application,
            } => {
                let body = self.newexten(channel, application)?;
                Some(self.in_order(channel, body))
            }
            Event::AgentConnect {
                channel,
                member,
                queue,
                state,
            } => {
                let body = self.agent_connect(channel, member, queue, *state)?;
                Some(self.in_order(channel, body))
            }
            Event::Hangup(channel) => {
                let body = self.hangup(channel);
                let post = body.map(|body| self.in_order(channel, body));
                self.calls.remove(&channel.uniqueid);
                post
            }
            Event::FullyBooted
            | Event::Shutdown { .. }
            | Event::Reload
            | Event::OriginateResponse(_)
            | Event::ExtensionStatus(_) => None,
        }
    }

    /// A body in the line of the call its channel began in.
    fn in_order(&mut self, channel: &Snapshot, body: Box<str>) -> Post {
        if self.calls.len() >= MAX_RECORDS {
            // Ends that were never told; those still alive begin a new line.
            self.calls.clear();
        }
        let first = || channel.call().into();
        let call = self
            .calls
            .entry(channel.uniqueid.clone())
            .or_insert_with(first)
            .clone();
        Post { call, body }
    }

    /// Drops who has not come back in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.unbound.retain(|unbound| unbound.until > now);
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.unbound.iter().map(|unbound| unbound.until).min()
    }

    fn await_channel(&mut self, unbound: Unbound) {
        if self.unbound.len() >= MAX_RECORDS {
            self.unbound.remove(0);
        }
        self.unbound.push(unbound);
    }

    fn newchannel(&mut self, channel: &Snapshot, now: Instant) -> Option<Box<str>> {
        // Who was handed over where he is came over AGI; that can be faster than AMI. He was new
        // before he was tracked.
        let record = self.records.get(&channel.uniqueid);
        let is_late = record.is_some_and(|record| !record.channel.is_empty());
        self.bind(channel, now);
        let record = self.records.get_mut(&channel.uniqueid);
        if let Some(record) = record {
            record.channel = channel.name.clone();
        }
        let record = self.records.get(&channel.uniqueid);
        let shown = match self.settings.newchannel {
            CallLevel::Off => return None,
            CallLevel::Tracked if is_late => return None,
            CallLevel::Tracked => Shown::of_record(channel, record?),
            CallLevel::All => Shown::as_told(channel, record),
        };
        shown.complete_body("Newchannel", channel, None)
    }

    /// A channel whose id was not known: the first that fits is the one.
    fn bind(&mut self, channel: &Snapshot, now: Instant) {
        let fits = |unbound: &Unbound| {
            let at = if unbound.wished.is_some() {
                START
            } else {
                &unbound.extension
            };
            let is_nobody = is_nobody(&unbound.caller) && !channel.has_known_caller();
            (is_nobody || unbound.caller == channel.caller) && *channel.extension == *at
        };
        let Some(at) = self.unbound.iter().position(fits) else {
            return;
        };
        let Unbound {
            wished,
            caller,
            extension,
            ..
        } = self.unbound.remove(at);
        let id = channel.uniqueid.clone();
        self.insert(
            id,
            &channel.name,
            &caller,
            &extension,
            wished.is_some(),
            now,
        );
    }

    fn newexten(&self, channel: &Snapshot, application: &str) -> Option<Box<str>> {
        let record = self.records.get(&channel.uniqueid);
        let shown = match self.settings.newexten {
            StateLevel::TrackedUp if channel.state == UP => Shown::of_record(channel, record?),
            StateLevel::Tracked => Shown::of_record(channel, record?),
            StateLevel::All => Shown::as_told(channel, record),
            StateLevel::Off | StateLevel::TrackedUp => return None,
        };
        // What runs outside the dialplan (`AppDial2`) is nowhere, and not where it was sent.
        shown.complete_body(
            "Newexten",
            channel,
            Some(("app", application)).filter(|app| !app.1.is_empty()),
        )
    }

    fn agent_connect(
        &self,
        channel: &Snapshot,
        member: &str,
        queue: &str,
        state: i32,
    ) -> Option<Box<str>> {
        let record = self.records.get(&channel.uniqueid);
        let mut shown = match self.settings.agentcon {
            StateLevel::TrackedUp if state == UP => Shown::of_record(channel, record?),
            StateLevel::Tracked => Shown::of_record(channel, record?),
            StateLevel::All => Shown::as_told(channel, record),
            StateLevel::Off | StateLevel::TrackedUp => return None,
        };
        shown.place = ("queue", queue);
        shown.state = state;
        shown.complete_body("AgentConnect", channel, Some(("agent", number_of(member))))
    }

    fn hangup(&mut self, channel: &Snapshot) -> Option<Box<str>> {
        let record = self.records.remove(&channel.uniqueid);
        let shown = match self.settings.hangup {
            CallLevel::Off => return None,
            CallLevel::Tracked => {
                let record = record.as_ref()?;
                let mut shown = Shown::of_record(channel, record);
                if channel.extension.is_empty() {
                    shown.place.1 = &record.extension;
                }
                shown
            }
            CallLevel::All => Shown::as_told(channel, record.as_ref()),
        };
        let complete =
            !channel.name.is_empty() && !shown.caller.is_empty() && !channel.uniqueid.is_empty();
        complete.then(|| shown.body("Hangup", channel, None))
    }

    fn insert(
        &mut self,
        id: Box<str>,
        channel: &str,
        caller: &str,
        extension: &str,
        is_ours: bool,
        now: Instant,
    ) {
        if self.records.len() >= MAX_RECORDS {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.records.remove(&oldest);
            }
        }
        let record = Record {
            channel: channel.into(),
            caller: caller.into(),
            extension: extension.into(),
            is_ours,
            since: now,
            link: self.links,
        };
        self.records.insert(id, record);
    }
}

/// What a post says.
struct Shown<'a> {
    caller: &'a str,
    /// Where the channel is, and what that is called.
    place: (&'static str, &'a str),
    state: i32,
}

impl<'a> Shown<'a> {
    /// As Asterisk tells it. Only who is on a call of ours is known better.
    fn as_told(channel: &'a Snapshot, record: Option<&'a Record>) -> Self {
        let ours = record.filter(|record| record.is_ours && !channel.has_known_caller());
        Self {
            caller: ours.map_or(&*channel.caller, |record| &record.caller),
            place: ("exten", &channel.extension),
            state: channel.state,
        }
    }

    /// With the extension that was asked for, while Asterisk still says `s`.
    fn of_record(channel: &'a Snapshot, record: &'a Record) -> Self {
        let mut shown = Self::as_told(channel, Some(record));
        if *channel.extension == *START {
            shown.place.1 = &record.extension;
        }
        shown
    }

    fn complete_body(
        &self,
        event: &str,
        channel: &Snapshot,
        more: Option<(&str, &str)>,
    ) -> Option<Box<str>> {
        let complete =
            !channel.name.is_empty() && !self.caller.is_empty() && !self.place.1.is_empty();
        complete.then(|| self.body(event, channel, more))
    }

    fn body(&self, event: &str, channel: &Snapshot, more: Option<(&str, &str)>) -> Box<str> {
        let (place, extension) = self.place;
        let mut body = format!(
            r#"{{"event":"{event}","chan":{},"caller":{},"{place}":{},"state":"{}""#,
            Value::from(&*channel.name),
            Value::from(self.caller),
            Value::from(extension),
            channel_state(self.state),
        );
        if let Some((key, value)) = more {
            body.push_str(&format!(r#","{key}":{}"#, Value::from(value)));
        }
        body.push('}');
        body.into()
    }
}

/// The number in a channel's name: `2222` of `Local/2222@ctx-0001;1` and of `SIP/2222-00000002`.
fn number_of(channel: &str) -> &str {
    let name = channel.split_once('/').map_or(channel, |(_, name)| name);
    if let Some((number, _)) = name.split_once('@') {
        return number;
    }
    match name.rsplit_once('-') {
        Some((number, serial)) if is_serial(serial) => number,
        _ => name,
    }
}

/// What Asterisk puts behind a device to make a channel's name of it.
fn is_serial(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
