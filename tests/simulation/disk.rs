//! A disk that may refuse, and forgets what was not written when the lights go out.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use salara::channel::Post;
use salara::crm::backlog::{Backlog, REFUSED, Unstored};

use super::random::Random;

/// Posts of one file.
const FILE: u64 = 16;
/// What a record takes beside its body.
const HEAD: usize = 100;
/// What was written is safe from a loss of power after this.
const SYNC: Duration = Duration::from_secs(1);

/// The spool as a list.
pub(crate) struct Disk {
    random: Random,
    began: Instant,
    max: usize,
    next: u64,
    records: VecDeque<Record>,
    bytes: usize,
    /// Numbers that are done and not written down as that yet.
    done: Vec<u64>,
    /// Percents of writes that are refused. With all of them it cannot be opened either.
    pub(crate) refusal: usize,
    is_open: bool,
    /// When it is tried to open it again.
    open_at: Option<Instant>,
    /// It had to drop what was not done.
    pub(crate) overflows: u64,
}

/// A post as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    number: u64,
    webhook_id: Box<str>,
    call: Box<str>,
    pub(crate) body: Box<str>,
    accepted: u64,
    written: Instant,
    /// It is in memory too, or was.
    is_passed: bool,
    is_done: bool,
    /// That it is done would survive.
    is_done_for_good: bool,
}

struct Refused;

impl Disk {
    pub(crate) fn new(random: Random, max: usize, now: Instant) -> Self {
        Self {
            random,
            began: now,
            max,
            next: FILE,
            records: VecDeque::new(),
            bytes: 0,
            done: Vec::new(),
            refusal: 0,
            is_open: true,
            open_at: None,
            overflows: 0,
        }
    }

