//! Reading back, in order.
//!
//! This file owns how far that is. It must not know who wants the posts.
//!
//! The surprising fact: the file that is read may be the one that is written, so its end is looked
//! at again each time it is reached.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use log::warn;

use super::record::{self, Record, Records};
use super::{Restored, Spool, number};

/// The file that is being read back.
#[derive(Debug)]
pub(super) struct Reading {
    id: u32,
    bytes: Vec<u8>,
    at: usize,
    /// Where in the file the bytes end.
    end: u64,
}

impl Spool {
    /// The oldest event that is nowhere else, which from now on is.
    pub fn poll_unread(&mut self) -> Option<Restored> {
        loop {
            let Some(reading) = &mut self.reading else {
                self.load()?;
                continue;
            };
            let id = reading.id;
            let found = self.segments.iter_mut().find(|segment| segment.id == id);
            let Some(segment) = found.filter(|segment| segment.unread > 0) else {
                self.reading = None;
                continue;
            };
            let mut records = Records::new(&reading.bytes, reading.at);
            let record = records.next();
            reading.at = records.offset();
            match record {
                Some(Record::Post(post)) if !segment.passed.contains(post.index) => {
                    segment.passed.insert(post.index);
                    segment.unread -= 1;
                    return Some(Restored {
                        number: number(id, post.index),
                        webhook_id: post.webhook_id.into(),
                        call: post.call.into(),
                        body: post.body.into(),
                        accepted: post.accepted,
                    });
                }
                Some(Record::Post(_) | Record::Done(_) | Record::Other) => {}
                None => self.load()?,
            }
        }
    }

    /// Reads on: more of the same file, or the next that has something. `None` when none has.
    fn load(&mut self) -> Option<()> {
        loop {
            let segment = self.segments.iter().find(|segment| segment.unread > 0)?;
            let id = segment.id;
            let reading = self.reading.take().filter(|reading| reading.id == id);
            let from = reading.map_or(record::HEADER as u64, |reading| reading.end);
            let bytes = read_from(&self.path(id), from).unwrap_or_else(|error| {
                warn!(target: "crm", "{}: {error}", self.path(id).display());
                Vec::new()
            });
            if !bytes.is_empty() {
                self.reading = Some(Reading {
                    id,
                    end: from + bytes.len() as u64,
                    bytes,
                    at: 0,
                });
                return Some(());
            }
            // It held more when it was looked through: damaged since, or not ours to read any more.
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == id) {
                segment.live = segment.live.saturating_sub(segment.unread);
                segment.unread = 0;
            }
            self.reap();
        }
    }
}

fn read_from(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
