//! The way of a post to the CRM and what must hold on it.

use std::time::{Duration, Instant};

use salara::ami::instance::Instance;
use salara::channel::Post;
use salara::crm::Outcome;
use salara::crm::backlog::{Backlog, Unstored};
use salara::crm::queue::{MAX_BYTES, MAX_POSTS, Note, Queue};

use super::crm::{Crm, Mood};
use super::disk::Disk;
use super::ledger::{Ledger, State};
use super::random::Random;
use super::seen::{Seen, What};

/// A CRM that takes posts has so long before one is written down, and so many.
const GRACE: Duration = Duration::from_millis(250);
const CROWD: u64 = 64;
/// No second attempt comes sooner.
const PATIENCE: Duration = Duration::from_millis(500);
/// A CRM is left alone for no longer than this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

pub(crate) struct Posts {
    seed: u64,
    parallel: usize,
    retry_for: Duration,
    backlog: Backlog,
    pub(crate) disk: Option<Disk>,
    pub(crate) crm: Crm,
    pub(crate) ledger: Ledger,
    /// Posts whose refusal is to be told.
    refused: Vec<usize>,
    /// It said 410.
    is_gone: bool,
    is_told_resting: bool,
    told_dropped: u64,
    /// It wants nothing before.
    left_alone: Option<Instant>,
    /// It did not answer; nothing is tried before, and then one post alone.
    doubted: Option<Instant>,
    floods: usize,
    pub(crate) seen: Seen,
}

impl Posts {
    pub(crate) fn new(mut random: Random, seed: u64, instance: Instance, now: Instant) -> Self {
        let parallel = random.one_of(&[1, 1, 2, 4, 4, 16]);
        let retry_for = Duration::from_secs(random.one_of(&[10, 300, 86_400]) as u64);
        let max = random.one_of(&[8_000, 64_000, 100_000_000]);
        let disk = random
            .percent(60)
            .then(|| Disk::new(random.split(), max, now));
        let mut posts = Self {
            seed,
            backlog: Backlog::new(Queue::new(instance, parallel, retry_for, seed)),
            parallel,
            retry_for,
            disk,
            crm: Crm::new(random.split()),
            ledger: Ledger::default(),
            refused: Vec::new(),
            is_gone: false,
            is_told_resting: false,
            told_dropped: 0,
            left_alone: None,
            doubted: None,
            floods: 0,
            seen: Seen::default(),
        };
        if posts.disk.is_some() {
            posts.backlog.add_disk(0);
        }
        posts
    }

    pub(crate) fn push(&mut self, post: Post, now: Instant) {
        self.ledger.accept(&post, now);
        self.seen.note(What::Accepted, 1);
        self.take_in(|backlog| backlog.push(post, now));
    }

    /// What failed is wanted again. It is on disk once: its first end has been written down.
    pub(crate) fn replay(&mut self, now: Instant) {
        if self.disk.as_ref().is_some_and(|disk| !disk.is_written()) {
            return;
        }
        let failed = self.backlog.failed().map(|(_, body)| body.to_owned());
        let failed: Vec<String> = failed.collect();
        failed.iter().for_each(|body| self.ledger.renew(body, now));
        self.seen.note(What::Replayed, failed.len() as u64);
        self.take_in(|backlog| assert_eq!(backlog.replay(now), failed.len()));
    }

    fn take_in(&mut self, take: impl FnOnce(&mut Backlog)) {
        let before = self.backlog.dropped();
        take(&mut self.backlog);
        let dropped = self.backlog.dropped() - before;
        self.seen.note(What::Dropped, dropped);
        if self.disk.is_some() {
            return;
        }
        // Without a disk it is known which: the oldest that is not on its way.
        for _ in 0..dropped {
            let (count, bytes) = (self.ledger.owed(), self.ledger.bytes());
            let is_full = count > MAX_POSTS || bytes > MAX_BYTES || self.is_gone;
            assert!(
                is_full,
                "BOUNDED: dropped one of {count} posts, {bytes} bytes"
            );
            let flying = self.crm.flights.iter().filter(|flight| !flight.is_orphan);
            let flying: Vec<usize> = flying.map(|flight| flight.index).collect();
            self.ledger.drop_oldest(&flying);
        }
    }

