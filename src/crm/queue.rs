//! What waits to be posted: order, bounds, retries.
//!
//! This file owns when which post is tried, and what is dropped. It must not know threads, HTTP, or
//! what a post says.
//!
//! The surprising fact: a CRM that is down makes one attempt fail, not a thousand. When no answer
//! comes, the whole endpoint rests, and one post alone finds out whether it is back. Only an answer
//! (a 500, say) holds up no more than its own call.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::{Delivery, Outcome, PostId};
use crate::ami::instance::Instance;
use crate::backoff::{Jitter, grown};
use crate::channel::Post;

/// More posts than this do not wait: a day of a small office, or some megabytes.
pub const MAX_POSTS: usize = 16_384;
/// Nor more bytes of bodies.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;
/// The first wait after a failure, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(60);
/// A CRM may ask to be left alone for so long at most; beyond that it is only guessing.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The posts on their way, in the order of their calls.
#[derive(Debug)]
pub struct Queue {
    instance: Instance,
    parallel: usize,
    retry_for: Duration,
    next_id: u64,
    items: BTreeMap<PostId, Item>,
    bytes: usize,
    /// The posts of each call, in order. Only the first may be tried.
    lines: HashMap<Box<str>, VecDeque<PostId>>,
    /// First posts that may be tried now, oldest first.
    ready: BTreeSet<PostId>,
    /// First posts that wait for another try.
    waiting: BTreeSet<(Instant, PostId)>,
    in_flight: BTreeSet<PostId>,
    gate: Gate,
    failures: u32,
    jitter: Jitter,
    dropped: u64,
    notes: VecDeque<Note>,
}

#[derive(Debug)]
struct Item {
    call: Box<str>,
    body: Box<str>,
    since: Instant,
    attempts: u32,
}

/// Whether the endpoint is tried at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// It did not answer, or wants to be left alone.
    Resting {
        until: Instant,
    },
    /// One post finds out.
    Probing,
    /// It said that it is gone for good.
    Gone,
}

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The endpoint does not answer. Said once until it does.
    Resting {
        /// What happened.
        why: String,
    },
    /// It answers again.
    Back {
        /// How many posts wait.
        waiting: usize,
    },
    /// A post was refused, and is not tried again.
    Refused {
        /// What the CRM said.
        said: String,
        /// The post.
        body: Box<str>,
    },
    /// A post was tried for as long as it may be.
    GivenUp {
        /// The post.
        body: Box<str>,
    },
    /// Too much was waiting, and the oldest had to go. Said at each power of two.
    Dropped {
        /// How many so far.
        count: u64,
    },
    /// The CRM answered 410: nothing more is sent there until salara is told to.
    Gone,
}

impl Queue {
    /// An empty queue. `parallel` posts may be on their way at once, each of another call; with 1,
    /// all posts keep their order.
    pub fn new(instance: Instance, parallel: usize, retry_for: Duration, seed: u64) -> Self {
        Self {
            instance,
            parallel,
            retry_for,
            next_id: 0,
            items: BTreeMap::new(),
            bytes: 0,
            lines: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            gate: Gate::Open,
            failures: 0,
            jitter: Jitter::new(seed),
            dropped: 0,
            notes: VecDeque::new(),
        }
    }

    /// Takes a post in.
    pub fn push(&mut self, post: Post, now: Instant) {
        if self.gate == Gate::Gone {
            return self.count_dropped();
        }
        while self.items.len() >= MAX_POSTS || self.bytes + post.body.len() > MAX_BYTES {
            if !self.drop_oldest() {
                return self.count_dropped();
            }
        }
        self.next_id += 1;
        let id = PostId(self.next_id);
        let call = if self.parallel == 1 {
            "".into()
        } else {
            post.call
        };
        self.bytes += post.body.len();
        let line = self.lines.entry(call.clone()).or_default();
        line.push_back(id);
        if line.len() == 1 {
            self.ready.insert(id);
        }
        self.items.insert(
            id,
            Item {
                call,
                body: post.body,
                since: now,
                attempts: 0,
            },
        );
    }

