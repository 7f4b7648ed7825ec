//! What an earlier run has left.
//!
//! This file owns the first look at every file of a spool. It must not change them.
//!
//! The surprising fact: what is done may be said in a later file than the post itself, so nothing
//! is known before all are seen.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use log::warn;

use super::bits::Bits;
use super::record::{self, Header, Record, Records};
use super::{MAX_FILE, Segment, Spool, index_of, segment_of};

/// A file beyond this was not written by any salara.
const FOREIGN: u64 = 4 * MAX_FILE;

impl Spool {
    /// Finds the files of earlier runs.
    pub(super) fn find(&mut self) -> io::Result<()> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            ids.extend(entry?.file_name().to_str().and_then(id_of));
        }
        ids.sort_unstable();
        // What is done may be said in a later file than the post itself.
        let mut done: BTreeMap<u32, Bits> = BTreeMap::new();
        let mut posts: Vec<Bits> = Vec::new();
        for id in ids {
            self.next = self.next.max(id.saturating_add(1));
            match self.scan(id, &mut done) {
                Ok(Some((segment, found))) => {
                    self.bytes += segment.bytes;
                    self.segments.push_back(segment);
                    posts.push(found);
                }
                Ok(None) => {}
                Err(error) => warn!(target: "crm", "{}: {error}", self.path(id).display()),
            }
        }
        for (segment, posts) in self.segments.iter_mut().zip(posts) {
            segment.passed = done.remove(&segment.id).unwrap_or_default();
            segment.live = posts.count_without(&segment.passed);
            segment.unread = segment.live;
        }
        Ok(())
    }

    /// Looks a file through; `None` when it is not for us to read.
    fn scan(&self, id: u32, done: &mut BTreeMap<u32, Bits>) -> io::Result<Option<(Segment, Bits)>> {
        let path = self.path(id);
        let length = fs::metadata(&path)?.len();
        if length > FOREIGN {
            warn!(target: "crm", "{}: too long to be salara's; left alone", path.display());
            return Ok(None);
        }
        let bytes = fs::read(&path)?;
        if let Header::Version(version) = record::read_header(&bytes) {
            warn!(target: "crm", "{}: version {version} is not known; left alone", path.display());
            return Ok(None);
        }
        let mut found = Bits::default();
        let mut count = 0;
        let mut records = Records::new(&bytes, record::HEADER);
        for record in &mut records {
            match record {
                Record::Post(post) => {
                    found.insert(post.index);
                    count = count.max(post.index.saturating_add(1));
                }
                Record::Done(numbers) => {
                    for number in numbers {
                        done.entry(segment_of(number))
                            .or_default()
                            .insert(index_of(number));
                    }
                }
                Record::Other => {}
            }
        }
        if records.skipped() > 0 {
            let skipped = records.skipped();
            warn!(target: "crm", "{}: {skipped} damaged bytes passed over", path.display());
        }
        let segment = Segment {
            id,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            posts: count,
            live: 0,
            unread: 0,
            passed: Bits::default(),
        };
        Ok(Some((segment, found)))
    }
}

/// The number in a file's name, if it is spelled as ours are.
fn id_of(name: &str) -> Option<u32> {
    let id = name.strip_suffix(".spool")?.parse().ok()?;
    (format!("{id:08}.spool") == name).then_some(id)
}