    /// More than any call makes.
    pub(crate) fn flood(&mut self, count: usize, weight: usize, now: Instant) {
        for _ in 0..count {
            self.floods += 1;
            let post = Post {
                call: format!("flood-{}", self.floods % 50).into(),
                body: format!("{} {}", self.floods, "x".repeat(weight)).into(),
            };
            self.push(post, now);
        }
    }

    /// What `reactor::posts` does in a turn; then nothing is left to be done.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.take_outcomes(now);
        self.backlog.handle_timeout(now);
        self.listen(now);
        self.refill(now);
        self.hand_out(now);
        if let Some(disk) = &mut self.disk {
            let unknown = match disk.unknown() {
                0 => Vec::new(),
                _ => disk.waiting().map(|record| record.body.clone()).collect(),
            };
            disk.store(false, &mut self.backlog, now);
            if disk.unknown() == 0 {
                // What was on it goes behind what has come since.
                let late = unknown.iter();
                late.for_each(|body| self.ledger.put_behind(body));
            }
            self.refill(now);
            self.hand_out(now);
        }
        self.listen(now);
        self.check(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let disk = self.disk.as_ref().and_then(Disk::poll_timeout);
        let all = [self.backlog.poll_timeout(), self.crm.poll_timeout(), disk];
        all.into_iter().flatten().min()
    }

    /// salara is told to try again.
    pub(crate) fn reopen(&mut self, now: Instant) {
        self.backlog.reopen();
        let was_gone = std::mem::take(&mut self.is_gone);
        self.left_alone = None;
        // One post may find out now.
        self.doubted = self.doubted.filter(|_| !was_gone).map(|_| now);
    }

    /// salara is told how many posts may travel at a time. One is another matter, for good.
    pub(crate) fn configure(&mut self, parallel: usize) {
        self.backlog.configure(parallel, self.retry_for);
        if self.parallel > 1 && parallel > 1 {
            self.parallel = parallel;
        }
    }

    /// salara ends, as it is told to or at once, and is started again.
    pub(crate) fn restart(&mut self, how: End, instance: Instance, now: Instant) {
        if how == End::Asked {
            self.take_outcomes(now);
            self.listen(now);
            if let Some(disk) = &mut self.disk {
                disk.store(true, &mut self.backlog, now);
            }
        }
        let (dropped, known) = (self.backlog.dropped(), self.ledger.dropped());
        let unstored = self.backlog.unstored_len();
        let queue = Queue::new(instance, self.parallel, self.retry_for, self.seed);
        self.backlog = Backlog::new(queue);
        if let Some(disk) = &mut self.disk {
            disk.crash(how == End::PowerLoss, &mut self.backlog, now);
        }
        let on_disk = self.disk.iter().flat_map(Disk::waiting);
        let lost = self.ledger.begin_again(on_disk.map(|record| &*record.body)) as u64;
        if how != End::PowerLoss {
            let flying = self.crm.flights.len() as u64;
            let is_said = lost <= dropped + unstored + flying;
            assert!(is_said, "STORED: {lost} are lost");
        }
        self.crm.flights.clear();
        self.is_gone = false;
        self.is_told_resting = false;
        self.told_dropped = 0;
        self.left_alone = None;
        self.doubted = None;
        self.seen.note(What::Lost, lost);
        self.seen.note(What::Dropped, dropped - known);
        self.seen.note(What::Restarted, 1);
    }

    /// From now on the CRM takes all, and the disk too.
    pub(crate) fn heal(&mut self, now: Instant) {
        self.crm.mood = Mood::Well;
        if let Some(disk) = &mut self.disk {
            disk.refusal = 0;
            self.seen
                .note(What::Overflown, std::mem::take(&mut disk.overflows));
        }
        // The end of a rest comes by itself; the end of that does not.
        if self.is_gone {
            self.reopen(now);
        }
    }

