//! An Asterisk of changing temper, and what it truly answered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::calls::{Calls, Own, Told};
use super::random::Random;

/// How one connection behaves.
#[derive(Clone, Debug)]
struct Temper {
    greeting: &'static str,
    login: &'static str,
    knows_md5: bool,
    boots: bool,
    chan_sip: bool,
    pjsip: bool,
    filters: bool,
    /// Answers carry no ActionID. Such an Asterisk answers in order, and in time or never again.
    nameless: bool,
    /// Answers take so many milliseconds at most.
    slowness: usize,
    /// Percents of answers that are not given, given twice, or refused.
    silence: usize,
    echo: usize,
    denial: usize,
    /// Percents of turns in which something nobody asked for is said.
    noise: usize,
}

/// What was answered to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// The account may not.
    Denied,
    /// A hint's state and its name.
    Hint(i32, String),
    /// A peer's status; `None` when there is no such peer.
    Peer(Option<String>),
    /// A channel's state in words; `None` when there is no such channel.
    Channel(Option<String>),
    /// It was done, or not.
    Done(bool),
}

/// What is said at once, and the event of a channel that it tells of.
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    pub(crate) told: Option<Told>,
}

/// Asterisk, at the other end of at most one connection.
pub(crate) struct Asterisk {
    random: Random,
    temper: Temper,
    connected: bool,
    /// Nothing is said any more, until the next connection.
    deaf: bool,
    inbox: Vec<u8>,
    /// What will be said, in the order of its time.
    outbox: VecDeque<(Instant, Said)>,
    /// Since when this connection is told of events.
    logged_in: Option<Instant>,
    pub(crate) calls: Calls,
    /// When it is in the mood for noise again.
    noise_after: Option<Instant>,
    /// When the last answer so far is given.
    answered_at: Option<Instant>,
    /// What this connection answered, by ActionID.
    truths: HashMap<String, Truth>,
    /// Every ActionID ever read.
    ids: HashSet<String>,
    tokens: u32,
}

