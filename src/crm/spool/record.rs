//! How a spool's files are spelled.
//!
//! This file owns headers and records, to the byte. It must not know files, or which posts are still
//! wanted.
//!
//! The surprising fact: nothing is found by counting. A file may be torn, overwritten or cut
//! anywhere, so each record begins with bytes that no text holds, and what follows a damaged one is
//! found again by looking for them.
//!
//! ```text
//! file    "salara-s" | version u32 | checksum of both | records
//! record  marker FF 53 70 F5 | length u32 of payload | checksum of both | payload
//! payload 01 | index u32 | accepted u64 | length u32, webhook-id | length u32, call | body
//!         02 | numbers u64 of posts that are done
//! ```
//!
//! A checksum is the first four bytes of a SHA-256. All integers are little-endian, whatever the
//! machine is.

use ring::digest::{Context, SHA256};

/// The version this file is about.
pub(super) const VERSION: u32 = 1;
/// Longer records are none of ours: Asterisk's messages end at 64 KiB, and JSON makes six bytes of
/// one at worst.
pub(super) const MAX_PAYLOAD: usize = 512 * 1024;
/// What a file begins with.
pub(super) const HEADER: usize = 16;

const MAGIC: &[u8; 8] = b"salara-s";
/// FF and F5 do not occur in UTF-8.
const MARKER: [u8; 4] = [0xff, b'S', b'p', 0xf5];
/// Marker, length, checksum.
const PREFIX: usize = 12;
const POST: u8 = 1;
const DONE: u8 = 2;
/// What a post takes beside its texts.
const POST_FRAME: usize = PREFIX + 1 + 4 + 8 + 4 + 4;

/// A post as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredPost<'a> {
    /// Its place among the posts of its file.
    pub(super) index: u32,
    /// When salara took it in, in Unix seconds.
    pub(super) accepted: u64,
    pub(super) webhook_id: &'a str,
    pub(super) call: &'a str,
    pub(super) body: &'a str,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Post(StoredPost<'a>),
    /// Posts that are not wanted any more, by number.
    Done(Vec<u64>),
    /// Whole, but of a later salara.
    Other,
}

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Records follow. Also said of a damaged header: records are known by themselves.
    Records,
    /// Another salara's way of writing.
    Version(u32),
}

pub(super) fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let sum = checksum(&[MAGIC, &VERSION.to_le_bytes()]);
    let fields = MAGIC
        .iter()
        .copied()
        .chain(VERSION.to_le_bytes())
        .chain(sum);
    for (byte, value) in header.iter_mut().zip(fields) {
        *byte = value;
    }
    header
}

pub(super) fn read_header(bytes: &[u8]) -> Header {
    match version(bytes) {
        Some(version) if version != VERSION => Header::Version(version),
        Some(_) | None => Header::Records,
    }
}

fn version(header: &[u8]) -> Option<u32> {
    let mut reader = Reader(header);
    let magic = reader.take(MAGIC.len())?;
    let version = reader.u32()?;
    let sum = reader.take(4)?;
    (magic == MAGIC && sum == checksum(&[magic, &version.to_le_bytes()])).then_some(version)
}

impl StoredPost<'_> {
    /// How many bytes `encode` adds.
    pub(super) fn length(&self) -> usize {
        POST_FRAME + self.webhook_id.len() + self.call.len() + self.body.len()
    }

    /// Writes it out; false when it is longer than a record may be.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> bool {
        let fits = self.length() - PREFIX <= MAX_PAYLOAD;
        if fits {
            record(out, |out| {
                out.push(POST);
                out.extend(self.index.to_le_bytes());
                out.extend(self.accepted.to_le_bytes());
                text(out, self.webhook_id);
                text(out, self.call);
                out.extend(self.body.as_bytes());
            });
        }
        fits
    }
}

/// Writes out that these posts are done.
pub(super) fn encode_done(numbers: &[u64], out: &mut Vec<u8>) {
    for numbers in numbers.chunks(MAX_PAYLOAD / 16) {
        record(out, |out| {
            out.push(DONE);
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        });
    }
}

/// The records in the bytes of a file, the damaged ones passed over.
#[derive(Debug)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    skipped: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            skipped: 0,
        }
    }

    /// Where the next record is looked for.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes were in no record.
    pub(super) fn skipped(&self) -> usize {
        self.skipped
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
            if let Some((record, length)) = parse(rest) {
                self.at += length;
                return Some(record);
            }
            let behind = rest.get(1..).unwrap_or_default();
            let step = 1 + memchr::memmem::find(behind, &MARKER).unwrap_or(behind.len());
            self.skipped += step;
            self.at += step;
        }
    }
}

