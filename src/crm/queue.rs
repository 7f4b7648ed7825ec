//! What waits to be posted: order, bounds, retries.
//!
//! This file owns when which post is tried, and what is dropped. It must not know threads, HTTP, or
//! what a post says.
//!
//! The surprising fact: a CRM that is down makes one attempt fail, not a thousand. When no answer
//! comes, the whole endpoint rests, and one post alone finds out whether it is back: not the one that
//! failed while there is another, for it may be that one the CRM chokes on. Only an answer (a 500,
//! say) holds up no more than its own call.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Delivery, JSON, Outcome, PostId};
use crate::ami::instance::Instance;
use crate::backoff::{Jitter, grown};
use crate::channel::Post;

mod durable;
mod failed;
mod note;

pub(super) use durable::Accepted;
pub use durable::Memo;
use durable::{Kept, WebhookId};
use failed::Failures;
pub use failed::Standing;
pub use note::Note;

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
    /// How many posts were taken in.
    accepted: u64,
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
    /// The CRM's last word was that it takes posts.
    is_proven: bool,
    /// How often in a row no answer came.
    failures_in_row: u32,
    jitter: Jitter,
    dropped: u64,
    failures: Failures,
    /// What is on disk is still wanted after 410, by a salara that is started again.
    is_durable: bool,
    /// The last post that is on disk: order on disk is order of acceptance.
    stored_to: PostId,
    /// Posts on disk that are wanted no more, by their numbers there.
    done: VecDeque<u64>,
    notes: VecDeque<Note>,
}

#[derive(Debug)]
struct Item {
    webhook_id: WebhookId,
    call: Box<str>,
    body: Box<str>,
    since: Instant,
    /// When it is given up.
    until: Instant,
    attempts: u32,
    kept: Kept,
}

