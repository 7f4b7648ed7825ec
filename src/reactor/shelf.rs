//! The spool as the loop uses it.
//!
//! This file owns the way between what waits and the disk, the wall clock of events, and what is
//! told about both. It must not know the CRM.
//!
//! The surprising fact: a disk that is full, read-only or not there is no reason to stop. Events then
//! wait in memory, as they do without a spool, and the disk is asked again every ten seconds.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use log::{error, info};

use super::link::reason;
use crate::channel::Post;
use crate::crm::backlog::{Backlog, REFUSED, Unstored};
use crate::crm::spool::{Entry, OpenError, Place, Spool};

/// Before this (2020) no clock of a running salara was right: the box had just been switched on.
const PLAUSIBLE: u64 = 1_577_836_800;
/// What is delivered sooner than this was not worth a line.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// The spool, or the wish for one.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    max: u64,
    spool: Option<Spool>,
    /// When a directory that could not be had is tried again: there may be events in it.
    open_at: Option<Instant>,
    /// Since when something is in it, and whether that was told.
    since: Option<Instant>,
    is_told: bool,
    is_failing: bool,
}

/// Another salara has the directory.
#[derive(Debug)]
pub(super) struct InUse(pub(super) PathBuf);

impl Shelf {
    /// Opens the spool, if it can be, behind `backlog`.
    pub(super) fn open(
        dir: PathBuf,
        max: u64,
        backlog: &mut Backlog,
        now: Instant,
    ) -> Result<Self, InUse> {
        let mut shelf = Self {
            dir,
            max,
            spool: None,
            open_at: None,
            since: None,
            is_told: false,
            is_failing: false,
        };
        backlog.add_disk(0);
        match Spool::open(&shelf.dir, max) {
            Ok(spool) => shelf.take(spool, backlog, now),
            Err(OpenError::InUse) => return Err(InUse(shelf.dir)),
            Err(OpenError::System(error)) => shelf.fail(&error, backlog, now),
        }
        Ok(shelf)
    }

    /// Brings what is on disk only back into memory, as far as there is room.
    pub(super) fn refill(&mut self, backlog: &mut Backlog, now: Instant) {
        if !backlog.wants_refill() {
            return;
        }
        let clock = unix_now();
        while backlog.can_refill() {
            let restored = self.spool.as_mut().and_then(Spool::poll_unread);
            let Some(restored) = restored else {
                return backlog.handle_exhausted();
            };
            let plausible = Some(restored.accepted).filter(|accepted| *accepted >= PLAUSIBLE);
            let age = plausible.map_or(0, |accepted| clock.saturating_sub(accepted));
            let post = Post {
                call: restored.call,
                body: restored.body,
            };
            let age = Duration::from_secs(age);
            backlog.restore(restored.number, restored.webhook_id, post, age, now);
        }
    }

    /// Writes down what is to be: posts that wait, then what is done.
    pub(super) fn store(&mut self, backlog: &mut Backlog, now: Instant) {
        let is_missing = self.open_at.is_some_and(|at| at <= now);
        let written = if is_missing || backlog.wants_store(now) {
            self.write(backlog, now)
        } else {
            Ok(())
        };
        let written = written.and_then(|()| self.mark_done(backlog, now));
        match written {
            Ok(()) => self.tell(now),
            Err(error) => self.fail(&error, backlog, now),
        }
    }

