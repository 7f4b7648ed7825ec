//! The recordings of the original module below `tests/golden`, as what a client sent and was told.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One REST connection.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What it is called, once in its scenario.
    pub name: String,
    /// The bytes the client sent.
    pub request: Vec<u8>,
    /// The sizes of the pieces it sent them in; none where it was one piece.
    pub segments: Vec<usize>,
    /// Whether the client then said that it would send no more.
    pub half_close: bool,
    /// What it was told; nothing where it gave up waiting.
    pub response: String,
}

impl Exchange {
    /// The request in the pieces in which it was sent.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.request.as_slice();
        let mut sizes = self.segments.iter();
        std::iter::from_fn(move || {
            let size = sizes.next().map_or(rest.len(), |size| *size);
            let (segment, later) = rest.split_at(size);
            rest = later;
            (!segment.is_empty()).then_some(segment)
        })
    }
}

/// The REST connections of a scenario, in the order in which they were made.
pub fn exchanges(scenario: &str) -> Vec<Exchange> {
    let text = read(scenario, "rest.jsonl");
    text.lines().map(exchange).collect()
}

/// The salara.conf of a scenario.
pub fn conf(scenario: &str) -> String {
    read(scenario, "salara.conf")
}

fn exchange(line: &str) -> Exchange {
    let value: Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    let size = |size: &Value| size.as_u64().and_then(|size| usize::try_from(size).ok());
    Exchange {
        name: text("name"),
        // Bytes are recorded as the characters of Latin-1.
        request: text("request")
            .chars()
            .map(|c| u8::try_from(c).expect("a byte"))
            .collect(),
        segments: value["segments"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|n| size(n).expect("a size"))
            .collect(),
        half_close: value["half_close"].as_bool().expect("yes or no"),
        response: text("response"),
    }
}

fn read(scenario: &str, file: &str) -> String {
    let path = folder().join(scenario).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
