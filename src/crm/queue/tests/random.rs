//! Random worlds: posts, a CRM of changing mood, a clock; and a list that knows what is right.

use super::*;

/// Worlds a run; `SEEDS` of the environment is not asked: a failure names its seed.
const SEEDS: u64 = 600;
const STEPS: usize = 250;
const RETRY_FOR: Duration = Duration::from_secs(300);

#[test]
fn in_no_random_world_is_anything_lost_untold_or_out_of_order() {
    let mut seen = Seen::default();
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.recover();
        seen.add(&world.seen);
    }
    // The worlds were not too kind.
    let Seen {
        delivered,
        refused,
        given_up,
        dropped,
        retried,
        side_by_side,
        gone,
    } = seen;
    let all = [
        delivered,
        refused,
        given_up,
        dropped,
        retried,
        side_by_side,
        gone,
    ];
    assert!(all.iter().all(|count| *count > 20), "{seen:?}");
}

/// How often something happened.
#[derive(Debug, Default)]
struct Seen {
    delivered: u64,
    refused: u64,
    given_up: u64,
    dropped: u64,
    retried: u64,
    side_by_side: u64,
    gone: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.given_up += other.given_up;
        self.dropped += other.dropped;
        self.retried += other.retried;
        self.side_by_side += other.side_by_side;
        self.gone += other.gone;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Down,
    Moody,
    Closing,
}

/// A post that the queue must still have.
struct Kept {
    call: u64,
    bytes: usize,
    webhook_id: Option<Box<str>>,
}

struct World {
    seed: u64,
    random: u64,
    queue: Queue,
    parallel: usize,
    large: bool,
    calls: u64,
    mood: Mood,
    now: Instant,
    pushed: u64,
    /// By number, which is the order of pushing.
    kept: BTreeMap<u64, Kept>,
    in_flight: Vec<(PostId, u64)>,
    seen: Seen,
}

impl World {
    fn new(seed: u64) -> Self {
        let parallel = usize::try_from(1 + seed % 4).unwrap();
        Self {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            queue: Queue::new(Instance::new(1, 2), parallel, RETRY_FOR, seed),
            parallel,
            large: seed.is_multiple_of(15),
            calls: 1 + seed % 7,
            mood: Mood::Well,
            now: start(),
            pushed: 0,
            kept: BTreeMap::new(),
            in_flight: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % limit
    }

    fn step(&mut self) {
        match self.below(10) {
            0..=2 => self.push(),
            3..=5 => self.deliver(),
            6..=7 => self.finish_one(),
            8 => self.pass_time(),
            _ => {
                self.mood = match self.below(40) {
                    0 => Mood::Closing,
                    1..=15 => Mood::Down,
                    16..=27 => Mood::Moody,
                    _ => Mood::Well,
                }
            }
        }
    }

    fn push(&mut self) {
        let number = self.pushed;
        self.pushed += 1;
        let call = self.below(self.calls);
        let mut body = format!("{number}:");
        if self.large {
            let fill = usize::try_from(self.below(400_000)).unwrap();
            body.push_str(&"x".repeat(fill));
        }
        let bytes = body.len();
        self.queue.push(post(&call.to_string(), &body), self.now);
        if self.queue.gate == Gate::Gone {
            self.seen.dropped += 1;
            return;
        }
        let held = |kept: &BTreeMap<u64, Kept>| kept.values().map(|kept| kept.bytes).sum::<usize>();
        while held(&self.kept) + bytes > MAX_BYTES {
            let flying = |number: &u64| self.in_flight.iter().any(|(_, other)| other == number);
            let oldest = self.kept.keys().find(|number| !flying(number)).copied();
            self.seen.dropped += 1;
            match oldest {
                Some(oldest) => self.kept.remove(&oldest),
                None => return,
            };
        }
        let webhook_id = None;
        self.kept.insert(
            number,
            Kept {
                call,
                bytes,
                webhook_id,
            },
        );
    }

    fn deliver(&mut self) {
        let Some(delivery) = self.queue.poll_delivery() else {
            return;
        };
        let number = number_of(&delivery.body);
        let seed = self.seed;
        let call = self.kept.get(&number).map(|kept| kept.call);
        let call = call.unwrap_or_else(|| panic!("seed {seed}: {number} is sent after its end"));
        // Whatever came before it in its call has come to its end.
        let is_behind = self
            .kept
            .range(..number)
            .any(|(_, other)| other.call == call || self.parallel == 1);
        assert!(!is_behind, "seed {seed}: {number} overtakes");
        let kept = self.kept.get_mut(&number).unwrap();
        match &kept.webhook_id {
            Some(id) => {
                assert_eq!(*id, delivery.webhook_id, "seed {seed}");
                self.seen.retried += 1;
            }
            None => kept.webhook_id = Some(delivery.webhook_id),
        }
        self.in_flight.push((delivery.id, number));
        assert!(self.in_flight.len() <= self.parallel, "seed {seed}");
        if self.in_flight.len() > 1 {
            self.seen.side_by_side += 1;
        }
    }

    fn finish_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let count = u64::try_from(self.in_flight.len()).unwrap();
        let at = usize::try_from(self.below(count)).unwrap();
        let (id, number) = self.in_flight.swap_remove(at);
        let outcome = match (self.mood, self.below(8)) {
            (Mood::Closing, 0) => answered(410),
            (Mood::Well | Mood::Closing, _) | (Mood::Moody, 0..=2) => answered(200),
            (Mood::Down, _) | (Mood::Moody, 3) => failed(),
            (Mood::Moody, 4) => answered(500),
            (Mood::Moody, 5) => answered(404),
            (Mood::Moody, 6) => answered(429),
            (Mood::Moody, _) => {
                let wait = self.below(200);
                come_back_after(503, Duration::from_secs(wait))
            }
        };
        self.queue.handle_outcome(id, &outcome, self.now);
        match outcome {
            Outcome::Answered { status: 410, .. } => {
                self.seen.gone += 1;
                self.seen.dropped += u64::try_from(self.kept.len()).unwrap();
                self.kept.clear();
                self.in_flight.clear();
            }
            Outcome::Answered { status: 200, .. } => {
                self.seen.delivered += 1;
                self.kept.remove(&number);
            }
            _ => {}
        }
        self.listen();
    }

