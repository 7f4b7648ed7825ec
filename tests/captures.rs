//! The decoder and the session on what real Asterisks sent.
//!
//! `captures/*.txt` are dialogues with Asterisk 22, `golden/ami-actions/ami.txt` is what 16 answers
//! to many actions, and `captures/bulk.txt.xz` is a busy Asterisk 22 with all events on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Read;
use std::path::Path;

use salara::ami::Message;
use salara::ami::codec::{Decoder, Item};

#[path = "captures/chunks.rs"]
mod chunks;
#[path = "captures/pitfalls.rs"]
mod pitfalls;

use chunks::server_chunks;

/// How many dialogues there are. A test that finds none passes for the wrong reason.
const DIALOGUES: usize = 82;
/// What the notes to the bulk capture say of it.
const BULK_MESSAGES: usize = 29_973;

/// A message as its headers: key and value.
type Headers = Vec<(Vec<u8>, Vec<u8>)>;

#[test]
fn every_recorded_dialogue_is_decoded_without_loss() {
    let mut found = 0;
    each_dialogue(|name, chunks| {
        let stream = chunks.concat();
        let wanted = read_simply(&stream);
        let whole = decode([stream.as_slice()]);
        assert_eq!(whole, wanted, "{name}: whole");
        assert_eq!(
            decode(chunks.iter().copied()),
            wanted,
            "{name}: as it was sent"
        );
        assert_eq!(decode(stream.chunks(1)), wanted, "{name}: byte by byte");
        found += 1;
    });
    assert_eq!(found, DIALOGUES);
}

#[test]
fn every_recorded_dialogue_is_the_same_cut_anywhere() {
    let mut found = 0;
    each_dialogue(|name, chunks| {
        let stream = chunks.concat();
        let wanted = read_simply(&stream);
        for seed in 1..=4 {
            assert_eq!(decode(cuts(&stream, seed)), wanted, "{name}: seed {seed}");
        }
        found += 1;
    });
    assert_eq!(found, DIALOGUES);
}

#[test]
fn every_recorded_byte_belongs_to_a_message_or_an_empty_line() {
    each_dialogue(|name, chunks| {
        let stream = chunks.concat();
        let mut decoder = Decoder::new();
        decoder.push(&stream);
        let (mut size, mut messages) = (0, 0);
        while let Some(item) = decoder.next().unwrap() {
            if let Item::Message(message) = item {
                size += message.size();
                messages += 1;
            }
        }
        let banner = stream.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let empty = stream.len() - banner - size;
        assert!(
            empty.is_multiple_of(2) && empty <= 2 * messages,
            "{name}: {empty} bytes are lost"
        );
    });
}

#[test]
fn the_bulk_capture_is_the_same_in_any_segmentation() {
    let stream = bulk();
    let wanted = read_simply(&stream);
    assert_eq!(wanted.len(), BULK_MESSAGES);
    same(&wanted, [stream.as_slice()], "whole");
    same(&wanted, stream.chunks(1), "byte by byte");
    for seed in 1..=2 {
        same(&wanted, cuts(&stream, seed), "cut at random");
    }
}

/// Compares without holding the stream decoded a second time.
fn same<'a>(wanted: &[Headers], segments: impl IntoIterator<Item = &'a [u8]>, how: &str) {
    let mut decoder = Decoder::new();
    let mut wanted = wanted.iter();
    for segment in segments {
        decoder.push(segment);
        while let Some(item) = decoder.next().unwrap() {
            let Item::Message(message) = item else {
                continue;
            };
            let wanted = wanted.next().unwrap();
            let same = wanted.len() == message.iter().count()
                && message.iter().zip(wanted).all(|((key, value), wanted)| {
                    key == wanted.0.as_slice() && value == wanted.1.as_slice()
                });
            assert!(same, "{how}: {:?} for {wanted:?}", headers(message));
        }
    }
    assert_eq!(wanted.next(), None, "{how}: messages are lost");
}

/// All that Asterisk sent in the bulk capture.
fn bulk() -> Vec<u8> {
    let packed = fs::File::open(directory().join("bulk.txt.xz")).unwrap();
    let mut capture = Vec::new();
    lzma_rust2::XzReader::new(packed, false)
        .read_to_end(&mut capture)
        .unwrap();
    server_chunks(&capture).concat()
}

fn each_dialogue(mut read: impl FnMut(&str, &[&[u8]])) {
    let mut names: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    names.sort();
    for path in names {
        let capture = fs::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let chunks = server_chunks(&capture);
        assert!(!chunks.is_empty(), "{name}: Asterisk says nothing");
        read(&name, &chunks);
    }
    let sixteen = fs::read(directory().join("../golden/ami-actions/ami.txt")).unwrap();
    read("asterisk16", &[&sixteen]);
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

/// The messages of a stream, read the simple way, once it is all there: an empty line ends a
/// message, the first colon ends a key, and one blank behind it belongs to it.
fn read_simply(stream: &[u8]) -> Vec<Headers> {
    let lines = lines(stream);
    let (banner, lines) = lines.split_first().unwrap();
    assert!(banner.starts_with(b"Asterisk Call Manager/"));
    let mut messages = vec![Headers::new()];
    for line in lines {
        if line.is_empty() {
            messages.push(Headers::new());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let (key, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        messages
            .last_mut()
            .unwrap()
            .push((key.into(), value.into()));
    }
    messages.retain(|message| !message.is_empty());
    messages
}

/// The whole lines of a stream, as CR LF ends them.
fn lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, byte) in stream.iter().enumerate() {
        if *byte == b'\n' && stream[start..at].ends_with(b"\r") {
            lines.push(&stream[start..at - 1]);
            start = at + 1;
        }
    }
    lines
}

fn decode<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<Headers> {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    for segment in segments {
        decoder.push(segment);
        while let Some(item) = decoder.next().unwrap() {
            match item {
                Item::Banner(_) => assert_eq!(messages.len(), 0),
                Item::Message(message) => messages.push(headers(message)),
            }
        }
    }
    messages
}

fn headers(message: Message<'_>) -> Headers {
    let headers = message.iter();
    headers
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// The stream in segments of 1 to 64 bytes, or to 2048, as the seed has it.
fn cuts(mut stream: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut random = seed;
    let largest = if seed.is_multiple_of(2) { 64 } else { 2048 };
    let mut segments = Vec::new();
    while !stream.is_empty() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let length = 1 + usize::try_from(random % largest).unwrap();
        let (segment, rest) = stream.split_at(length.min(stream.len()));
        segments.push(segment);
        stream = rest;
    }
    segments
}
