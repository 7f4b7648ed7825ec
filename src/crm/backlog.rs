//! What waits in memory and what waits on disk.
//!
//! This file owns when a post is stored and when it is taken back into memory. It must not know
//! files: it says what is to be written and is told what was.
//!
//! The surprising fact: a CRM that keeps up costs no disk at all. What cannot go out at once is
//! stored at once, unless the CRM has just taken others and few wait: those have a quarter of a
//! second. Else each call would be written, for its events come in bursts and go one by one. With a
//! post every post before it is stored, those on their way too, so that the order on disk is the
//! order of acceptance and the disk has no holes.
//!
//! ```text
//! push ──► queue, a window of the oldest posts ──► workers      no post on disk only: straight in
//!   │        ▲            │ stored too, where the CRM is slow
//!   ▼        │ read back  ▼
//!  tail ──► disk, all posts behind the window                   the tail waits to be written
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::queue::{Accepted, MAX_BYTES, MAX_POSTS, Memo, Note, Queue, Standing};
use super::{Delivery, Outcome, PostId};
use crate::channel::Post;

/// A CRM that takes a post within this keeps up.
const GRACE: Duration = Duration::from_millis(250);
/// More posts than this are not left to such a CRM's good name.
const CROWD: usize = 64;
/// A disk that refused is asked again after this.
pub const REFUSED: Duration = Duration::from_secs(10);

/// The queue, and the disk behind it if there is one.
#[derive(Debug)]
pub struct Backlog {
    queue: Queue,
    disk: Option<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    /// Posts that are nowhere else.
    unread: u64,
    /// Posts that go behind those.
    tail: VecDeque<Accepted>,
    tail_bytes: usize,
    /// It does not take any more, and when it is asked again.
    refused_until: Option<Instant>,
}