/// Whether the endpoint is tried at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// It did not answer, or wants to be left alone.
    Resting {
        until: Instant,
        /// It said so itself.
        is_asked: bool,
    },
    /// One post finds out.
    Probing,
    /// It said that it is gone for good.
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
            accepted: 0,
            items: BTreeMap::new(),
            bytes: 0,
            lines: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            gate: Gate::Open,
            is_proven: false,
            failures_in_row: 0,
            jitter: Jitter::new(seed),
            dropped: 0,
            failures: Failures::default(),
            is_durable: false,
            stored_to: PostId(0),
            done: VecDeque::new(),
            notes: VecDeque::new(),
        }
    }

    /// Takes a post in.
    pub fn push(&mut self, post: Post, now: Instant) {
        let accepted = self.accept(post, now);
        self.enter(accepted);
    }

    fn insert(&mut self, item: Item) -> PostId {
        self.next_id += 1;
        let id = PostId(self.next_id);
        self.bytes += item.body.len();
        let line = self.lines.entry(line_of(&item, self.parallel).into());
        let line = line.or_default();
        line.push_back(id);
        if line.len() == 1 {
            self.ready.insert(id);
        }
        self.items.insert(id, item);
        id
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
        Some(Delivery {
            id,
            webhook_id: item.webhook_id.spell(&self.instance),
            content_type: JSON,
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
                self.try_later(id, now);
            }
            Outcome::Answered {
                status: 429 | 503,
                retry_after: Some(wait),
                ..
            } => {
                self.rest(Some(*wait), &outcome.to_string(), now);
                self.try_again(id, Duration::ZERO, now);
            }
            Outcome::Answered { status: 410, .. } => self.gone(id, now),
            Outcome::Answered { status, .. } => {
                match status {
                    200..=299 => {
                        self.is_proven = true;
                        self.finish(id);
                    }
                    408 | 425 | 429 | 500..=599 => self.try_later(id, now),
                    _ => {
                        let said = outcome.to_string();
                        if let Some(item) = self.items.get(&id) {
                            self.notes.push_back(Note::Refused {
                                said: said.clone(),
                                call: item.call.clone(),
                                body: item.body.clone(),
                            });
                        }
                        self.fail(id, said);
                    }
                }
                self.answered();
            }
        }
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Gate::Resting { until, .. } = self.gate
            && until <= now
        {
            self.gate = Gate::Probing;
        }
        while let Some((at, id)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            let too_old = |item: &Item| item.until <= now;
            if self.items.get(&id).is_some_and(too_old) {
                if let Some(item) = self.items.get(&id) {
                    self.notes.push_back(Note::GivenUp {
                        call: item.call.clone(),
                        body: item.body.clone(),
                    });
                }
                self.fail(id, "tried for as long as retry_for allows".to_owned());
            } else {
                self.ready.insert(id);
            }
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gate = match self.gate {
            Gate::Resting { until, .. } => Some(until),
            Gate::Open | Gate::Probing | Gate::Gone => None,
        };
        let retry = self.waiting.first().map(|(at, _)| *at);
        gate.into_iter().chain(retry).min()
    }

    /// Posts are tried again, whatever the CRM has said: a person has seen to it, or it is another
    /// CRM now.
    pub fn reopen(&mut self) {
        self.gate = match self.gate {
            Gate::Gone => Gate::Open,
            Gate::Resting { .. } => Gate::Probing,
            gate @ (Gate::Open | Gate::Probing) => gate,
        };
    }

    pub(super) fn configure(&mut self, parallel: usize, retry_for: Duration) {
        self.retry_for = retry_for;
        if (parallel == 1) == (self.parallel == 1) {
            self.parallel = parallel;
        }
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
        self.failures_in_row = 0;
        match self.gate {
            // What was on its way already does not unsay what the CRM asked for.
            Gate::Open | Gate::Gone | Gate::Resting { is_asked: true, .. } => {}
            Gate::Probing | Gate::Resting { .. } => {
                self.gate = Gate::Open;
                let waiting = self.items.len();
                self.notes.push_back(Note::Back { waiting });
            }
        }
    }

    /// The endpoint rests: nothing is tried until it is over, and then one post first.
    fn rest(&mut self, wanted: Option<Duration>, why: &str, now: Instant) {
        self.is_proven = false;
        if self.gate == Gate::Open {
            let why = why.to_owned();
            self.notes.push_back(Note::Resting { why });
        }
        let wanted = wanted.map(|wanted| wanted.min(MAX_RETRY_AFTER));
        self.gate = match (self.gate, wanted) {
            (Gate::Gone, _) => return,
            // Posts that were on their way together fail together: that is one failure.
            (Gate::Resting { .. }, None) => return,
            (Gate::Resting { until, .. }, Some(wanted)) => Gate::Resting {
                until: until.max(now + wanted),
                is_asked: true,
            },
            (Gate::Open | Gate::Probing, wanted) => {
                self.failures_in_row = self.failures_in_row.saturating_add(1);
                let own = self.jitter.spread(grown(FIRST, self.failures_in_row, CAP));
                Gate::Resting {
                    until: now + wanted.map_or(own, |wanted| wanted.max(own)),
                    is_asked: wanted.is_some(),
                }
            }
        };
    }

    fn try_later(&mut self, id: PostId, now: Instant) {
        let attempts = self.items.get(&id).map_or(1, |item| item.attempts);
        let wait = self.jitter.spread(grown(FIRST, attempts, CAP));
        self.try_again(id, wait, now);
    }

    fn try_again(&mut self, id: PostId, wait: Duration, now: Instant) {
        if self
            .items
            .get(&id)
            .is_some_and(|item| item.kept == Kept::Dropped)
        {
            self.finish(id);
            return self.count_dropped();
        }
        self.waiting.insert((now + wait, id));
    }

    /// Takes a post out and lets the next of its call through.
    fn finish(&mut self, id: PostId) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.bytes -= item.body.len();
        if let Kept::Disk(number) = item.kept {
            self.done.push_back(number);
        }
        let key = line_of(&item, self.parallel);
        let Some(line) = self.lines.get_mut(key) else {
            return;
        };
        // It is the first or, when the oldest is dropped, right behind the first.
        if let Some(at) = line.iter().position(|other| *other == id) {
            line.remove(at);
        }
        match line.front() {
            Some(first) if !self.in_flight.contains(first) => {
                self.ready.insert(*first);
            }
            Some(_) => {}
            None => {
                self.lines.remove(key);
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
        self.take_out(oldest);
        self.count_dropped();
        true
    }

    /// Ends a post that is not on its way.
    fn take_out(&mut self, id: PostId) {
        self.ready.remove(&id);
        self.waiting.retain(|(_, other)| *other != id);
        self.finish(id);
    }

    fn count_dropped(&mut self) {
        self.count_dropped_by(1);
    }

    pub(super) fn count_dropped_by(&mut self, count: u64) {
        let said = self.dropped.checked_ilog2();
        self.dropped += count;
        if self.dropped.checked_ilog2() != said {
            self.notes.push_back(Note::Dropped {
                count: self.dropped,
            });
        }
    }

    fn gone(&mut self, id: PostId, now: Instant) {
        let lost = if self.is_durable {
            self.try_again(id, Duration::ZERO, now);
            0
        } else {
            self.clear()
        };
        if self.gate != Gate::Gone {
            self.gate = Gate::Gone;
            self.notes.push_back(Note::Gone { lost });
        }
    }

    /// Drops everything, and tells how much that was.
    fn clear(&mut self) -> usize {
        let count = self.items.len();
        self.items.clear();
        self.lines.clear();
        self.ready.clear();
        self.waiting.clear();
        self.in_flight.clear();
        self.bytes = 0;
        self.dropped += count as u64;
        count
    }
}

/// What the post keeps its order in: with `parallel=1` all posts are in one line.
fn line_of(item: &Item, parallel: usize) -> &str {
    if parallel == 1 { "" } else { &item.call }
}

#[cfg(test)]
mod tests;