/// The record these bytes begin with, if they do, and its length.
fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let mut reader = Reader(bytes);
    if reader.take(MARKER.len())? != MARKER {
        return None;
    }
    let length = reader.u32()?;
    let sum = reader.take(4)?;
    let size = usize::try_from(length).ok().filter(|n| *n <= MAX_PAYLOAD)?;
    let payload = reader.take(size)?;
    if sum != checksum(&[&length.to_le_bytes(), payload]) {
        return None;
    }
    Some((read(payload).unwrap_or(Record::Other), PREFIX + size))
}

fn read(payload: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader(payload);
    match reader.take(1)? {
        [POST] => Some(Record::Post(StoredPost {
            index: reader.u32()?,
            accepted: reader.u64()?,
            webhook_id: reader.text()?,
            call: reader.text()?,
            body: str::from_utf8(reader.0).ok()?,
        })),
        [DONE] => {
            let mut numbers = Vec::with_capacity(reader.0.len() / 8);
            while let Some(number) = reader.u64() {
                numbers.push(number);
            }
            Some(Record::Done(numbers))
        }
        _ => None,
    }
}

fn record(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0; PREFIX - MARKER.len()]);
    payload(out);
    let written = out.get_mut(start + MARKER.len()..).unwrap_or_default();
    let Some((frame, payload)) = written.split_at_mut_checked(PREFIX - MARKER.len()) else {
        return;
    };
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let sum = checksum(&[&length, payload]);
    for (byte, value) in frame.iter_mut().zip(length.into_iter().chain(sum)) {
        *byte = value;
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The first bytes of a SHA-256: it is in the binary anyway, and a CRC's tables are not.
fn checksum(parts: &[&[u8]]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    let mut start = [0; 4];
    start
        .iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    start
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok()?;
        str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(index: u32, body: &str) -> StoredPost<'_> {
        StoredPost {
            index,
            accepted: 1_763_856_000,
            webhook_id: "salara-1-2-e3",
            call: "1763856000.7",
            body,
        }
    }

    fn bodies(bytes: &[u8]) -> Vec<String> {
        Records::new(bytes, 0)
            .filter_map(|record| match record {
                Record::Post(post) => Some(post.body.to_owned()),
                Record::Done(numbers) => Some(format!("{numbers:?}")),
                Record::Other => None,
            })
            .collect()
    }

    /// The last post of the last file there can be.
    const BIG: u64 = 99_999_999 << 32 | 0xffff_ffff;

    /// A file with posts and what was done, and where each record begins.
    fn file() -> (Vec<u8>, Vec<usize>, Vec<String>) {
        let mut bytes = header().to_vec();
        let mut begins = Vec::new();
        let mut said = Vec::new();
        for n in 0..6_u32 {
            begins.push(bytes.len());
            let body = format!(r#"{{"event":"Hangup","n":{n}}}"#);
            assert!(post(n, &body).encode(&mut bytes));
            said.push(body);
            if n % 2 == 1 {
                begins.push(bytes.len());
                encode_done(&[u64::from(n), BIG], &mut bytes);
                said.push(format!("[{n}, {BIG}]"));
            }
        }
        begins.push(bytes.len());
        (bytes, begins, said)
    }

    #[test]
    fn a_file_is_spelled_alike_on_every_machine() {
        let mut bytes = header().to_vec();
        let post = StoredPost {
            index: 0x0102_0304,
            accepted: 0x1122_3344_5566_7788,
            webhook_id: "w",
            call: "c1",
            body: "{}",
        };
        assert!(post.encode(&mut bytes));
        assert_eq!(bytes.len(), HEADER + post.length());
        encode_done(&[0x0a0b_0c0d_0000_0001], &mut bytes);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex.concat(),
            concat!(
                "73616c6172612d7301000000",
                "f56166db",
                "ff5370f51a000000",
                "91286c54",
                "01040302018877665544332211010000007702000000",
                "63317b7d",
                "ff5370f509000000",
                "84c0dc1d",
                "02010000000d0c0b0a",
            )
        );
    }

    #[test]
    fn what_was_written_is_read() {
        let long = "x".repeat(60_000);
        for (body, call) in [("{}", ""), ("{\"a\":\"\u{fffd}é\"}", "1.2"), (&long, &long)] {
            let post = StoredPost {
                call,
                index: u32::MAX,
                accepted: u64::MAX,
                ..post(0, body)
            };
            let mut bytes = Vec::new();
            assert!(post.encode(&mut bytes));
            let mut records = Records::new(&bytes, 0);
            assert_eq!(records.next(), Some(Record::Post(post)));
            assert_eq!(records.next(), None);
            assert_eq!((records.skipped(), records.offset()), (0, bytes.len()));
        }
        let (bytes, _, said) = file();
        assert_eq!(read_header(&bytes), Header::Records);
        assert_eq!(bodies(&bytes), said);
        let many: Vec<u64> = (0..100_000).collect();
        let mut bytes = Vec::new();
        encode_done(&many, &mut bytes);
        let read: Vec<u64> = Records::new(&bytes, 0)
            .flat_map(|record| match record {
                Record::Done(numbers) => numbers,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, many);
    }

    #[test]
    fn what_is_too_long_for_a_record_is_not_written() {
        let long = "x".repeat(MAX_PAYLOAD);
        let mut bytes = Vec::new();
        assert!(!post(0, &long).encode(&mut bytes));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_changed_byte_costs_its_own_record_and_no_other() {
        let (whole, begins, said) = file();
        for at in 0..whole.len() {
            for change in [
                0x01,
                0x80,
                0xff,
                whole[at],
                whole[at] ^ 0xff,
                whole[at] ^ b'S',
            ] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                if change == 0 {
                    continue;
                }
                assert_eq!(read_header(&bytes), Header::Records, "byte {at}");
                let hit = begins
                    .windows(2)
                    .position(|pair| (pair[0]..pair[1]).contains(&at));
                let mut wanted = said.clone();
                if let Some(hit) = hit {
                    wanted.remove(hit);
                }
                assert_eq!(bodies(&bytes), wanted, "byte {at} by {change:#x}");
            }
        }
    }

    #[test]
    fn a_torn_file_is_read_up_to_the_tear_and_on_behind_it() {
        let (whole, begins, said) = file();
        for end in 0..=whole.len() {
            let complete = begins.iter().filter(|begin| **begin <= end).count();
            let wanted = &said[..complete.saturating_sub(1)];
            let torn = &whole[..end];
            assert_eq!(bodies(torn), wanted, "cut at {end}");
            // Somebody went on writing behind the tear.
            let mut more = torn.to_vec();
            assert!(post(9, "behind").encode(&mut more));
            assert_eq!(bodies(&more)[wanted.len()..], ["behind"], "cut at {end}");
        }
    }

    #[test]
    fn another_version_is_told_from_a_damaged_header() {
        let mut other = MAGIC.to_vec();
        other.extend(7_u32.to_le_bytes());
        other.extend(checksum(&[MAGIC, &7_u32.to_le_bytes()]));
        assert_eq!(read_header(&other), Header::Version(7));
        assert_eq!(read_header(&header()), Header::Records);
        assert_eq!(read_header(b""), Header::Records);
        let mut damaged = header();
        damaged[9] ^= 1;
        assert_eq!(read_header(&damaged), Header::Records);
    }

    #[test]
    fn a_whole_record_of_a_later_salara_is_passed_over() {
        let mut bytes = Vec::new();
        record(&mut bytes, |out| out.extend(b"\x09future"));
        assert!(post(1, "{}").encode(&mut bytes));
        let mut records = Records::new(&bytes, 0);
        assert_eq!(records.next(), Some(Record::Other));
        assert_eq!(records.next(), Some(Record::Post(post(1, "{}"))));
        assert_eq!(records.skipped(), 0);
    }

    #[test]
    fn noise_is_no_record_and_does_no_harm() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..200 {
            let mut bytes: Vec<u8> = Vec::new();
            for _ in 0..500 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match random % 16 {
                    0 => bytes.extend(MARKER),
                    1 => bytes.extend([0xff, 0xff, 0xff, 0xff]),
                    2 => bytes.extend(header()),
                    _ => bytes.push(random.to_le_bytes()[7]),
                }
            }
            assert_eq!(bodies(&bytes), Vec::<String>::new());
            assert!(post(1, "found").encode(&mut bytes));
            assert_eq!(bodies(&bytes), ["found"]);
        }
    }
}