impl Asterisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0xa57e_1215),
            temper: Temper::healthy(),
            connected: false,
            deaf: false,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            logged_in: None,
            calls: Calls::new(seed),
            noise_after: None,
            answered_at: None,
            truths: HashMap::new(),
            ids: HashSet::new(),
            tokens: 0,
        }
    }

    /// Someone connects. A healthy Asterisk does all it is asked at once.
    pub(crate) fn connect(&mut self, healthy: bool, now: Instant) {
        self.hang_up();
        self.connected = true;
        self.deaf = false;
        self.logged_in = None;
        self.answered_at = None;
        self.truths.clear();
        self.temper = if healthy {
            Temper::healthy()
        } else {
            Temper::any(&mut self.random)
        };
        let greeting = self.temper.greeting;
        self.say(greeting.as_bytes().to_vec(), now);
    }

    pub(crate) fn hang_up(&mut self) {
        self.connected = false;
        self.inbox.clear();
        self.outbox.clear();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// From now on nothing is said on this connection.
    pub(crate) fn go_deaf(&mut self) {
        self.deaf = true;
        self.outbox.clear();
    }

    pub(crate) fn truth(&self, action_id: &str) -> Option<&Truth> {
        self.truths.get(action_id)
    }

    /// When something is said or happens next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let said = self.outbox.front().map(|(at, _)| *at);
        said.into_iter().chain(self.calls.poll_timeout()).min()
    }

    /// What is said by now.
    pub(crate) fn poll_said(&mut self, now: Instant) -> Option<Said> {
        if self.outbox.front()?.0 > now {
            return None;
        }
        self.outbox.pop_front().map(|(_, said)| said)
    }

    /// Channels live on, and whoever listens is told.
    pub(crate) fn live(&mut self, now: Instant) {
        while let Some(mut told) = self.calls.poll_told(now) {
            if self.logged_in.is_none_or(|since| since > now) {
                continue;
            }
            if !self.temper.has_channel_ids() {
                // So old a version knows of no calls either, only of channels.
                told.linkedid.clear();
            }
            let lines = told.lines();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            self.say_all(packet(&lines), Some(told), now);
        }
    }

    /// Reads what salara wrote.
    pub(crate) fn read(&mut self, bytes: &[u8], now: Instant) {
        self.inbox.extend_from_slice(bytes);
        while let Some(end) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = self.inbox.split_off(end + 4);
            let action = String::from_utf8(std::mem::replace(&mut self.inbox, rest)).unwrap();
            self.act(&action, now);
        }
    }

    /// Says what nobody asked for, if it is in the mood.
    pub(crate) fn make_noise(&mut self, now: Instant) {
        if self.noise_after.is_some_and(|at| now < at) || self.truths.is_empty() {
            return;
        }
        // However often it is listened to.
        self.noise_after = Some(now + Duration::from_millis(100));
        if !self.random.percent(self.temper.noise) {
            return;
        }
        let extension = format!("Exten: {}", super::extension(&mut self.random));
        let status = format!("Status: {}", self.random.one_of(&[0, 1, 4, 8, 9]));
        let many: Vec<String> = (0..260).map(|n| format!("Variable: {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let noise: &[&str] = match self.random.below(9) {
            0 => &[
                "Event: ExtensionStatus",
                &extension,
                "Context: alnik",
                &status,
            ],
            1 => &["Event: Reload", "Module: All"],
            2 => &["Event: Shutdown", "Restart: True"],
            3 => &[
                "Event: OriginateResponse",
                "ActionID: other-1",
                "Response: Success",
            ],
            4 => &["Response: Success", "ActionID: other-1", "EventList: start"],
            5 => &["Event: PeerStatus", "ActionID: salara-1-2-3"],
            6 => &["\u{1}\u{fffd}\u{7f}", ":", "Foo", "Bar: --END COMMAND--"],
            7 => &many,
            _ => &["Event: FullyBooted"],
        };
        let count = self.random.one_of(&[1, 1, 1, 40]);
        let noise = packet(noise).repeat(count);
        self.say(noise, now);
    }

    fn act(&mut self, action: &str, now: Instant) {
        let value = |key: &str| {
            let line = action.lines().find_map(|line| line.strip_prefix(key));
            line.map(|line| line.trim_start_matches(": ").to_owned())
        };
        let (name, id) = (value("Action").unwrap(), value("ActionID").unwrap());
        let is_new = self.ids.insert(id.clone());
        assert!(is_new, "ActionID {id} is used twice");
        if self.deaf {
            return;
        }
        let own = matches!(
            &*name,
            "Challenge" | "Login" | "CoreSettings" | "ListCommands" | "Ping" | "Filter"
        );
        let silent = !self.temper.nameless && self.random.percent(self.temper.silence);
        if silent && !(own && self.random.percent(80)) {
            return;
        }
        let delay = self.random.below(self.temper.slowness + 1) as u64;
        let mut at = now + Duration::from_millis(delay);
        if self.temper.nameless {
            at = self.answered_at.map_or(at, |last| at.max(last));
            self.answered_at = Some(at);
        }
        let packets = if own {
            self.own(&name, &id, at)
        } else {
            self.answer(&name, &id)
        };
        let echo = !self.temper.nameless && self.random.percent(self.temper.echo);
        for packet in packets {
            self.say(packet.clone(), at);
            if echo {
                // Asterisk never does that, so it may mean anything but harm.
                self.say(packet, at);
            }
        }
        if name == "Originate" && self.truths.get(&id) == Some(&Truth::Done(true)) {
            let operator = value("CallerID").unwrap();
            let wished = value("ChannelId").filter(|_| self.temper.has_channel_ids());
            let own = Own {
                uniqueid: wished.as_deref(),
                operator: &operator,
            };
            // A device may be called that nobody has.
            if self.random.percent(80) {
                self.calls.begin(Some(&own), 0, at);
            }
            self.end_call(&id, at);
        }
    }

    /// Answers what salara asks for itself.
    fn own(&mut self, name: &str, id: &str, at: Instant) -> Vec<Vec<u8>> {
        let temper = self.temper.clone();
        let refused = ["Response: Error", "Message: Permission denied"];
        match name {
            "Challenge" if temper.knows_md5 => {
                vec![self.response(id, &["Response: Success", "Challenge: 42"])]
            }
            "Login" if temper.login.is_empty() => {
                let mut packets = vec![self.response(id, &["Response: Success"])];
                self.truths.insert(id.to_owned(), Truth::Done(true));
                self.logged_in = Some(at);
                if temper.boots {
                    let booted = at + Duration::from_millis(self.random.below(8_000) as u64);
                    if self.random.percent(50) {
                        packets.push(packet(&["Event: FullyBooted"]));
                    } else {
                        self.say(packet(&["Event: FullyBooted"]), booted);
                    }
                }
                packets
            }
            "Login" => vec![self.response(id, &["Response: Error", temper.login])],
            "ListCommands" => {
                let sip = if temper.chan_sip {
                    "SIPpeerstatus: x"
                } else {
                    "A: x"
                };
                let pjsip = if temper.pjsip {
                    "PJSIPShowEndpoint: x"
                } else {
                    "B: x"
                };
                let filter = if temper.filters { "Filter: x" } else { "C: x" };
                vec![self.response(id, &["Response: Success", sip, pjsip, filter])]
            }
            "Ping" => vec![self.response(id, &["Response: Success", "Ping: Pong"])],
            "CoreSettings" | "Filter" => vec![self.response(id, &["Response: Success"])],
            _ => vec![self.response(id, &refused)],
        }
    }

    /// Answers what a request needs, and remembers it.
    fn answer(&mut self, name: &str, id: &str) -> Vec<Vec<u8>> {
        let truth = self.decide(name);
        self.truths.insert(id.to_owned(), truth.clone());
        let error = |why: &str| ["Response: Error".to_owned(), format!("Message: {why}")];
        let head = |lines: &[String]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            self.response(id, &lines)
        };
        let named = format!("ActionID: {id}");
        let list_of = |items: &[Vec<&str>], end: &str| {
            let start = ["Response: Success", "EventList: start"].map(String::from);
            let items = items
                .iter()
                .map(|item| packet(&[item, &[&*named][..]].concat()));
            let end = packet(&[end, &named, "EventList: Complete"]);
            [head(&start)]
                .into_iter()
                .chain(items)
                .chain([end])
                .collect()
        };
        let list = |item: &[&str], end: &str| list_of(&[item.to_vec()], end);
        match &truth {
            Truth::Denied => vec![head(&error("Permission denied"))],
            Truth::Hint(state, text) => vec![head(&[
                "Response: Success".to_owned(),
                "Hint: PJSIP/8003".to_owned(),
                format!("Status: {state}"),
                format!("StatusText: {text}"),
            ])],
            Truth::Peer(None) => vec![head(&error("No such peer"))],
            Truth::Peer(Some(status)) if name == "SIPpeerstatus" => {
                let status = format!("PeerStatus: {status}");
                list(
                    &["Event: PeerStatus", &status],
                    "Event: SIPpeerstatusComplete",
                )
            }
            Truth::Peer(Some(status)) => {
                let status = format!("Status: {status}");
                let item = ["Event: ContactStatusDetail", &status];
                list(&item, "Event: EndpointDetailComplete")
            }
            Truth::Channel(None) => vec![head(&error("No such channel"))],
            Truth::Channel(Some(text)) => {
                let text = format!("ChannelStateDesc: {text}");
                let item = ["Event: Status", "ChannelState: 6", &text];
                list(&item, "Event: StatusComplete")
            }
            Truth::Done(true) if name == "CoreShowChannels" => {
                let alive = self.calls.alive();
                let alive = alive.iter().map(|id| format!("Uniqueid: {id}"));
                let alive: Vec<String> = alive.collect();
                let items = alive.iter().map(|id| vec!["Event: CoreShowChannel", id]);
                let items: Vec<Vec<&str>> = items.collect();
                list_of(&items, "Event: CoreShowChannelsComplete")
            }
            Truth::Done(true) => vec![head(&["Response: Success".to_owned()])],
            Truth::Done(false) => vec![head(&error("No."))],
        }
    }

    fn decide(&mut self, name: &str) -> Truth {
        if self.random.percent(self.temper.denial) {
            return Truth::Denied;
        }
        let there_is = self.random.percent(70);
        self.tokens += 1;
        let token = format!("token {}", self.tokens);
        match name {
            "ExtensionState" => Truth::Hint(self.random.one_of(&[0, 0, 0, 1, 4, -1]), token),
            "SIPpeerstatus" => Truth::Peer(there_is.then_some(token)),
            "PJSIPShowEndpoint" => {
                let status = self.random.one_of(&["Reachable", "Unreachable", "Unknown"]);
                Truth::Peer(there_is.then(|| status.to_owned()))
            }
            "Status" => Truth::Channel(there_is.then_some(token)),
            _ => Truth::Done(there_is),
        }
    }

    /// A call ends some time later: once, twice, or without a word.
    fn end_call(&mut self, id: &str, at: Instant) {
        for _ in 0..self.random.below(3) {
            let how = self.random.one_of(&["Success", "Failure"]);
            let lines = [
                "Event: OriginateResponse",
                &format!("ActionID: {id}"),
                &format!("Response: {how}"),
                &format!("Uniqueid: {id}"),
                "Reason: 3",
            ];
            let end = at + Duration::from_millis(self.random.below(500) as u64);
            self.say(packet(&lines), end);
        }
    }

    fn response(&self, id: &str, lines: &[&str]) -> Vec<u8> {
        let mut lines = lines.to_vec();
        let named = format!("ActionID: {id}");
        if !self.temper.nameless {
            lines.insert(1, &named);
        }
        packet(&lines)
    }

    fn say(&mut self, bytes: Vec<u8>, at: Instant) {
        self.say_all(bytes, None, at);
    }

    fn say_all(&mut self, bytes: Vec<u8>, told: Option<Told>, at: Instant) {
        if self.connected && !self.deaf {
            let place = self.outbox.partition_point(|(other, _)| *other <= at);
            self.outbox.insert(place, (at, Said { bytes, told }));
        }
    }
}