    /// What waits on it.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| !record.is_done)
    }

    /// Whether all that is done would survive as that.
    pub(crate) fn is_written(&self) -> bool {
        self.done.is_empty()
    }

    fn unread(&self) -> u64 {
        self.waiting().filter(|record| !record.is_passed).count() as u64
    }

    /// Everything ends at once; with the power also what was written in the last second.
    pub(crate) fn crash(&mut self, power: bool, backlog: &mut Backlog, now: Instant) {
        self.done.clear();
        if power {
            self.records.retain(|record| record.written + SYNC <= now);
        }
        for record in &mut self.records {
            record.is_done = record.is_done_for_good;
            record.is_passed = record.is_done;
        }
        self.records.retain(|record| !record.is_done);
        self.bytes = self.records.iter().map(Record::bytes).sum();
        // No file is written on.
        self.next = (self.next / FILE + 1) * FILE;
        backlog.add_disk(0);
        self.is_open = false;
        if self.refusal == 100 {
            backlog.handle_refused(now);
            self.open_at = Some(now + REFUSED);
        } else {
            self.open(backlog);
        }
    }

    /// How many posts are on it that nobody knows of before it can be opened.
    pub(crate) fn unknown(&self) -> usize {
        if self.is_open {
            0
        } else {
            self.waiting().count()
        }
    }

    fn open(&mut self, backlog: &mut Backlog) {
        (self.is_open, self.open_at) = (true, None);
        backlog.add_disk(self.unread());
        backlog.handle_written();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.open_at
    }

    /// Brings posts back into memory, as far as there is room.
    pub(crate) fn refill(&mut self, backlog: &mut Backlog, now: Instant) -> usize {
        let mut count = 0;
        if !backlog.wants_refill() {
            return count;
        }
        while backlog.can_refill() {
            let clock = self.clock(now);
            let next = self.records.iter_mut().find(|record| !record.is_passed);
            let Some(record) = next else {
                panic!("CONSERVED: less on disk than was written");
            };
            record.is_passed = true;
            let post = Post {
                call: record.call.clone(),
                body: record.body.clone(),
            };
            let age = Duration::from_secs(clock.saturating_sub(record.accepted));
            backlog.restore(record.number, record.webhook_id.clone(), post, age, now);
            count += 1;
        }
        count
    }

    /// Writes down what is to be: posts that wait, then what is done.
    pub(crate) fn store(&mut self, everything: bool, backlog: &mut Backlog, now: Instant) {
        let is_missing = self.open_at.is_some_and(|at| at <= now);
        let wants_store = everything || is_missing || backlog.wants_store(now);
        let written = if wants_store {
            self.write(backlog, now)
        } else {
            Ok(())
        };
        let written = written.and_then(|()| self.mark_done(backlog, now));
        if written.is_err() {
            backlog.handle_refused(now);
            self.open_at = (!self.is_open).then_some(now + REFUSED);
        }
    }

    fn write(&mut self, backlog: &mut Backlog, now: Instant) -> Result<(), Refused> {
        if !self.is_open {
            if self.random.percent(self.refusal) {
                return Err(Refused);
            }
            self.open(backlog);
        }
        while self.is_open
            && let Some(unstored) = backlog.poll_unstored()
        {
            let (kept, memo) = match unstored {
                Unstored::Kept(id, memo) => (Some(id), memo),
                Unstored::Passed(memo) => (None, memo),
            };
            let age = now.saturating_duration_since(memo.since).as_secs();
            let record = Record {
                number: self.next,
                webhook_id: memo.webhook_id,
                call: memo.call.into(),
                body: memo.body.into(),
                accepted: self.clock(now).saturating_sub(age),
                written: now,
                is_passed: kept.is_some(),
                is_done: false,
                is_done_for_good: false,
            };
            if self.random.percent(self.refusal) {
                return Err(Refused);
            }
            self.next += 1;
            self.bytes += record.bytes();
            let number = record.number;
            self.records.push_back(record);
            let dropped = self.make_room();
            backlog.handle_stored(kept, number);
            for (before, unread) in dropped {
                backlog.handle_dropped(before, unread);
            }
        }
        Ok(())
    }

    fn mark_done(&mut self, backlog: &mut Backlog, now: Instant) -> Result<(), Refused> {
        while self.is_open
            && let Some(number) = backlog.poll_done()
        {
            let at = self
                .records
                .partition_point(|record| record.number < number);
            let record = self
                .records
                .get_mut(at)
                .filter(|record| record.number == number);
            // What had to make room is done with anyway.
            let Some(record) = record else { continue };
            assert!(!record.is_done, "CONSERVED: done twice");
            record.is_done = true;
            self.done.push(number);
            self.reap();
        }
        if backlog.may_write(now) && !self.done.is_empty() {
            if self.random.percent(self.refusal) {
                return Err(Refused);
            }
            let done: BTreeSet<u64> = self.done.drain(..).collect();
            for record in &mut self.records {
                record.is_done_for_good |= done.contains(&record.number);
            }
            backlog.handle_written();
        }
        Ok(())
    }

    /// The oldest files go while nothing in them is wanted.
    fn reap(&mut self) {
        while let Some(first) = self.records.front()
            && let file = first.number / FILE
            && self.in_file(file).all(|record| record.is_done)
        {
            self.delete(file);
        }
    }

    /// The oldest files go, wanted or not, until there is room. Tells what was in them.
    fn make_room(&mut self) -> Vec<(u64, u64)> {
        let mut dropped = Vec::new();
        while self.bytes > self.max
            && let Some(first) = self.records.front()
            && let file = first.number / FILE
            && self
                .records
                .back()
                .is_some_and(|last| last.number / FILE != file)
        {
            let unread = self
                .in_file(file)
                .filter(|record| !record.is_passed)
                .count();
            self.overflows += self.in_file(file).filter(|record| !record.is_done).count() as u64;
            self.delete(file);
            dropped.push(((file + 1) * FILE, unread as u64));
            self.reap();
        }
        dropped
    }

    fn in_file(&self, file: u64) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .take_while(move |record| record.number / FILE == file)
    }

    fn delete(&mut self, file: u64) {
        while let Some(record) = self
            .records
            .front()
            .filter(|first| first.number / FILE == file)
        {
            self.bytes -= record.bytes();
            self.records.pop_front();
        }
        self.done.retain(|number| number / FILE != file);
    }

    /// Seconds, as the clock on the wall has them.
    fn clock(&self, now: Instant) -> u64 {
        (now - self.began).as_secs() + 1_000
    }
}

impl Record {
    fn bytes(&self) -> usize {
        self.body.len() + HEAD
    }
}
