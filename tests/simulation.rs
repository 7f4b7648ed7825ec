//! A session, an engine and a queue in worlds that chance makes, each from its seed, in virtual time.
//!
//! Asterisk comes and goes, is slow, deaf, rude and noisy; clients ask in crowds and vanish; calls
//! begin and end, heard or not; bytes come and go in any segments. The CRM takes posts, or refuses
//! them, chokes on some, is slow, silent, busy, down or gone; the disk, where there is one, refuses,
//! is too small, or loses its last second; salara is stopped and killed. After every step these hold:
//!
//! - `ONE_REPLY`: a request has one reply, and there is no reply to what was not asked;
//! - `TRUE`: a 200 tells what this Asterisk answered on this link to this request's question, or,
//!   of a hint, what it last told within a second;
//! - `ONE_ANSWER`: every question of the engine is answered once, within three seconds;
//! - `BOUNDED`: no more than 200 requests are in the works and 64 KiB unwritten to Asterisk; no more
//!   posts wait, and no more bytes of them, than the queue promises, and none is dropped before;
//! - `ADVANCES`: after `handle_timeout` the next deadline is later than now;
//! - `DRAINED`: outputs come to an end;
//! - `ALTERNATES`: up and down, connect and disconnect, take turns (a second up is only for more that
//!   was found out of the same Asterisk, and takes nothing back), and nothing is written without
//!   a connection or before the banner;
//! - `ONE_END`: a call that was told of ends once in the log;
//! - `FAITHFUL`: an event that was told whole makes the post that its level, and what salara knows
//!   of the channel, ask for, byte by byte, in the line of its call; nothing else makes one;
//! - `CONSERVED`: every post is owed, taken, refused, given up or dropped, which is counted, and has
//!   one end. Only a kill loses some, and none but those not yet written;
//! - `ORDER`: posts of a call reach the CRM in the order of their events, also over a kill, and with
//!   `parallel=1` all do; a later one is not tried before the earlier one's end;
//! - `ONE_AT_A_TIME`: no two posts of a call are on their way together;
//! - `PARALLEL`: no more than `parallel` are on their way;
//! - `NAMED`: a post has the same `webhook-id` at every attempt, in every run, and no other has it;
//! - `PATIENT`: no second attempt within half a second; after a failure nobody is sent but one that
//!   finds out; nothing before the end of a `Retry-After`, nor after 410 until salara is told to;
//! - `GIVEN_UP`: none is given up before `retry_for` is over;
//! - `TOLD`: a refusal is told once, a rest and its end take turns, and a dropped post is told of
//!   before there are twice as many;
//! - `STORED`: a CRM in good order has a quarter of a second for a post, and 64 may wait for that;
//!   all else is on the disk, if it takes it;
//! - `AWAKE`: nothing that could be done now is left for later, and what waits has a deadline.
//!
//! No ActionID is used twice (Asterisk checks that). No two events make equal posts, so it is known
//! which event a post is. When Asterisk has been quiet for ten seconds, every request has had its
//! reply; and when the CRM is well again, it gets all that it is owed.
//!
//! A failure names its seed: `SALARA_SEED=7` plays it alone. `SALARA_LONG=1`, which is `make
//! test-long`, plays 10,000 of them, and `SALARA_SEEDS=500` so many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use salara::ami::instance::{Ask, Instance};
use salara::ami::session::{Facts, Session};
use salara::api;
use salara::channel::Post;
use salara::config::{CallLevel, Config, StateLevel};
use salara::engine::{ConnId, Engine};

#[path = "simulation/asterisk.rs"]
mod asterisk;
#[path = "simulation/calls.rs"]
mod calls;
#[path = "simulation/carry.rs"]
mod carry;
#[path = "simulation/crm.rs"]
mod crm;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/posts.rs"]
mod posts;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/seen.rs"]
mod seen;
#[path = "simulation/truth.rs"]
mod truth;

use asterisk::Asterisk;
use posts::{End, Posts};
use random::Random;
use seen::Seen;
use truth::Tracked;

