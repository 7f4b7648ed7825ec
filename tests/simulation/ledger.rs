//! What became of every post. It knows each by its body, for no two are equal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use salara::channel::Post;
use salara::crm::Delivery;

/// A post.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) call: Box<str>,
    pub(crate) accepted: Instant,
    bytes: usize,
    pub(crate) state: State,
    /// Its place among all posts: that of its event, until it is wanted again after its end.
    order: usize,
    /// Not to be tried again before.
    pub(crate) not_before: Option<Instant>,
    webhook_id: Option<Box<str>>,
    /// Its end was forgotten with a run that was killed.
    is_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is owed to the CRM. With a disk it may have been dropped: it is only known how many were.
    Owed,
    Delivered,
    Refused,
    GivenUp,
    /// It had to make room, or the CRM was gone for good.
    Dropped,
    /// It was in memory alone when salara was killed, or dropped before that.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    by_body: HashMap<Box<str>, usize>,
    by_webhook_id: HashMap<Box<str>, usize>,
    next: usize,
    /// What is owed, in order.
    owed: BTreeMap<usize, usize>,
    bytes: usize,
    /// Those in this run of which it is known that they were dropped.
    dropped: u64,
    /// The last post of each line that was sent in this run.
    sent: HashMap<Box<str>, usize>,
    /// The last post of each call that the CRM took for the first time.
    taken: HashMap<Box<str>, usize>,
}

impl Ledger {
    pub(crate) fn accept(&mut self, post: &Post, now: Instant) {
        let index = self.entries.len();
        let known = self.by_body.insert(post.body.clone(), index);
        assert_eq!(
            known, None,
            "two events make equal posts: {:.150}",
            post.body
        );
        self.next += 1;
        self.owed.insert(self.next, index);
        self.bytes += post.body.len();
        self.entries.push(Entry {
            call: post.call.clone(),
            accepted: now,
            bytes: post.body.len(),
            state: State::Owed,
            order: self.next,
            not_before: None,
            webhook_id: None,
            is_back: false,
        });
    }

    /// How many are owed, those that were dropped in this run among them.
    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// A post that failed is wanted again, behind all others.
    pub(crate) fn renew(&mut self, body: &str, now: Instant) {
        let index = self.find(body);
        let entry = &mut self.entries[index];
        let has_failed = matches!(entry.state, State::Refused | State::GivenUp);
        assert!(has_failed, "CONSERVED: {body} has not failed");
        self.next += 1;
        self.owed.insert(self.next, index);
        self.bytes += entry.bytes;
        entry.accepted = now;
        entry.state = State::Owed;
        entry.order = self.next;
        entry.not_before = None;
        entry.is_back = true;
    }

    /// The bytes of their bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A post of an earlier run was found late: others may have gone before.
    pub(crate) fn put_behind(&mut self, body: &str) {
        let index = self.find(body);
        let entry = &mut self.entries[index];
        assert_eq!(entry.state, State::Owed, "CONSERVED: found after its end");
        self.owed.remove(&entry.order);
        self.next += 1;
        self.owed.insert(self.next, index);
        entry.order = self.next;
        entry.is_back = true;
    }

    /// How many were dropped in this run, as far as it is known which.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn drop_oldest(&mut self, flying: &[usize]) {
        let oldest = self.owed.values().find(|index| !flying.contains(index));
        self.drop(*oldest.expect("CONSERVED: none to drop"));
    }

    pub(crate) fn drop_all(&mut self) -> usize {
        let all: Vec<usize> = self.owed.values().copied().collect();
        all.iter().for_each(|index| self.drop(*index));
        all.len()
    }

    fn drop(&mut self, index: usize) {
        self.end(index, State::Dropped);
        self.dropped += 1;
    }

    pub(crate) fn find(&self, body: &str) -> usize {
        let index = self.by_body.get(body);
        *index.unwrap_or_else(|| panic!("CONSERVED: {body:.150} is no event"))
    }

    /// A post is sent. These are on their way already, and so many were dropped in this run.
    pub(crate) fn send(
        &mut self,
        delivery: &Delivery,
        flying: &[usize],
        parallel: usize,
        dropped: u64,
    ) -> usize {
        let index = self.find(&delivery.body);
        let line = |index: usize| match parallel {
            1 => Box::default(),
            _ => self.entries[index].call.clone(),
        };
        let mine = line(index);
        let entry = &self.entries[index];
        assert_eq!(
            entry.state,
            State::Owed,
            "CONSERVED: sent after its end: {:.150}",
            delivery.body
        );
        for other in flying {
            assert_ne!(line(*other), mine, "ONE_AT_A_TIME: {:.150}", delivery.body);
        }
        let order = entry.order;
        if let Some(last) = self.sent.insert(mine, order) {
            assert!(last <= order, "ORDER: {:.150} is late", delivery.body);
            if let Some(before) = self.owed.get(&last).filter(|_| last != order) {
                // Then it was dropped.
                self.drop(*before);
                assert!(
                    self.dropped <= dropped,
                    "ORDER: {:.150} overtakes",
                    delivery.body
                );
            }
        }
        let owner = self
            .by_webhook_id
            .insert(delivery.webhook_id.clone(), index);
        assert!(
            owner.is_none_or(|owner| owner == index),
            "NAMED: {} twice",
            delivery.webhook_id
        );
        let entry = &mut self.entries[index];
        let name = entry
            .webhook_id
            .get_or_insert_with(|| delivery.webhook_id.clone());
        assert_eq!(
            *name, delivery.webhook_id,
            "NAMED: {:.150} anew",
            delivery.body
        );
        index
    }

    /// The CRM took it.
    pub(crate) fn delivered(&mut self, index: usize) {
        self.end(index, State::Delivered);
        let Entry {
            call,
            is_back,
            order,
            ..
        } = &self.entries[index];
        if !is_back {
            let before = self.taken.insert(call.clone(), *order);
            assert!(
                before.is_none_or(|before| before < *order),
                "ORDER: at the CRM"
            );
        }
    }

    pub(crate) fn end(&mut self, index: usize, state: State) {
        let entry = &mut self.entries[index];
        assert_eq!(entry.state, State::Owed, "CONSERVED: it ends twice");
        entry.state = state;
        self.bytes -= entry.bytes;
        self.owed.remove(&entry.order);
    }

    /// A new run begins, which knows what is on disk and nothing else. Tells how many that were owed
    /// are not there.
    pub(crate) fn begin_again<'a>(&mut self, on_disk: impl Iterator<Item = &'a str>) -> usize {
        let on_disk: HashSet<usize> = on_disk.map(|body| self.find(body)).collect();
        self.sent.clear();
        self.owed.clear();
        (self.bytes, self.dropped) = (0, 0);
        let mut lost = 0;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            entry.not_before = None;
            if on_disk.contains(&index) {
                entry.is_back |= entry.state != State::Owed;
                entry.state = State::Owed;
                self.owed.insert(entry.order, index);
                self.bytes += entry.bytes;
            } else if entry.state == State::Owed {
                entry.state = State::Lost;
                lost += 1;
            }
        }
        lost
    }
}