impl Temper {
    fn healthy() -> Self {
        Self {
            greeting: "Asterisk Call Manager/11.0.0\r\n",
            login: "",
            knows_md5: true,
            boots: true,
            chan_sip: false,
            pjsip: true,
            filters: true,
            nameless: false,
            slowness: 0,
            silence: 0,
            echo: 0,
            denial: 0,
            noise: 0,
        }
    }

    /// Whether channels get the ids they are wished: not before Asterisk 12.
    fn has_channel_ids(&self) -> bool {
        !self.greeting.contains("/1.1")
    }

    fn any(random: &mut Random) -> Self {
        let nameless = random.percent(15);
        Self {
            greeting: random.one_of(&[
                "Asterisk Call Manager/11.0.0\r\n",
                "Asterisk Call Manager/11.0.0\r\n",
                "Asterisk Call Manager/5.0.4\r\n",
                "Asterisk Call Manager/1.1\r\n",
                "SSH-2.0-OpenSSH_9.2p1\r\n",
                "",
            ]),
            login: random.one_of(&[
                "",
                "",
                "",
                "",
                "",
                "Message: Authentication failed",
                "Message: Login Already In Use",
            ]),
            knows_md5: random.percent(80),
            boots: random.percent(70),
            chan_sip: random.percent(50),
            pjsip: random.percent(70),
            filters: random.percent(50),
            nameless,
            slowness: random.one_of(if nameless {
                &[0, 10, 900]
            } else {
                &[0, 10, 900, 5_000]
            }),
            silence: random.one_of(&[0, 0, 5, 40]),
            echo: random.one_of(&[0, 0, 20]),
            denial: random.one_of(&[0, 0, 10]),
            noise: random.one_of(&[0, 10, 60]),
        }
    }
}

fn packet(lines: &[&str]) -> Vec<u8> {
    let mut bytes = lines.join("\r\n").into_bytes();
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}
