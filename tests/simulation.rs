//! A session and an engine in worlds that chance makes, each from its seed, in virtual time.
//!
//! Asterisk comes and goes, is slow, deaf, rude and noisy; clients ask in crowds and vanish; bytes
//! come and go in any segments. After every step these hold:
//!
//! - `ONE_REPLY`: a request has one reply, and there is no reply to what was not asked;
//! - `TRUE`: a 200 tells what this Asterisk answered on this link to this request's question, or,
//!   of a hint, what it last told within a second;
//! - `ONE_ANSWER`: every question of the engine is answered once;
//! - `BOUNDED`: no more than 200 requests are in the works and 64 KiB unwritten;
//! - `ADVANCES`: after `handle_timeout` the next deadline is later than now;
//! - `DRAINED`: outputs come to an end;
//! - `ALTERNATES`: up and down, connect and disconnect, take turns (a second up is only for more that
//!   was found out of the same Asterisk, and takes nothing back), and nothing is written without
//!   a connection or before the banner;
//! - `ONE_END`: a call that was told of ends once in the log.
//!
//! No ActionID is used twice (Asterisk checks that), and when it has been quiet for ten seconds,
//! every request has had its reply. A failure names its seed: `SALARA_SEED=7` plays it alone,
//! `SALARA_SEEDS=10000` plays more of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use salara::ami::action::Action;
use salara::ami::instance::{Ask, Instance};
use salara::ami::session::{self, Credentials, Session};
use salara::api;
use salara::config::{Config, Secret};
use salara::engine::{self, ConnId, Engine};

#[path = "simulation/asterisk.rs"]
mod asterisk;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/truth.rs"]
mod truth;

use asterisk::Asterisk;
use random::Random;

/// Worlds in a run that does not say how many.
const SEEDS: u64 = 256;
/// Steps of chance in a world.
const STEPS: usize = 80;
/// The engine's own limit; questions of its own come on top.
const MAX_REQUESTS: usize = 200;

#[test]
fn whatever_happens_every_request_has_one_true_reply() {
    if let Some(seed) = setting("SALARA_SEED") {
        return play(seed);
    }
    for seed in 0..setting("SALARA_SEEDS").unwrap_or(SEEDS) {
        let world = std::panic::catch_unwind(|| play(seed));
        assert!(world.is_ok(), "SALARA_SEED={seed} plays this world again");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a run of the tests is told what to play"
)]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.quiet();
    world.heal();
}

struct World {
    random: Random,
    now: Instant,
    session: Session,
    engine: Engine,
    config: Config,
    asterisk: Asterisk,
    /// A connect under way: when and how it comes out. `None` for one that never does.
    connecting: Option<Option<(Instant, Outcome)>>,
    is_up: bool,
    facts: session::Facts,
    /// Asterisk does all it is asked.
    is_healthy: bool,
    /// Asterisk does not read what is written.
    is_stuck: bool,
    clients: usize,
    /// Requests without a reply, with the question that is asked for each.
    waiting: HashMap<(usize, usize), Waiting>,
    /// Questions without an answer, and whose they are.
    asked: HashMap<Ask, Option<ConnId>>,
    ever_asked: HashSet<Ask>,
    /// What Asterisk last told of each hint on this link.
    hints: HashMap<String, (i32, String, Instant)>,
    /// Calls that were told of, and whether of their end too.
    calls: HashMap<Box<str>, bool>,
    replies: usize,
}

#[derive(Clone, Copy)]
enum Outcome {
    Connected,
    Refused { near: bool },
}

struct Waiting {
    request: String,
    extension: String,
    question: Option<Ask>,
}

/// A connection as a key.
fn place(conn: ConnId) -> (usize, usize) {
    (conn.slot, conn.generation)
}

