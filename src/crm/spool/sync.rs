//! The thread that makes sure that what was written outlives a loss of power.
//!
//! This file owns when that is due, and who waits for it. It must not know what was written.
//!
//! The surprising fact: `fdatasync` may take seconds on a worn card, and the loop has other things
//! to do. So a thread does it, started with the first write that is still there after a second.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;

/// What is written reaches the disk itself after this; what is deleted sooner never does.
const DELAY: Duration = Duration::from_secs(1);
/// So long a stop waits for a disk.
const PATIENCE: Duration = Duration::from_secs(3);
/// Files that wait for the thread: some megabytes, which no disk here takes seconds for.
const QUEUE: usize = 64;
/// It calls the kernel and little else.
const STACK: usize = 64 * 1024;

/// What has to reach the disk, and the thread that sees to it.
#[derive(Debug)]
pub(super) struct Syncer {
    /// The directory, whose entries must reach the disk as well.
    dir: File,
    dirty_since: Option<Instant>,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    hand: SyncSender<File>,
    /// Ends with the thread.
    end: Receiver<()>,
}

impl Syncer {
    pub(super) fn new(dir: File) -> Self {
        Self {
            dir,
            dirty_since: None,
            thread: None,
        }
    }

    /// Something was written.
    pub(super) fn written(&mut self, now: Instant) {
        self.dirty_since.get_or_insert(now);
    }

    /// What was written is deleted again.
    pub(super) fn deleted(&mut self) {
        self.dirty_since = None;
    }

    /// When `handle_timeout` is wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.dirty_since.map(|since| since + DELAY)
    }

    /// The clock has moved, and this is the file that is written to.
    pub(super) fn handle_timeout(&mut self, file: &File, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.request(file, now);
        }
    }

    /// This file gets no more; it is made safe if it has to be.
    pub(super) fn sealed(&mut self, file: &File, now: Instant) {
        if self.dirty_since.is_some() {
            self.request(file, now);
        }
    }

    /// Makes it safe and waits for that, but not for ever.
    pub(super) fn finish(&mut self, file: Option<&File>, now: Instant) {
        if let (Some(file), Some(_)) = (file, self.dirty_since) {
            self.request(file, now);
        }
        if let Some(Thread { hand, end }) = self.thread.take() {
            drop(hand);
            if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                warn!(target: "crm", "the disk is slow: the last events may not survive a loss of power");
            }
        }
    }

    fn request(&mut self, file: &File, now: Instant) {
        let asked = self.thread().and_then(|thread| {
            let file = file.try_clone()?;
            thread.hand.try_send(file).map_err(io::Error::other)
        });
        // A disk that is still busy is asked again in a second.
        self.dirty_since = asked.is_err().then_some(now);
    }

    fn thread(&mut self) -> io::Result<&Thread> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => self.start()?,
        };
        Ok(self.thread.insert(thread))
    }

    fn start(&self) -> io::Result<Thread> {
        let dir = self.dir.try_clone()?;
        let (hand, files) = mpsc::sync_channel::<File>(QUEUE);
        let (alive, end) = mpsc::sync_channel(0);
        let run = move || {
            let mut is_said = false;
            for file in files {
                if let Err(error) = file.sync_data().and_then(|()| dir.sync_all())
                    && !std::mem::replace(&mut is_said, true)
                {
                    warn!(target: "crm", "events may not survive a loss of power: {error}");
                }
            }
            drop(alive);
        };
        thread::Builder::new()
            .name("spool-sync".into())
            .stack_size(STACK)
            .spawn(run)?;
        Ok(Thread { hand, end })
    }
}
