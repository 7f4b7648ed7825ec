//! The channels of that Asterisk: what it tells of them, and what of it the CRM has to get.
//!
//! No two events make equal posts: a channel's name is its own, it begins and ends once, and what
//! else happens to it has a number.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use salara::config::{CallLevel, EventSettings, StateLevel};

use super::random::Random;

/// What a channel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Newchannel,
    Newexten,
    AgentConnect,
    Hangup,
}

/// An event of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    channel: String,
    pub(crate) uniqueid: String,
    pub(crate) linkedid: String,
    pub(crate) caller: String,
    pub(crate) extension: String,
    state: i32,
    /// The application, or the queue.
    more: String,
}

/// A call that salara has set up.
pub(crate) struct Own<'a> {
    /// The id it wished for, where Asterisk honours that.
    pub(crate) uniqueid: Option<&'a str>,
    pub(crate) operator: &'a str,
}

/// What salara knows of a call that it has set up.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) operator: String,
    pub(crate) phone: String,
}

/// All channels, those to come included.
pub(crate) struct Calls {
    random: Random,
    serial: u32,
    /// What will happen, in the order of its time.
    script: VecDeque<(Instant, Told)>,
    alive: HashSet<String>,
    /// The call that was begun last.
    last: String,
}

impl Calls {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0x00ca_1150),
            serial: 0,
            script: VecDeque::new(),
            alive: HashSet::new(),
            last: String::new(),
        }
    }

    /// A call begins: some channels, and what becomes of them. `weight` bytes are in each thing
    /// that it does.
    pub(crate) fn begin(&mut self, own: Option<&Own<'_>>, weight: usize, now: Instant) {
        let mut linkedid = String::new();
        for leg in 0..self.random.one_of(&[1, 1, 2, 3]) {
            let own = own.filter(|_| leg == 0);
            self.serial += 1;
            let wished = own.and_then(|own| own.uniqueid);
            let uniqueid = wished.map_or_else(|| format!("1795.{}", self.serial), str::to_owned);
            if leg == 0 {
                linkedid.clone_from(&uniqueid);
            }
            let caller = match own {
                Some(own) => self
                    .random
                    .one_of(&[own.operator, own.operator, "<unknown>"]),
                None => self
                    .random
                    .one_of(&["8001", "8002", "55501", "<unknown>", ""]),
            };
            let channel = Told {
                kind: Kind::Newchannel,
                channel: format!(
                    "PJSIP/{}-{:08x}",
                    super::extension(&mut self.random),
                    self.serial
                ),
                uniqueid,
                linkedid: linkedid.clone(),
                caller: caller.to_owned(),
                extension: match own {
                    Some(_) => "s".to_owned(),
                    None => format!("x{}", self.serial),
                },
                state: 0,
                more: String::new(),
            };
            self.live(channel, weight, now);
        }
        self.last = linkedid;
    }

    /// A channel's life.
    fn live(&mut self, channel: Told, weight: usize, now: Instant) {
        let pace = self.random.one_of(&[1, 20, 3_000, 20_000]);
        let mut at = now;
        let mut channel = channel;
        let mut tell = |calls: &mut Self, told: &Told| {
            at += Duration::from_millis(calls.random.below(pace) as u64);
            let place = calls.script.partition_point(|(other, _)| *other <= at);
            calls.script.insert(place, (at, told.clone()));
        };
        tell(self, &channel);
        let is_own = channel.extension == "s";
        for _ in 0..self.random.below(5) {
            self.serial += 1;
            channel.kind =
                self.random
                    .one_of(&[Kind::Newexten, Kind::Newexten, Kind::AgentConnect]);
            channel.state = self.random.one_of(&[0, 4, 5, 6, 6, 11]);
            channel.more = format!("t{}{}", self.serial, "x".repeat(weight));
            channel.extension = match self.random.below(8) {
                0 => String::new(),
                1 | 2 if is_own => "s".to_owned(),
                _ => format!("x{}", self.serial),
            };
            if self.random.percent(5) && !self.last.is_empty() {
                // Calls are joined.
                channel.linkedid.clone_from(&self.last);
            }
            tell(self, &channel);
        }
        if self.random.percent(3) {
            return;
        }
        channel.kind = Kind::Hangup;
        if is_own {
            channel.extension = self.random.one_of(&["s", "", "000"]).to_owned();
        }
        tell(self, &channel);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.script.front().map(|(at, _)| *at)
    }

    /// What happens by now, whether or not anybody listens.
    pub(crate) fn poll_told(&mut self, now: Instant) -> Option<Told> {
        self.script.front().filter(|(at, _)| *at <= now)?;
        let (_, told) = self.script.pop_front()?;
        match told.kind {
            Kind::Newchannel => drop(self.alive.insert(told.uniqueid.clone())),
            Kind::Hangup => drop(self.alive.remove(&told.uniqueid)),
            Kind::Newexten | Kind::AgentConnect => {}
        }
        Some(told)
    }

    /// The ids of all that are alive, in an order of their own.
    pub(crate) fn alive(&self) -> Vec<String> {
        let mut alive: Vec<String> = self.alive.iter().cloned().collect();
        alive.sort();
        alive
    }
}