    /// When `store` is wanted next, beside the backlog's own wishes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.spool {
            Some(spool) => spool.poll_timeout(),
            None => self.open_at,
        }
    }

    /// The end: all that is in memory is written down, if the disk takes it.
    pub(super) fn stop(mut self, backlog: &mut Backlog, now: Instant) {
        let written = match backlog.unstored_len() {
            0 => Ok(()),
            _ => self.write(backlog, now),
        };
        let written = written.and_then(|()| self.mark_done(backlog, now));
        let (dir, lost) = (self.dir.display(), backlog.unstored_len());
        if let Err(error) = written
            && lost > 0
        {
            error!(target: "crm", "{dir}: {}: {lost} events are lost", reason(&error));
        }
        let kept = backlog.len() - backlog.unstored_len();
        if kept > 0 {
            info!(target: "crm", "{kept} events wait in {dir} for the next start");
        }
        if let Some(spool) = self.spool {
            spool.close(now);
        }
    }

    fn take(&mut self, spool: Spool, backlog: &mut Backlog, now: Instant) {
        let unread = spool.unread();
        if unread > 0 {
            let dir = self.dir.display();
            info!(target: "crm", "{unread} events from before wait in {dir}");
            self.since = Some(now);
            self.is_told = true;
        }
        backlog.add_disk(unread);
        backlog.handle_written();
        self.open_at = None;
        self.spool.insert(spool).drop_from(backlog);
    }

    fn write(&mut self, backlog: &mut Backlog, now: Instant) -> io::Result<()> {
        if self.spool.is_none() {
            match Spool::open(&self.dir, self.max) {
                Ok(spool) => self.take(spool, backlog, now),
                Err(OpenError::InUse) => return Err(io::Error::other("another salara has it")),
                Err(OpenError::System(error)) => return Err(error),
            }
        }
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        let clock = unix_now();
        while let Some(unstored) = backlog.poll_unstored() {
            let (kept, place, memo) = match &unstored {
                Unstored::Kept(id, memo) => (Some(*id), Place::Memory, memo),
                Unstored::Passed(memo) => (None, Place::DiskOnly, memo),
            };
            let age = now.saturating_duration_since(memo.since).as_secs();
            let entry = Entry {
                webhook_id: &memo.webhook_id,
                call: memo.call,
                body: memo.body,
                accepted: clock.saturating_sub(age),
            };
            let number = spool.append(&entry, place, now)?;
            backlog.handle_stored(kept, number);
            spool.drop_from(backlog);
        }
        self.recovered();
        Ok(())
    }

    fn mark_done(&mut self, backlog: &mut Backlog, now: Instant) -> io::Result<()> {
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        while let Some(number) = backlog.poll_done() {
            spool.done(number);
        }
        spool.handle_timeout(now);
        if backlog.may_write(now) && spool.flush(now)? {
            spool.drop_from(backlog);
            backlog.handle_written();
            self.recovered();
        }
        Ok(())
    }

    fn fail(&mut self, error: &io::Error, backlog: &mut Backlog, now: Instant) {
        backlog.handle_refused(now);
        self.open_at = self.spool.is_none().then_some(now + REFUSED);
        if !std::mem::replace(&mut self.is_failing, true) {
            let (dir, why) = (self.dir.display(), reason(error));
            error!(target: "crm", "{dir}: {why}: events wait in memory only; trying on");
        }
    }

    fn recovered(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            info!(target: "crm", "{}: events can be written again", self.dir.display());
        }
    }

    /// Says that events wait on disk, once it is for longer than a moment, and when none does.
    fn tell(&mut self, now: Instant) {
        let dir = self.dir.display();
        if self.spool.as_ref().is_none_or(Spool::is_empty) {
            if std::mem::replace(&mut self.is_told, false) {
                info!(target: "crm", "no more events wait in {dir}");
            }
            self.since = None;
        } else if !self.is_told && *self.since.get_or_insert(now) + TELL_AFTER <= now {
            self.is_told = true;
            info!(target: "crm", "the CRM does not keep up: events wait in {dir}");
        }
    }
}

impl Spool {
    /// What had to make room is wanted no more in memory either.
    fn drop_from(&mut self, backlog: &mut Backlog) {
        while let Some(dropped) = self.poll_dropped() {
            backlog.handle_dropped(dropped.before, dropped.unread);
        }
    }
}

fn unix_now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of events outlives this run and its monotonic clock"
    )]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ami::instance::Instance;
    use crate::crm::queue::Queue;

    /// A directory that is not there yet: a file is where its parent would be.
    struct Mount {
        parent: PathBuf,
        dir: PathBuf,
    }

    impl Mount {
        fn missing() -> Self {
            let name = format!("salara-shelf-{}", std::process::id());
            let parent = std::env::temp_dir().join(name);
            drop(fs::remove_dir_all(&parent));
            fs::write(&parent, "").unwrap();
            Self {
                dir: parent.join("spool"),
                parent,
            }
        }

        /// The disk is there now, with an event on it.
        fn mount(&self, now: Instant) {
            fs::remove_file(&self.parent).unwrap();
            let mut spool = Spool::open(&self.dir, 1 << 20).unwrap();
            let entry = Entry {
                webhook_id: "salara-1-2-e1",
                call: "1.1",
                body: "{}",
                accepted: unix_now(),
            };
            spool.append(&entry, Place::DiskOnly, now).unwrap();
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.parent));
            drop(fs::remove_file(&self.parent));
        }
    }

    #[test]
    fn events_on_a_disk_that_comes_late_go_out_though_nothing_happens() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let place = Mount::missing();
        let day = Duration::from_secs(86_400);
        let mut backlog = Backlog::new(Queue::new(Instance::new(1, 3), 4, day, 1));
        let mut shelf = Shelf::open(place.dir.clone(), 1 << 20, &mut backlog, now).unwrap();
        let again = shelf.poll_timeout().unwrap();
        assert_eq!(again, now + REFUSED);
        shelf.store(&mut backlog, again);
        let again = shelf.poll_timeout().unwrap();
        assert_eq!(again, now + 2 * REFUSED);

        place.mount(now);
        shelf.store(&mut backlog, again);
        shelf.refill(&mut backlog, again);
        let delivery = backlog.poll_delivery().unwrap();
        assert_eq!(&*delivery.webhook_id, "salara-1-2-e1");
        assert!(backlog.may_write(again));
    }
}