/// Worlds in a run that does not say how many, and in a long one.
const SEEDS: u64 = 256;
const LONG: u64 = 10_000;
/// Steps of chance in a world.
const STEPS: usize = 60;
/// The engine's own limit; questions of its own come on top.
const MAX_REQUESTS: usize = 200;

#[test]
fn whatever_happens_every_request_has_one_true_reply_and_every_event_one_end() {
    if let Some(seed) = setting("SALARA_SEED") {
        play(seed);
        return;
    }
    let is_long = setting("SALARA_LONG").is_some();
    let seeds = setting("SALARA_SEEDS").unwrap_or(if is_long { LONG } else { SEEDS });
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let seen = std::thread::scope(|scope| {
        let hands = (0..threads).map(|thread| {
            let its = (thread..seeds).step_by(threads as usize);
            scope.spawn(move || its.map(play_or_say).fold(Seen::default(), Seen::plus))
        });
        let hands: Vec<_> = hands.collect();
        let seen = hands
            .into_iter()
            .map(|hand| hand.join().expect("a world failed"));
        seen.fold(Seen::default(), Seen::plus)
    });
    // The worlds were not too kind.
    if seeds >= SEEDS {
        assert_eq!(seen.rare(20), [], "{seen:?}");
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

fn play_or_say(seed: u64) -> Seen {
    let world = std::panic::catch_unwind(|| play(seed));
    assert!(world.is_ok(), "SALARA_SEED={seed} plays this world again");
    world.unwrap_or_default()
}

fn play(seed: u64) -> Seen {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.quiet();
    world.heal();
    world.posts.seen
}

struct World {
    seed: u64,
    random: Random,
    now: Instant,
    instance: Instance,
    session: Session,
    engine: Engine,
    config: Config,
    asterisk: Asterisk,
    posts: Posts,
    /// How often salara was started again.
    restarts: u32,
    /// How much is in what a call does.
    weight: usize,
    /// Channels that salara may know of.
    tracked: HashMap<String, Tracked>,
    /// The call in whose line each channel's posts are.
    lines: HashMap<String, Box<str>>,
    /// Posts of the event that is just told.
    posted: VecDeque<Post>,
    /// A connect under way: when and how it comes out. `None` for one that never does.
    connecting: Option<Option<(Instant, Outcome)>>,
    is_up: bool,
    facts: Facts,
    /// Asterisk does all it is asked.
    is_healthy: bool,
    /// Asterisk does not read what is written.
    is_stuck: bool,
    clients: usize,
    /// Requests without a reply, with the question that is asked for each.
    waiting: HashMap<(usize, usize), Waiting>,
    /// Questions without an answer: whose they are, and since when.
    asked: HashMap<Ask, (Option<ConnId>, Instant)>,
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

/// The name of a run.
fn instance(restarts: u32) -> Instance {
    Instance::new(0x65f2_a01c, 1001 + restarts)
}

fn session(instance: &Instance, seed: u64, now: Instant) -> Session {
    Session::new(instance.clone(), "system,call", seed, now).with_filter(&["FullyBooted"])
}

/// Any levels.
fn config(random: &mut Random) -> Config {
    let calls = [
        CallLevel::Off,
        CallLevel::Tracked,
        CallLevel::All,
        CallLevel::All,
    ];
    let states = [
        StateLevel::Off,
        StateLevel::TrackedUp,
        StateLevel::Tracked,
        StateLevel::All,
    ];
    let mut config = Config::default();
    config.event.watch_makecall = random.percent(70);
    config.event.newchannel = random.one_of(&calls);
    config.event.hangup = random.one_of(&calls);
    config.event.newexten = random.one_of(&states);
    config.event.agentcon = random.one_of(&states);
    config
}

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    fn new(seed: u64) -> Self {
        let now = start();
        let mut random = Random::new(seed);
        let instance = instance(0);
        let config = config(&mut random);
        Self {
            seed,
            now,
            session: session(&instance, seed, now),
            engine: Engine::new(Rc::new(config.clone()), instance.clone()),
            config,
            asterisk: Asterisk::new(seed),
            posts: Posts::new(random.split(), seed, instance.clone(), now),
            instance,
            restarts: 0,
            weight: if random.percent(6) { 20_000 } else { 0 },
            random,
            tracked: HashMap::new(),
            lines: HashMap::new(),
            posted: VecDeque::new(),
            connecting: None,
            is_up: false,
            facts: Facts::default(),
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
        match self.random.below(200) {
            0..60 => self.asterisk.calls.begin(None, self.weight, self.now),
            60..64 => {
                (0..40).for_each(|_| self.asterisk.calls.begin(None, self.weight, self.now));
            }
            64..84 => self.posts.crm.change(),
            84..88 => self.posts.reopen(self.now),
            88..92 => {
                let refusal = self.random.one_of(&[0, 0, 30, 100]);
                if let Some(disk) = &mut self.posts.disk {
                    disk.refusal = refusal;
                }
            }
            92 => self.restart(End::Asked),
            93 => self.restart(End::Killed),
            94 => self.restart(End::PowerLoss),
            95 if self.random.percent(10) => self.flood(),
            96..100 => self.posts.replay(self.now),
            100..102 => self.posts.configure(self.random.one_of(&[1, 2, 16])),
            102..104 => self.reconnect(),
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

    fn flood(&mut self) {
        let (count, weight) = match self.posts.disk {
            Some(_) => self.random.one_of(&[(3_000, 1), (40, 60_000)]),
            None => self.random.one_of(&[(17_000, 1), (40, 60_000)]),
        };
        self.posts.flood(count, weight, self.now);
    }

    /// Other events are wanted, or the same of another Asterisk.
    fn reconnect(&mut self) {
        let mask = self.random.one_of(&["system,call", "system,call,agent"]);
        let anew = self.random.percent(50);
        self.session
            .reconnect(mask, &["FullyBooted"], anew, self.now);
        self.drain(None);
    }

    /// salara ends and is started again. Its clients are gone with it.
    fn restart(&mut self, how: End) {
        self.restarts += 1;
        self.instance = instance(self.restarts);
        self.posts.restart(how, self.instance.clone(), self.now);
        self.session = session(&self.instance, self.seed, self.now);
        self.engine = Engine::new(Rc::new(self.config.clone()), self.instance.clone());
        self.asterisk.hang_up();
        self.connecting = None;
        self.is_up = false;
        self.waiting.clear();
        self.asked.clear();
        self.ever_asked.clear();
        self.hints.clear();
        self.tracked.clear();
        self.lines.clear();
    }

    /// Nobody asks any more.
    fn quiet(&mut self) {
        self.pass(Duration::from_secs(10));
        let unanswered: Vec<&str> = self.waiting.values().map(|w| w.request.as_str()).collect();
        assert!(unanswered.is_empty(), "ONE_REPLY: none to {unanswered:?}");
    }

    /// Asterisk is well from now on: so is the link soon, and clients are served. So are the CRM and
    /// the disk, and nothing is owed in the end.
    fn heal(&mut self) {
        (self.is_healthy, self.is_stuck) = (true, false);
        self.posts.heal(self.now);
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
        let patience = self.now + Duration::from_secs(2 * 3600);
        while !self.posts.is_done() {
            assert!(self.now < patience, "CONSERVED: posts that are never sent");
            self.pass(Duration::from_secs(60));
            self.posts.heal(self.now);
        }
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
                self.posts.poll_timeout(),
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
        self.asterisk.live(self.now);
        while let Some(said) = self.asterisk.poll_said(self.now) {
            self.hear(&said);
        }
        if self.asterisk.is_connected() && !self.is_stuck {
            self.write();
        }
        self.posts.turn(self.now);
        let late = |since: &Instant| self.now - *since > Duration::from_secs(3);
        let late = self.asked.iter().find(|(_, (_, since))| late(since));
        assert_eq!(late, None, "ONE_ANSWER: not in time");
    }
}
