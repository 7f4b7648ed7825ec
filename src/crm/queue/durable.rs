//! The part of the queue that knows of a disk.
//!
//! This file owns which posts are on disk too, and what that changes. It must not know files, or
//! when a post is to be stored: `backlog` decides that.
//!
//! The surprising fact: the posts on disk are always the oldest ones. One number, the last post that
//! was stored, tells of each whether it is.

use std::ops::Bound;
use std::time::{Duration, Instant};

use super::{Gate, Item, MAX_BYTES, MAX_POSTS, Queue};
use crate::ami::instance::Instance;
use crate::channel::Post;
use crate::crm::PostId;

/// With a disk behind it, no more posts than this are in memory.
pub(in crate::crm) const WINDOW: usize = 1_024;
/// Nor more bytes of bodies.
const WINDOW_BYTES: usize = 512 * 1024;

/// Where a post is beside memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nowhere.
    Memory,
    /// On disk, by this number.
    Disk(u64),
    /// It had to make room there while it was on its way, and is not tried again.
    Dropped,
}

/// How a post is called at every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WebhookId {
    /// By what this run has counted.
    Own(u64),
    /// As an earlier run has called it.
    Restored(Box<str>),
}

/// A post that has a name and is in no line yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::crm) struct Accepted {
    pub(super) webhook_id: WebhookId,
    pub(super) call: Box<str>,
    pub(super) body: Box<str>,
    pub(super) since: Instant,
}

/// What is written down of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo<'a> {
    /// Its `webhook-id`.
    pub webhook_id: Box<str>,
    /// What keeps the events of one call in order.
    pub call: &'a str,
    /// The JSON.
    pub body: &'a str,
    /// When it was taken in.
    pub since: Instant,
}

impl WebhookId {
    pub(super) fn spell(&self, instance: &Instance) -> Box<str> {
        match self {
            Self::Own(serial) => format!("{instance}-e{serial}").into(),
            Self::Restored(id) => id.clone(),
        }
    }
}

impl Accepted {
    /// How many bytes its body has.
    pub(in crate::crm) fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Queue {
    /// From now on posts may be on disk.
    pub(in crate::crm) fn make_durable(&mut self) {
        self.is_durable = true;
    }

    /// Gives a post its name.
    pub(in crate::crm) fn accept(&mut self, post: Post, now: Instant) -> Accepted {
        self.accepted += 1;
        Accepted {
            webhook_id: WebhookId::Own(self.accepted),
            call: post.call,
            body: post.body,
            since: now,
        }
    }

    /// Lets a post in, behind all others.
    pub(in crate::crm) fn enter(&mut self, accepted: Accepted) {
        let is_unwanted = self.gate == Gate::Gone && !self.is_durable;
        if is_unwanted || accepted.bytes() > MAX_BYTES {
            return self.count_dropped();
        }
        while self.items.len() >= MAX_POSTS || self.bytes + accepted.bytes() > MAX_BYTES {
            if !self.drop_oldest() {
                return self.count_dropped();
            }
        }
        self.insert(Item {
            webhook_id: accepted.webhook_id,
            call: accepted.call,
            body: accepted.body,
            since: accepted.since,
            until: accepted.since + self.retry_for,
            attempts: 0,
            kept: Kept::Memory,
        });
    }

    /// Lets a post in that is on disk by this number and was taken in `age` ago.
    pub(in crate::crm) fn restore(
        &mut self,
        number: u64,
        webhook_id: Box<str>,
        post: Post,
        age: Duration,
        now: Instant,
    ) {
        self.stored_to = self.insert(Item {
            webhook_id: WebhookId::Restored(webhook_id),
            call: post.call,
            body: post.body,
            since: now.checked_sub(age).unwrap_or(now),
            until: now + self.retry_for.saturating_sub(age),
            attempts: 0,
            kept: Kept::Disk(number),
        });
    }

    /// Whether one more post may be in memory while the disk takes what may not.
    pub(in crate::crm) fn has_room(&self) -> bool {
        self.items.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    /// Whether half of that room is free.
    pub(in crate::crm) fn has_much_room(&self) -> bool {
        self.items.len() <= WINDOW / 2 && self.bytes <= WINDOW_BYTES / 2
    }

    /// The oldest post that is not on disk.
    pub(in crate::crm) fn unstored(&self) -> Option<(PostId, Memo<'_>)> {
        let behind = (Bound::Excluded(self.stored_to), Bound::Unbounded);
        let (id, item) = self.items.range(behind).next()?;
        let memo = Memo {
            webhook_id: item.webhook_id.spell(&self.instance),
            call: &item.call,
            body: &item.body,
            since: item.since,
        };
        Some((*id, memo))
    }

    /// When that one was taken in.
    pub(in crate::crm) fn unstored_since(&self) -> Option<Instant> {
        let behind = (Bound::Excluded(self.stored_to), Bound::Unbounded);
        self.items.range(behind).next().map(|(_, item)| item.since)
    }

    /// How many are not on disk.
    pub(in crate::crm) fn unstored_len(&self) -> usize {
        let behind = (Bound::Excluded(self.stored_to), Bound::Unbounded);
        self.items.range(behind).count()
    }

    /// The post is on disk now, by this number.
    pub(in crate::crm) fn mark_stored(&mut self, id: PostId, number: u64) {
        self.stored_to = id;
        if let Some(item) = self.items.get_mut(&id) {
            item.kept = Kept::Disk(number);
        }
    }

    /// How a post that is in no line would be written down.
    pub(in crate::crm) fn memo<'a>(&self, accepted: &'a Accepted) -> Memo<'a> {
        Memo {
            webhook_id: accepted.webhook_id.spell(&self.instance),
            call: &accepted.call,
            body: &accepted.body,
            since: accepted.since,
        }
    }

    /// A number that is not wanted on disk any more.
    pub(in crate::crm) fn poll_done(&mut self) -> Option<u64> {
        self.done.pop_front()
    }

    /// Whether the CRM is known not to keep up: it rests, refuses a post that is not on disk, or
    /// has posts before it that are. A single post on disk that waits for its time does not count.
    pub(in crate::crm) fn is_in_trouble(&self) -> bool {
        let is_stored = |id: &PostId| *id <= self.stored_to;
        self.gate != Gate::Open
            || self.ready.first().is_some_and(is_stored)
            || self.in_flight.first().is_some_and(is_stored)
            || self.waiting.iter().any(|(_, id)| !is_stored(id))
    }

    /// Whether posts that are not on disk wait for others, and how many there are with those they
    /// wait for. Only sensible without trouble: then all that are on their way are not on disk.
    pub(in crate::crm) fn crowd(&self) -> Option<usize> {
        Some(self.unstored_len()).filter(|count| *count > self.in_flight.len())
    }

    /// Whether the CRM's last word was that it takes posts.
    pub(in crate::crm) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether nothing is sent any more.
    pub(in crate::crm) fn is_gone(&self) -> bool {
        self.gate == Gate::Gone
    }

    /// All with a smaller number are gone from the disk, and so they are from here.
    pub(in crate::crm) fn drop_before(&mut self, before: u64) {
        let is_old = |item: &Item| matches!(item.kept, Kept::Disk(number) if number < before);
        let old = self.items.iter().filter(|(_, item)| is_old(item));
        let old: Vec<PostId> = old.map(|(id, _)| *id).collect();
        for id in old {
            if self.in_flight.contains(&id) {
                if let Some(item) = self.items.get_mut(&id) {
                    item.kept = Kept::Dropped;
                }
            } else {
                self.take_out(id);
                self.count_dropped();
            }
        }
    }
}