/// One of a handful, so that requests meet.
fn extension(random: &mut Random) -> &'static str {
    random.one_of(&["8001", "8002", "8003"])
}

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    fn new(seed: u64) -> Self {
        let now = start();
        let instance = Instance::new(0x65f2_a01c, 1001);
        let config = Config::default();
        Self {
            random: Random::new(seed),
            now,
            session: Session::new(instance.clone(), "system,call", seed, now)
                .with_filter(&["FullyBooted", "OriginateResponse"]),
            engine: Engine::new(Rc::new(config.clone()), instance),
            config,
            asterisk: Asterisk::new(seed),
            connecting: None,
            is_up: false,
            facts: session::Facts::default(),
            is_healthy: false,
            is_stuck: false,
            clients: 0,
            waiting: HashMap::new(),
            asked: HashMap::new(),
            ever_asked: HashSet::new(),
            hints: HashMap::new(),
            calls: HashMap::new(),
            replies: 0,
        }
    }

    /// Something happens, and some time passes.
    fn step(&mut self) {
        match self.random.below(100) {
            0..60 => self.request(),
            60..64 => (0..self.random.one_of(&[20, 300])).for_each(|_| self.request()),
            64..66 if self.asterisk.is_connected() => self.lose_connection(),
            66..68 => self.asterisk.go_deaf(),
            68..70 => self.is_stuck = !self.is_stuck,
            _ => {}
        }
        let pause = match self.random.below(100) {
            0..50 => self.random.below(20),
            50..85 => self.random.below(1_500),
            85..98 => self.random.below(8_000),
            _ => self.random.below(90_000),
        };
        self.pass(Duration::from_millis(pause as u64));
    }

    /// Nobody asks any more.
    fn quiet(&mut self) {
        self.pass(Duration::from_secs(10));
        let unanswered: Vec<&str> = self.waiting.values().map(|w| w.request.as_str()).collect();
        assert!(unanswered.is_empty(), "ONE_REPLY: none to {unanswered:?}");
        assert!(
            self.asked.is_empty(),
            "ONE_ANSWER: none to {:?}",
            self.asked
        );
    }

    /// Asterisk is well from now on: so is the link soon, and clients are served.
    fn heal(&mut self) {
        (self.is_healthy, self.is_stuck) = (true, false);
        if self.asterisk.is_connected() {
            self.lose_connection();
        }
        // Longer than the longest wait after a refused account.
        self.pass(Duration::from_secs(330));
        assert!(self.is_up, "an Asterisk that is well is not connected to");
        let before = self.replies;
        self.request();
        self.pass(Duration::from_millis(10));
        assert_eq!(
            self.replies,
            before + 1,
            "an Asterisk that is well is not asked"
        );
    }

    /// A client asks for something. Some do not wait for the reply; the next one has their place.
    fn request(&mut self) {
        let name = extension(&mut self.random);
        let request = match self.random.below(6) {
            0 => format!(r#"{{"operator":"{name}","phone":"000"}}"#),
            1 => format!(r#"{{"operator":"{name}","phone":"8002","msg":"hello"}}"#),
            2 | 3 => format!(r#"{{"exten":"{name}"}}"#),
            4 => format!(r#"{{"peer":"{name}"}}"#),
            _ => format!(r#"{{"chan":"SIP/{name}-1"}}"#),
        };
        self.clients += 1;
        let conn = ConnId {
            slot: self.clients % 256,
            generation: self.clients / 256,
        };
        let waiting = Waiting {
            request: request.clone(),
            extension: name.to_owned(),
            question: None,
        };
        self.waiting.insert(place(conn), waiting);
        let request = api::parse("/", request.as_bytes(), &self.config.keys).unwrap();
        self.engine.handle_request(conn, request, self.now);
        self.drain(Some(conn));
    }

    /// Time passes; every deadline on the way is met.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let connects_at = self.connecting.flatten().map(|(at, _)| at);
            let next = [
                self.session.poll_timeout(),
                self.engine.poll_timeout(),
                self.asterisk.poll_timeout(),
                connects_at,
            ];
            let next = next.into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = end;
        // One turn to ask, one to hear.
        self.turn();
        self.turn();
    }

    /// One turn of the loop that carries things between the machines.
    fn turn(&mut self) {
        self.session.handle_timeout(self.now);
        self.drain(None);
        self.engine.handle_timeout(self.now);
        self.drain(None);
        for next in [self.session.poll_timeout(), self.engine.poll_timeout()] {
            assert!(next.is_none_or(|at| at > self.now), "ADVANCES: a busy loop");
        }
        self.finish_connect();
        self.asterisk.make_noise(self.now);
        while let Some(bytes) = self.asterisk.poll_bytes(self.now) {
            self.deliver(&bytes);
        }
        if self.asterisk.is_connected() && !self.is_stuck {
            self.write();
        }
    }

    fn deliver(&mut self, mut bytes: &[u8]) {
        // A flood byte by byte would take the time of many worlds.
        let most = if bytes.len() > 500 {
            4_096
        } else {
            self.random.one_of(&[1, 7, 30, 100, 4_096])
        };
        while !bytes.is_empty() && self.asterisk.is_connected() {
            let length = (1 + self.random.below(most)).min(bytes.len());
            let (segment, rest) = bytes.split_at(length);
            self.session.handle_bytes(segment, self.now);
            self.drain(None);
            bytes = rest;
        }
    }

    fn write(&mut self) {
        while !self.session.outgoing().is_empty() {
            let most = self.session.outgoing().len();
            let count = most - self.random.one_of(&[0, 0, most / 2]);
            let written = self.session.outgoing()[..count].to_vec();
            self.session.sent(count);
            self.asterisk.read(&written, self.now);
        }
    }

    fn begin_connect(&mut self) {
        assert!(!self.asterisk.is_connected(), "ALTERNATES: connects twice");
        assert!(self.connecting.is_none(), "ALTERNATES: connects twice");
        let outcome = match self.random.below(10) {
            _ if self.is_healthy => Outcome::Connected,
            0 => Outcome::Refused { near: false },
            1 => Outcome::Refused { near: true },
            2 => {
                self.connecting = Some(None);
                return;
            }
            _ => Outcome::Connected,
        };
        let at = self.now + Duration::from_millis(self.random.below(50) as u64);
        self.connecting = Some(Some((at, outcome)));
    }

    fn finish_connect(&mut self) {
        let Some(Some((at, outcome))) = self.connecting else {
            return;
        };
        if at > self.now {
            return;
        }
        self.connecting = None;
        match outcome {
            Outcome::Connected => {
                self.asterisk.connect(self.is_healthy, self.now);
                let credentials = Credentials {
                    user: "salara".into(),
                    secret: Secret::new("secret22"),
                };
                self.session.handle_connected(credentials, self.now);
                assert!(
                    self.session.outgoing().is_empty(),
                    "ALTERNATES: speaks first"
                );
            }
            Outcome::Refused { near } => {
                self.session.handle_disconnected("refused", near, self.now);
            }
        }
        self.drain(None);
    }

    fn lose_connection(&mut self) {
        self.asterisk.hang_up();
        self.session
            .handle_disconnected("Asterisk closed it", false, self.now);
        self.drain(None);
        assert!(!self.is_up, "ALTERNATES: up without a connection");
    }

    /// Moves outputs between the machines until none is left. What the engine wants meanwhile is
    /// for `cause`, or for the one whose answer it has just been given.
    fn drain(&mut self, cause: Option<ConnId>) {
        let mut cause = cause;
        for _ in 0..10_000 {
            if let Some(output) = self.engine.poll_output() {
                self.engine_wants(output, cause);
            } else if let Some(output) = self.session.poll_output() {
                cause = self.session_wants(output);
            } else {
                return self.check();
            }
        }
        panic!("DRAINED: outputs without an end");
    }

    fn check(&self) {
        let unwritten = self.session.outgoing().len();
        assert!(unwritten <= 64 * 1024, "BOUNDED: {unwritten} bytes");
        assert!(
            self.waiting.len() <= MAX_REQUESTS,
            "BOUNDED: {}",
            self.waiting.len()
        );
        assert!(
            self.asked.len() <= 256,
            "BOUNDED: {} questions",
            self.asked.len()
        );
        assert_eq!(self.session.is_up(), self.is_up, "ALTERNATES: who is up?");
        if !self.asterisk.is_connected() {
            assert_eq!(unwritten, 0, "ALTERNATES: written to nobody");
        }
    }

    fn engine_wants(&mut self, output: engine::Output, cause: Option<ConnId>) {
        match output {
            engine::Output::Act(ask, action) => {
                assert!(
                    self.ever_asked.insert(ask),
                    "ONE_ANSWER: {ask:?} is asked twice"
                );
                // What follows a reply belongs to nobody any more.
                let conn = cause.filter(|conn| self.waiting.contains_key(&place(*conn)));
                let follows_up =
                    matches!(action, Action::Originate(_) | Action::MessageSend { .. });
                let conn = conn.filter(|_| !follows_up);
                if let Some(waiting) = conn.and_then(|conn| self.waiting.get_mut(&place(conn))) {
                    waiting.question = Some(ask);
                }
                self.asked.insert(ask, conn);
                self.session.ask(ask, &action, self.now);
            }
            engine::Output::Reply(conn, reply) => {
                let waiting = self.waiting.remove(&place(conn));
                let waiting = waiting.unwrap_or_else(|| panic!("ONE_REPLY: {reply:?} to nobody"));
                assert_eq!(Some(conn), cause, "ONE_REPLY: {reply:?} to another");
                self.replies += 1;
                self.check_reply(&waiting, &reply);
            }
            engine::Output::Note(decision) => self.check_note(&decision),
            _ => {}
        }
    }

    /// Hands an output of the session on. Tells whose answer it is.
    fn session_wants(&mut self, output: session::Output) -> Option<ConnId> {
        match output {
            session::Output::Connect => self.begin_connect(),
            session::Output::Disconnect => {
                assert!(
                    self.asterisk.is_connected() || self.connecting.is_some(),
                    "ALTERNATES: disconnects twice"
                );
                self.asterisk.hang_up();
                self.connecting = None;
            }
            session::Output::Up(facts) => {
                if self.is_up {
                    // A late FullyBooted: more may have been found out, and nothing is taken back.
                    let before = &self.facts;
                    assert_ne!(facts, *before, "ALTERNATES: up twice");
                    assert!(
                        facts.chan_sip || !before.chan_sip,
                        "ALTERNATES: chan_sip lost"
                    );
                    assert!(facts.pjsip || !before.pjsip, "ALTERNATES: PJSIP lost");
                }
                self.is_up = true;
                self.facts = facts.clone();
                self.engine.handle_up(facts);
            }
            session::Output::Down => {
                assert!(self.is_up, "ALTERNATES: down twice");
                self.is_up = false;
                self.hints.clear();
                self.engine.handle_down();
            }
            session::Output::Event(event) => {
                self.learn(&event);
                self.engine.handle_event(event, self.now);
            }
            session::Output::Done(ask, result) => {
                let conn = self.asked.remove(&ask);
                let conn = conn.unwrap_or_else(|| panic!("ONE_ANSWER: {ask:?} again"));
                self.engine.handle_done(ask, result, self.now);
                return conn;
            }
            session::Output::Note(_) => {}
        }
        None
    }
}
