//! Events that wait on disk.
//!
//! This file owns the spool's directory: its files, what is still wanted in them, and how much they
//! may take. It must not know when an event is tried, or what it says.
//!
//! The surprising fact: files are only ever appended to and deleted, the oldest first. That an event
//! is done is appended like the event itself; when all events of the oldest file are, the file goes,
//! so an empty spool is an empty directory.
//!
//! What is promised: an event is handed to the kernel before `append` returns, which survives the
//! death of this process at any moment. It reaches the disk itself, with `fdatasync`, about a second
//! later, unless it is done by then: a loss of power may cost the last second.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use log::{debug, warn};

mod bits;
mod find;
mod read;
mod record;
mod sync;

use bits::Bits;
use read::Reading;
use record::StoredPost;
use sync::Syncer;

/// What may be in the spool is cut into about so many files: the oldest goes when it is full.
const FILES: u64 = 256;
/// No file is smaller when the next is begun, and none larger (but for one long event).
const MIN_FILE: u64 = 1024;
const MAX_FILE: u64 = 1024 * 1024;

/// An event as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its `webhook-id`, the same for ever.
    pub webhook_id: &'a str,
    /// What keeps the events of one call in order.
    pub call: &'a str,
    /// The JSON.
    pub body: &'a str,
    /// When it was taken in, in Unix seconds.
    pub accepted: u64,
}

/// An event read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What `done` wants to hear.
    pub number: u64,
    /// See [`Entry`].
    pub webhook_id: Box<str>,
    /// See [`Entry`].
    pub call: Box<str>,
    /// See [`Entry`].
    pub body: Box<str>,
    /// See [`Entry`].
    pub accepted: u64,
}

/// Who else has an event that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is in memory too, and will not be read back.
    Memory,
    /// Nobody: `poll_unread` will give it back when its turn comes.
    DiskOnly,
}

/// Events that had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// All with a smaller number are gone from the disk.
    pub before: u64,
    /// So many of them were nowhere else.
    pub unread: u64,
}

/// Why a spool cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another salara has it.
    InUse,
    /// The system does not let us.
    System(io::Error),
}

/// The directory and what is in it.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max: u64,
    /// The oldest first; the last may be open.
    segments: VecDeque<Segment>,
    bytes: u64,
    next: u32,
    file: Option<File>,
    reading: Option<Reading>,
    done: Vec<u64>,
    dropped: VecDeque<Dropped>,
    sync: Syncer,
    /// Holds the lock.
    _dir: File,
}

/// A file.
#[derive(Debug)]
struct Segment {
    id: u32,
    bytes: u64,
    /// Posts in it, the next one's index.
    posts: u32,
    /// Those that are not done.
    live: u32,
    /// Those of them that are only there.
    unread: u32,
    /// Those that are done or in memory.
    passed: Bits,
}