/// A post to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unstored<'a> {
    /// It stays in memory too.
    Kept(PostId, Memo<'a>),
    /// It will be wanted back.
    Passed(Memo<'a>),
}

impl Backlog {
    /// One that is in memory alone.
    pub fn new(queue: Queue) -> Self {
        Self { queue, disk: None }
    }

    /// Puts a disk behind it on which so many posts wait.
    pub fn add_disk(&mut self, unread: u64) {
        self.queue.make_durable();
        self.disk.get_or_insert_default().unread += unread;
    }

    /// Takes a post in.
    pub fn push(&mut self, post: Post, now: Instant) {
        let accepted = self.queue.accept(post, now);
        self.take_in(accepted);
    }

    /// Tries failed posts again; returns how many there are.
    pub fn replay(&mut self, now: Instant) -> usize {
        let failed = self.queue.take_failed(now);
        let count = failed.len();
        for accepted in failed {
            self.take_in(accepted);
        }
        count
    }

    fn take_in(&mut self, accepted: Accepted) {
        let Some(disk) = &mut self.disk else {
            return self.queue.enter(accepted);
        };
        let is_behind = disk.unread > 0 || !disk.tail.is_empty();
        let is_full = !self.queue.has_room() && disk.refused_until.is_none();
        if !is_behind && !is_full {
            return self.queue.enter(accepted);
        }
        disk.tail_bytes += accepted.bytes();
        disk.tail.push_back(accepted);
        while disk.tail.len() > MAX_POSTS || disk.tail_bytes > MAX_BYTES {
            let oldest = disk.tail.pop_front();
            disk.tail_bytes -= oldest.map_or(0, |oldest| oldest.bytes());
            self.queue.count_dropped_by(1);
        }
    }

    /// A post to be made now, if there is one and it may be.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.queue.poll_delivery()
    }

    /// An attempt has ended.
    pub fn handle_outcome(&mut self, id: PostId, outcome: &Outcome, now: Instant) {
        self.queue.handle_outcome(id, outcome, now);
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.queue.handle_timeout(now);
    }

    /// Posts are tried again, whatever the CRM has said: 410, or to be left alone.
    pub fn reopen(&mut self) {
        self.queue.reopen();
    }

    /// When `handle_timeout` or `wants_store` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue
            .poll_timeout()
            .into_iter()
            .chain(self.store_at())
            .min()
    }

    /// What is to be told; drain it after every call.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.queue.poll_note()
    }

    /// How things stand.
    pub fn standing(&self, now: Instant) -> Standing {
        Standing {
            waiting: self.len(),
            in_memory: self.unstored_len(),
            ..self.queue.standing(now)
        }
    }

    /// What failed, the oldest first: why, and the body.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.queue.failed()
    }

    /// How long posts that come from now on are tried, and how many travel at a time. It cannot
    /// become one, or cease to be: then all posts would have to change lines.
    pub fn configure(&mut self, parallel: usize, retry_for: Duration) {
        self.queue.configure(parallel, retry_for);
    }

    /// How many posts wait or are on their way, wherever they are.
    pub fn len(&self) -> u64 {
        let disk = self.disk.as_ref();
        let beside = disk.map_or(0, |disk| disk.unread + disk.tail.len() as u64);
        beside + self.queue.len() as u64
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// How many of them are in memory alone.
    pub fn unstored_len(&self) -> u64 {
        let tail = self.disk.as_ref().map_or(0, |disk| disk.tail.len());
        (self.queue.unstored_len() + tail) as u64
    }

    /// Whether posts are to be written down now. Ask when all that can be handed out is.
    pub fn wants_store(&self, now: Instant) -> bool {
        let Some(disk) = &self.disk else { return false };
        match disk.refused_until {
            Some(until) if now < until => false,
            Some(_) => self.poll_unstored().is_some(),
            None => {
                let due = |since: Instant| since + GRACE <= now || self.is_urgent();
                !disk.tail.is_empty() || self.queue.unstored_since().is_some_and(due)
            }
        }
    }

    /// The next post to be written down: in order, those on their way included.
    pub fn poll_unstored(&self) -> Option<Unstored<'_>> {
        let disk = self.disk.as_ref()?;
        match self.queue.unstored() {
            Some((id, memo)) => Some(Unstored::Kept(id, memo)),
            None => {
                let next = disk.tail.front()?;
                Some(Unstored::Passed(self.queue.memo(next)))
            }
        }
    }

    /// That post is on disk, by this number; `kept` is the id it was given with.
    pub fn handle_stored(&mut self, kept: Option<PostId>, number: u64) {
        let Some(disk) = &mut self.disk else { return };
        disk.refused_until = None;
        match kept {
            Some(id) => self.queue.mark_stored(id, number),
            None => {
                let oldest = disk.tail.pop_front();
                disk.tail_bytes -= oldest.map_or(0, |oldest| oldest.bytes());
                disk.unread += 1;
            }
        }
    }

    /// The disk took what it was asked to.
    pub fn handle_written(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.refused_until = None;
        }
    }

    /// The disk did not. Until it does, posts are in memory alone.
    pub fn handle_refused(&mut self, now: Instant) {
        if let Some(disk) = &mut self.disk {
            disk.refused_until = Some(now + REFUSED);
        }
        self.settle();
    }

    /// Whether the disk may be asked to take something.
    pub fn may_write(&self, now: Instant) -> bool {
        let disk = self.disk.as_ref();
        disk.is_some_and(|disk| disk.refused_until.is_none_or(|until| until <= now))
    }

    /// Whether posts are to be read back now.
    pub fn wants_refill(&self) -> bool {
        self.can_refill() && self.queue.has_much_room()
    }

    /// Whether one more may be.
    pub fn can_refill(&self) -> bool {
        // What is in memory alone is to be stored first, or order would be lost.
        self.disk.as_ref().is_some_and(|disk| disk.unread > 0)
            && self.queue.unstored_since().is_none()
            && self.queue.has_room()
            && !self.queue.is_gone()
    }

    /// A post is back: its number on disk, its name, and how long ago it was taken in.
    pub fn restore(
        &mut self,
        number: u64,
        webhook_id: Box<str>,
        post: Post,
        age: Duration,
        now: Instant,
    ) {
        if let Some(disk) = &mut self.disk {
            disk.unread = disk.unread.saturating_sub(1);
        }
        self.queue.restore(number, webhook_id, post, age, now);
        self.settle();
    }

    /// There is nothing to be read back, whatever was said before.
    pub fn handle_exhausted(&mut self) {
        if let Some(disk) = &mut self.disk {
            self.queue.count_dropped_by(disk.unread);
            disk.unread = 0;
        }
        self.settle();
    }

    /// All with a smaller number had to make room, `unread` of which were on disk only.
    pub fn handle_dropped(&mut self, before: u64, unread: u64) {
        if let Some(disk) = &mut self.disk {
            disk.unread = disk.unread.saturating_sub(unread);
        }
        self.queue.drop_before(before);
        self.queue.count_dropped_by(unread);
    }

    /// A number that is not wanted on disk any more.
    pub fn poll_done(&mut self) -> Option<u64> {
        self.queue.poll_done()
    }

    /// Whether posts are better on disk at once.
    fn is_urgent(&self) -> bool {
        let is_crowded = |count| !self.queue.is_proven() || count > CROWD;
        self.queue.is_in_trouble() || self.queue.crowd().is_some_and(is_crowded)
    }

    /// A tail that cannot be written and has nothing before it is let in.
    fn settle(&mut self) {
        let Some(disk) = &mut self.disk else { return };
        if disk.refused_until.is_some() && disk.unread == 0 {
            disk.tail_bytes = 0;
            for accepted in disk.tail.drain(..) {
                self.queue.enter(accepted);
            }
        }
    }

    fn store_at(&self) -> Option<Instant> {
        let disk = self.disk.as_ref()?;
        let since = self.queue.unstored_since();
        match disk.refused_until {
            Some(until) if since.is_some() || !disk.tail.is_empty() => Some(until),
            Some(_) => None,
            None => since.map(|since| since + GRACE),
        }
    }
}

#[cfg(test)]
mod tests;
