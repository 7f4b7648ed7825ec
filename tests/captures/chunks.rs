//! The recorded streams, cut into what was sent at a time.
//!
//! A capture is made of chunks, `--- S>C t=SECONDS bytes=N ---`, a line feed, N bytes, a line feed;
//! lines that begin with `###` are notes. `S>C` is what Asterisk sent.

/// What Asterisk sent, in the segments it came in.
pub(crate) fn server_chunks(mut capture: &[u8]) -> Vec<&[u8]> {
    let mut sent = Vec::new();
    while let Some(end) = capture.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&capture[..end]).unwrap();
        capture = &capture[end + 1..];
        if line.is_empty() || line.starts_with("###") {
            continue;
        }
        let length = line
            .strip_suffix(" ---")
            .and_then(|line| line.rsplit_once(" bytes="))
            .and_then(|(_, length)| length.parse().ok());
        let Some(length) = length else {
            panic!("{line:?} is not the head of a chunk");
        };
        let (chunk, rest) = capture.split_at(length);
        if line.starts_with("--- S>C ") {
            sent.push(chunk);
        }
        capture = rest;
    }
    sent
}