impl Spool {
    /// Takes a directory, which is made if it is not there, and finds out what waits in it.
    pub fn open(dir: &Path, max: u64) -> Result<Self, OpenError> {
        make_dir(dir)?;
        let handle = File::open(dir)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse),
            // Not every file system can; then nobody is kept out.
            Err(TryLockError::Error(error)) => debug!(target: "crm", "no lock: {error}"),
        }
        let mut spool = Self {
            dir: dir.to_owned(),
            max,
            segments: VecDeque::new(),
            bytes: 0,
            next: 1,
            file: None,
            reading: None,
            done: Vec::new(),
            dropped: VecDeque::new(),
            // Not a clone of the handle: the thread would hold the lock too.
            sync: Syncer::new(File::open(dir)?),
            _dir: handle,
        };
        spool.find()?;
        spool.reap();
        spool.make_room();
        Ok(spool)
    }

    /// How many events wait that are nowhere else.
    pub fn unread(&self) -> u64 {
        let unread = |segment: &Segment| u64::from(segment.unread);
        self.segments.iter().map(unread).sum()
    }

    /// Whether there is nothing in it: no file.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Writes an event behind all others and tells its number. What it says is in the kernel's
    /// hands when this returns.
    pub fn append(&mut self, entry: &Entry<'_>, place: Place, now: Instant) -> io::Result<u64> {
        let mut post = StoredPost {
            index: 0,
            accepted: entry.accepted,
            webhook_id: entry.webhook_id,
            call: entry.call,
            body: entry.body,
        };
        if self.fits(post.length()) {
            post.index = self.segments.back().map_or(0, |segment| segment.posts);
        }
        let mut record = Vec::with_capacity(post.length());
        if !post.encode(&mut record) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.write(&record, now)?;
        let Some(segment) = self.segments.back_mut() else {
            return Err(io::Error::other("no file"));
        };
        segment.posts = post.index + 1;
        segment.live += 1;
        match place {
            Place::Memory => segment.passed.insert(post.index),
            Place::DiskOnly => segment.unread += 1,
        }
        let number = number(segment.id, post.index);
        self.make_room();
        Ok(number)
    }

    /// An event is not wanted any more. Written down by the next `flush`.
    pub fn done(&mut self, number: u64) {
        let id = segment_of(number);
        let found = self
            .segments
            .binary_search_by_key(&id, |segment| segment.id);
        let Some(segment) = found.ok().and_then(|at| self.segments.get_mut(at)) else {
            return;
        };
        segment.live = segment.live.saturating_sub(1);
        self.done.push(number);
        self.reap();
    }

    /// Writes down what is done, where its file does not say so by being gone. Tells whether that
    /// was anything.
    pub fn flush(&mut self, now: Instant) -> io::Result<bool> {
        if self.done.is_empty() {
            return Ok(false);
        }
        let mut records = Vec::new();
        record::encode_done(&self.done, &mut records);
        self.write(&records, now)?;
        self.done.clear();
        self.make_room();
        Ok(true)
    }

    /// What had to make room; drain it after `open`, `append` and `flush`.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        self.dropped.pop_front()
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(file) = &self.file {
            self.sync.handle_timeout(file, now);
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.file.as_ref().and_then(|_| self.sync.poll_timeout())
    }

    /// Makes all that was written safe from a loss of power, as far as the disk has time for it.
    pub fn close(mut self, now: Instant) {
        self.sync.finish(self.file.as_ref(), now);
    }

    /// Whether a record goes into the file that is open.
    fn fits(&self, length: usize) -> bool {
        let limit = (self.max / FILES).clamp(MIN_FILE, MAX_FILE);
        let last = self.segments.back().filter(|_| self.file.is_some());
        last.is_some_and(|segment| segment.bytes.saturating_add(length as u64) <= limit)
    }

    fn write(&mut self, record: &[u8], now: Instant) -> io::Result<()> {
        if !self.fits(record.len()) {
            self.seal(now);
            return self.begin(record, now);
        }
        let (Some(file), Some(segment)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::Error::other("no file"));
        };
        if let Err(error) = file.write_all(record) {
            // Half a record would be passed over, but it takes room where there is none.
            if file.set_len(segment.bytes).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        segment.bytes += record.len() as u64;
        self.bytes += record.len() as u64;
        self.sync.written(now);
        Ok(())
    }

    /// Begins a file with this record.
    fn begin(&mut self, record: &[u8], now: Instant) -> io::Result<()> {
        let id = self.next;
        let path = self.path(id);
        self.next = self.next.saturating_add(1);
        let mut file = match create(&path) {
            // Somebody has tidied up.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_dir(&self.dir)?;
                create(&path)?
            }
            created => created?,
        };
        let bytes = [&record::header(), record].concat();
        if let Err(error) = file.write_all(&bytes) {
            drop(fs::remove_file(&path));
            return Err(error);
        }
        self.file = Some(file);
        self.bytes += bytes.len() as u64;
        self.segments.push_back(Segment {
            id,
            bytes: bytes.len() as u64,
            posts: 0,
            live: 0,
            unread: 0,
            passed: Bits::default(),
        });
        self.sync.written(now);
        Ok(())
    }

    fn seal(&mut self, now: Instant) {
        if let Some(file) = self.file.take() {
            self.sync.sealed(&file, now);
        }
    }

    /// Deletes the oldest files, as long as nothing in them is wanted.
    fn reap(&mut self) {
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.live == 0)
        {
            self.delete_oldest();
        }
    }

    /// Deletes the oldest files, wanted or not, until there is room.
    fn make_room(&mut self) {
        while self.bytes > self.max && self.segments.len() > 1 {
            if let Some(segment) = self.delete_oldest() {
                self.dropped.push_back(Dropped {
                    before: number(segment.id.saturating_add(1), 0),
                    unread: segment.unread.into(),
                });
            }
            self.reap();
        }
    }

    fn delete_oldest(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        let path = self.path(segment.id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            warn!(target: "crm", "{}: {error}: its events may be sent again", path.display());
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.done.retain(|number| segment_of(*number) > segment.id);
        if self.segments.is_empty() {
            self.file = None;
            self.sync.deleted();
        }
        Some(segment)
    }

    fn path(&self, id: u32) -> PathBuf {
        self.dir.join(format!("{id:08}.spool"))
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn create(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// A post's number: its file's, and its place there. So a damaged record shifts no other's.
fn number(id: u32, index: u32) -> u64 {
    u64::from(id) << 32 | u64::from(index)
}

fn segment_of(number: u64) -> u32 {
    u32::try_from(number >> 32).unwrap_or(u32::MAX)
}

fn index_of(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