impl Told {
    /// How it is told on the wire.
    pub(crate) fn lines(&self) -> Vec<String> {
        let event = self.kind.name();
        let mut lines = vec![
            format!("Event: {event}"),
            "Privilege: call,all".to_owned(),
            format!("Channel: {}", self.channel),
            format!("CallerIDNum: {}", self.caller),
            format!("Exten: {}", self.extension),
            format!("Uniqueid: {}", self.uniqueid),
        ];
        if !self.linkedid.is_empty() {
            lines.push(format!("Linkedid: {}", self.linkedid));
        }
        match self.kind {
            Kind::AgentConnect => lines.extend([
                "ChannelState: 6".to_owned(),
                "DestChannel: Local/2222@agents-00000001;1".to_owned(),
                format!("DestChannelState: {}", self.state),
                format!("DestExten: {}", self.more),
            ]),
            Kind::Newexten => lines.extend([
                format!("ChannelState: {}", self.state),
                format!("Application: {}", self.more),
                "AppData: 1".to_owned(),
            ]),
            Kind::Newchannel | Kind::Hangup => {
                lines.push(format!("ChannelState: {}", self.state));
            }
        }
        lines
    }

    /// What keeps its posts in order with those of others.
    pub(crate) fn call(&self) -> &str {
        if self.linkedid.is_empty() {
            &self.uniqueid
        } else {
            &self.linkedid
        }
    }

    /// What the CRM gets of it (SPEC.md §6): `record` is what salara knows of the channel.
    pub(crate) fn post(&self, levels: &EventSettings, record: Option<&Record>) -> Option<String> {
        let (is_wanted, tracked_only) = match self.kind {
            Kind::Newchannel => call_level(levels.newchannel),
            Kind::Hangup => call_level(levels.hangup),
            Kind::Newexten => state_level(levels.newexten, self.state),
            Kind::AgentConnect => state_level(levels.agentcon, self.state),
        };
        if !is_wanted || (tracked_only && record.is_none()) {
            return None;
        }
        let has_caller = !matches!(&*self.caller, "" | "<unknown>");
        let caller = match record {
            Some(record) if !has_caller => &record.operator,
            _ => &self.caller,
        };
        let is_nowhere =
            self.extension == "s" || (self.extension.is_empty() && self.kind == Kind::Hangup);
        let extension = match record {
            Some(record) if tracked_only && is_nowhere => &record.phone,
            _ => &self.extension,
        };
        let (place, extension) = match self.kind {
            Kind::AgentConnect => ("queue", &self.more),
            _ => ("exten", extension),
        };
        if caller.is_empty() || (extension.is_empty() && self.kind != Kind::Hangup) {
            return None;
        }
        let more = match self.kind {
            Kind::Newexten => format!(r#","app":"{}""#, self.more),
            Kind::AgentConnect => r#","agent":"2222""#.to_owned(),
            Kind::Newchannel | Kind::Hangup => String::new(),
        };
        let (event, channel) = (self.kind.name(), &self.channel);
        let state = match self.state {
            0 => "DOWN",
            4 => "RING",
            5 => "RINGING",
            6 => "UP",
            _ => "UNKNOWN",
        };
        let head = format!(r#"{{"event":"{event}","chan":"{channel}","caller":"{caller}""#);
        Some(format!(
            r#"{head},"{place}":"{extension}","state":"{state}"{more}}}"#
        ))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Newchannel => "Newchannel",
            Self::Newexten => "Newexten",
            Self::AgentConnect => "AgentConnect",
            Self::Hangup => "Hangup",
        }
    }
}

/// Whether it is wanted at all, and whether of tracked channels only.
fn call_level(level: CallLevel) -> (bool, bool) {
    (level != CallLevel::Off, level == CallLevel::Tracked)
}

fn state_level(level: StateLevel, state: i32) -> (bool, bool) {
    match level {
        StateLevel::Off => (false, false),
        StateLevel::TrackedUp => (state == 6, true),
        StateLevel::Tracked => (true, true),
        StateLevel::All => (true, false),
    }
}