    /// Nothing is owed any more.
    pub(crate) fn is_done(&self) -> bool {
        self.backlog.is_empty() && self.disk.as_ref().is_none_or(|disk| disk.unknown() == 0)
    }

    fn take_outcomes(&mut self, now: Instant) {
        while let Some(flight) = self.crm.poll_flight(now) {
            if !flight.is_orphan {
                self.judge(flight.index, &flight.outcome, flight.is_probe, now);
            }
            self.backlog.handle_outcome(flight.id, &flight.outcome, now);
        }
    }

    /// What an outcome means.
    fn judge(&mut self, index: usize, outcome: &Outcome, is_probe: bool, now: Instant) {
        let not_before = &mut self.ledger.entries[index].not_before;
        match outcome {
            Outcome::Failed(_) => {
                *not_before = Some(now + PATIENCE);
                // Posts that were on their way together fail together: that is one failure.
                if is_probe || self.doubted.is_none() {
                    self.doubted = Some(now + PATIENCE);
                }
            }
            Outcome::Answered {
                retry_after: Some(wait),
                ..
            } => {
                let until = now + (*wait).min(MAX_RETRY_AFTER);
                self.left_alone = Some(self.left_alone.map_or(until, |other| other.max(until)));
                let rests = until.max(now + PATIENCE);
                self.doubted = Some(self.doubted.map_or(rests, |other| other.max(rests)));
                self.seen.note(What::LeftAlone, 1);
            }
            Outcome::Answered { status: 410, .. } => {
                self.seen.note(What::Gone, 1);
                self.is_gone = true;
                self.is_told_resting = false;
                if self.disk.is_none() {
                    let count = self.ledger.drop_all();
                    self.seen.note(What::Dropped, count as u64);
                    for flight in &mut self.crm.flights {
                        flight.is_orphan = true;
                    }
                }
            }
            Outcome::Answered { status, .. } => {
                if self.left_alone.is_none_or(|until| until <= now) {
                    self.doubted = None;
                }
                match status {
                    200..=299 => {
                        self.ledger.delivered(index);
                        self.seen.note(What::Delivered, 1);
                    }
                    408 | 425 | 429 | 500..=599 => *not_before = Some(now + PATIENCE),
                    _ => {
                        self.ledger.end(index, State::Refused);
                        self.refused.push(index);
                        self.seen.note(What::Refused, 1);
                    }
                }
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        if let Some(disk) = &mut self.disk {
            let count = disk.refill(&mut self.backlog, now);
            self.seen.note(What::Restored, count as u64);
        }
    }

    fn hand_out(&mut self, now: Instant) {
        while self.crm.flights.len() < self.parallel
            && let Some(delivery) = self.backlog.poll_delivery()
        {
            assert!(!self.is_gone, "PATIENT: sent after 410");
            let flying = self.crm.flights.iter().filter(|flight| !flight.is_orphan);
            let flying: Vec<usize> = flying.map(|flight| flight.index).collect();
            assert!(flying.len() < self.parallel, "PARALLEL: {}", flying.len());
            if let Some(until) = self.left_alone {
                assert!(until <= now, "PATIENT: {:?} before its time", until - now);
            }
            if let Some(until) = self.doubted {
                assert!(until <= now, "PATIENT: {:?} after a failure", until - now);
                assert!(flying.is_empty(), "PATIENT: a crowd finds out");
            }
            let dropped = self.backlog.dropped();
            let index = self.ledger.send(&delivery, &flying, self.parallel, dropped);
            let entry = &self.ledger.entries[index];
            if let Some(not_before) = entry.not_before {
                assert!(
                    not_before <= now,
                    "PATIENT: {} again at once",
                    delivery.body
                );
                self.seen.note(What::Retried, 1);
            }
            self.seen
                .note(What::SideBySide, u64::from(!flying.is_empty()));
            self.crm.take(&delivery, index, self.doubted.is_some(), now);
        }
    }

    fn listen(&mut self, now: Instant) {
        while let Some(note) = self.backlog.poll_note() {
            match note {
                Note::Resting { .. } => {
                    let before = std::mem::replace(&mut self.is_told_resting, true);
                    assert!(!before, "TOLD: rests twice");
                }
                Note::Back { .. } => {
                    let before = std::mem::replace(&mut self.is_told_resting, false);
                    assert!(before, "TOLD: back from nowhere");
                }
                Note::Refused { body, .. } => {
                    let index = self.ledger.find(&body);
                    let at = self.refused.iter().position(|other| *other == index);
                    self.refused.remove(at.expect("TOLD: refused by nobody"));
                }
                Note::GivenUp { body, .. } => {
                    let index = self.ledger.find(&body);
                    let age = now - self.ledger.entries[index].accepted;
                    // What is on disk has its age in seconds.
                    let least = self.retry_for.saturating_sub(Duration::from_secs(2));
                    assert!(age >= least, "GIVEN_UP: after {age:?}");
                    self.ledger.end(index, State::GivenUp);
                    self.seen.note(What::GivenUp, 1);
                }
                Note::Dropped { count } => {
                    assert!(count > self.told_dropped, "TOLD: {count} dropped again");
                    assert!(
                        count <= self.backlog.dropped(),
                        "TOLD: {count} were not dropped"
                    );
                    self.told_dropped = count;
                }
                Note::Gone { .. } => self.told_dropped = self.backlog.dropped(),
            }
        }
        assert!(self.refused.is_empty(), "TOLD: not that it was refused");
    }

    fn check(&mut self, now: Instant) {
        let backlog = &mut self.backlog;
        let (owed, dropped) = (self.ledger.owed() as u64, backlog.dropped());
        let unknown = dropped - self.ledger.dropped();
        let unread = self.disk.as_ref().map_or(0, Disk::unknown) as u64;
        assert_eq!(
            owed,
            backlog.len() + unknown + unread,
            "CONSERVED: {dropped} dropped"
        );
        assert!(
            dropped <= 2 * self.told_dropped,
            "TOLD: not that {dropped} were dropped"
        );
        let flying = self.crm.flights.len() >= self.parallel;
        assert!(
            flying || backlog.poll_delivery().is_none(),
            "AWAKE: a post waits for nothing"
        );
        assert!(!backlog.wants_store(now), "AWAKE: a post is not written");
        assert!(!backlog.wants_refill(), "AWAKE: a post is not read back");
        let next = backlog.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now),
            "ADVANCES: a busy loop over posts"
        );
        if !backlog.is_empty() && !self.is_gone {
            let is_moving = !self.crm.flights.is_empty() || next.is_some();
            assert!(is_moving, "AWAKE: {} wait for ever", backlog.len());
        }
        match &self.disk {
            None => {
                let (count, bytes) = (backlog.len(), self.ledger.bytes());
                let is_bounded = count <= MAX_POSTS as u64 && bytes <= MAX_BYTES;
                assert!(is_bounded, "BOUNDED: {count} posts, {bytes} bytes");
            }
            Some(disk) => {
                // A disk that refused is asked again later.
                if backlog.may_write(now) {
                    let unstored = backlog.unstored_len();
                    let (stored, there) = (backlog.len() - unstored, disk.waiting().count());
                    // What had to make room while it was on its way may be delivered yet.
                    let makes_room = 0..=self.crm.flights.len() as u64;
                    assert!(
                        makes_room.contains(&(stored - there as u64)),
                        "STORED: {there}"
                    );
                    assert!(unstored <= CROWD, "STORED: {unstored} are not");
                    let oldest = backlog.poll_unstored().map(|unstored| match unstored {
                        Unstored::Kept(_, memo) | Unstored::Passed(memo) => now - memo.since,
                    });
                    assert!(
                        oldest.is_none_or(|age| age < GRACE),
                        "STORED: not after {oldest:?}"
                    );
                }
            }
        }
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Asked,
    Killed,
    PowerLoss,
}