    /// A post to be made now, if there is one and it may be.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        let limit = match self.gate {
            Gate::Open => self.parallel,
            Gate::Probing => 1,
            Gate::Resting { .. } | Gate::Gone => 0,
        };
        if self.in_flight.len() >= limit {
            return None;
        }
        let id = self.ready.pop_first()?;
        self.in_flight.insert(id);
        let item = self.items.get_mut(&id)?;
        item.attempts = item.attempts.saturating_add(1);
        let webhook_id = format!("{}-e{}", self.instance, id.0).into();
        Some(Delivery {
            id,
            webhook_id,
            body: item.body.clone(),
        })
    }

    /// An attempt has ended.
    pub fn handle_outcome(&mut self, id: PostId, outcome: &Outcome, now: Instant) {
        if !self.in_flight.remove(&id) {
            return;
        }
        match outcome {
            Outcome::Failed(why) => {
                self.rest(None, why, now);
                self.try_again(id, Duration::ZERO, now);
            }
            Outcome::Answered {
                status: 429 | 503,
                retry_after: Some(wait),
                ..
            } => {
                self.rest(Some(*wait), &outcome.to_string(), now);
                self.try_again(id, Duration::ZERO, now);
            }
            Outcome::Answered { status, .. } => {
                self.answered();
                match status {
                    200..=299 => self.finish(id),
                    410 => self.gone(),
                    408 | 425 | 429 | 500..=599 => self.try_later(id, now),
                    _ => {
                        if let Some(item) = self.items.get(&id) {
                            let (said, body) = (outcome.to_string(), item.body.clone());
                            self.notes.push_back(Note::Refused { said, body });
                        }
                        self.finish(id);
                    }
                }
            }
        }
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Gate::Resting { until } = self.gate
            && until <= now
        {
            self.gate = Gate::Probing;
        }
        while let Some((at, id)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            let too_old = |item: &Item| item.since + self.retry_for <= now;
            if self.items.get(&id).is_some_and(too_old) {
                if let Some(item) = self.items.get(&id) {
                    self.notes.push_back(Note::GivenUp {
                        body: item.body.clone(),
                    });
                }
                self.finish(id);
            } else {
                self.ready.insert(id);
            }
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gate = match self.gate {
            Gate::Resting { until } => Some(until),
            Gate::Open | Gate::Probing | Gate::Gone => None,
        };
        let retry = self.waiting.first().map(|(at, _)| *at);
        gate.into_iter().chain(retry).min()
    }

    /// What is to be told; drain it after every call.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// How many posts are on their way.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many posts were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn answered(&mut self) {
        self.failures = 0;
        if self.gate == Gate::Probing {
            self.notes.push_back(Note::Back {
                waiting: self.items.len(),
            });
        }
        if self.gate != Gate::Gone {
            self.gate = Gate::Open;
        }
    }

    /// The endpoint rests: nothing is tried until it is over, and then one post first.
    fn rest(&mut self, wanted: Option<Duration>, why: &str, now: Instant) {
        if self.gate == Gate::Open {
            self.notes.push_back(Note::Resting {
                why: why.to_owned(),
            });
        }
        // Posts that were on their way together fail together: that is one failure.
        if matches!(self.gate, Gate::Open | Gate::Probing) {
            self.failures = self.failures.saturating_add(1);
            let own = self.jitter.spread(grown(FIRST, self.failures, CAP));
            let wait = wanted.map_or(own, |wanted| wanted.min(MAX_RETRY_AFTER).max(own));
            self.gate = Gate::Resting { until: now + wait };
        }
    }

    fn try_later(&mut self, id: PostId, now: Instant) {
        let attempts = self.items.get(&id).map_or(1, |item| item.attempts);
        let wait = self.jitter.spread(grown(FIRST, attempts, CAP));
        self.try_again(id, wait, now);
    }

    fn try_again(&mut self, id: PostId, wait: Duration, now: Instant) {
        self.waiting.insert((now + wait, id));
    }

    /// Takes a post out and lets the next of its call through.
    fn finish(&mut self, id: PostId) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.bytes -= item.body.len();
        let Some(line) = self.lines.get_mut(&item.call) else {
            return;
        };
        line.retain(|other| *other != id);
        match line.front() {
            Some(first) if !self.in_flight.contains(first) => {
                self.ready.insert(*first);
            }
            Some(_) => {}
            None => {
                self.lines.remove(&item.call);
            }
        }
    }

    /// False when all there are are on their way.
    fn drop_oldest(&mut self) -> bool {
        let oldest = self
            .items
            .keys()
            .find(|id| !self.in_flight.contains(id))
            .copied();
        let Some(oldest) = oldest else { return false };
        self.ready.remove(&oldest);
        self.waiting.retain(|(_, id)| *id != oldest);
        self.finish(oldest);
        self.count_dropped();
        true
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            self.notes.push_back(Note::Dropped {
                count: self.dropped,
            });
        }
    }

    fn gone(&mut self) {
        self.gate = Gate::Gone;
        self.notes.push_back(Note::Gone);
        let count = self.items.len() as u64;
        self.items.clear();
        self.lines.clear();
        self.ready.clear();
        self.waiting.clear();
        self.in_flight.clear();
        self.bytes = 0;
        self.dropped += count;
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resting { why } => write!(f, "the CRM does not take events: {why}; trying on"),
            Self::Back { waiting } => write!(f, "the CRM takes events again; {waiting} wait"),
            Self::Refused { said, body } => {
                write!(f, "the CRM refused an event for good: {said}: {body}")
            }
            Self::GivenUp { body } => {
                write!(
                    f,
                    "an event was tried for as long as retry_for allows: {body}"
                )
            }
            Self::Dropped { count } => {
                write!(
                    f,
                    "too many events wait for the CRM: {count} dropped so far, oldest first"
                )
            }
            Self::Gone => write!(
                f,
                "the CRM answered 410 to an event: none is sent any more until salara is restarted"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