    fn pass_time(&mut self) {
        let next = self.queue.poll_timeout();
        let passes = match self.below(3) {
            0 => Duration::from_millis(self.below(2_000)),
            1 => Duration::from_secs(self.below(200)),
            _ => next.map_or(Duration::ZERO, |next| {
                next.saturating_duration_since(self.now)
            }),
        };
        self.now += passes;
        self.queue.handle_timeout(self.now);
        let next = self.queue.poll_timeout();
        let advances = next.is_none_or(|next| next > self.now);
        assert!(
            advances,
            "seed {}: it would wake at once, for ever",
            self.seed
        );
        self.listen();
    }

    /// What is told of a post is its end.
    fn listen(&mut self) {
        for note in notes(&mut self.queue) {
            let body = match note {
                Note::Refused { body, .. } => {
                    self.seen.refused += 1;
                    body
                }
                Note::GivenUp { body, .. } => {
                    self.seen.given_up += 1;
                    body
                }
                _ => continue,
            };
            let ended = self.kept.remove(&number_of(&body));
            assert!(ended.is_some(), "seed {}: told twice", self.seed);
        }
    }

    fn check(&mut self) {
        self.listen();
        let seed = self.seed;
        let queue = &self.queue;
        let held: Vec<u64> = queue
            .items
            .values()
            .map(|item| number_of(&item.body))
            .collect();
        let kept: Vec<u64> = self.kept.keys().copied().collect();
        assert_eq!(held, kept, "seed {seed}");
        assert_eq!(queue.len(), kept.len(), "seed {seed}");
        let bytes: usize = queue.items.values().map(|item| item.body.len()).sum();
        assert_eq!(queue.bytes, bytes, "seed {seed}");
        assert!(bytes <= MAX_BYTES, "seed {seed}");
        assert_eq!(queue.dropped(), self.seen.dropped, "seed {seed}");
        let ended = self.seen.delivered + self.seen.refused + self.seen.given_up;
        let told = ended + self.seen.dropped + u64::try_from(kept.len()).unwrap();
        assert_eq!(told, self.pushed, "seed {seed}: lost untold");
        let flying: BTreeSet<PostId> = self.in_flight.iter().map(|(id, _)| *id).collect();
        assert_eq!(queue.in_flight, flying, "seed {seed}");
        // The first of each call is in one place; the others are in none.
        let waiting = queue.waiting.iter().map(|(_, id)| *id);
        let mut firsts: Vec<PostId> = waiting.chain(queue.ready.iter().copied()).collect();
        firsts.extend(&queue.in_flight);
        firsts.sort_unstable();
        let mut lines: Vec<PostId> = queue.lines.values().map(|line| line[0]).collect();
        lines.sort_unstable();
        assert_eq!(firsts, lines, "seed {seed}");
        let in_lines: usize = queue.lines.values().map(VecDeque::len).sum();
        assert_eq!(in_lines, queue.len(), "seed {seed}");
    }

    /// The CRM takes everything from now on: the queue must empty itself.
    fn recover(&mut self) {
        self.mood = Mood::Well;
        let until = self.now + 2 * MAX_RETRY_AFTER;
        while !self.queue.is_empty() {
            assert!(self.now < until, "seed {}: it does not drain", self.seed);
            let before = self.in_flight.len();
            self.deliver();
            if self.in_flight.len() > before {
                continue;
            }
            if self.in_flight.is_empty() {
                let next = self.queue.poll_timeout();
                self.now = next.unwrap_or_else(|| panic!("seed {}: it is stuck", self.seed));
                self.queue.handle_timeout(self.now);
            }
            self.finish_one();
            self.check();
        }
        self.check();
        assert!(self.queue.lines.is_empty(), "seed {}", self.seed);
    }
}

fn number_of(body: &str) -> u64 {
    body.split_once(':').unwrap().0.parse().unwrap()
}
