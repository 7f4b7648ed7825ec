//! The recorded stream: unpacked, cut into its chunks, only the server's side kept.
//!
//! Captures are chunks `--- S>C t=SECONDS bytes=N ---`, a line feed, N raw bytes, a line feed; lines
//! that begin with `###` are notes.

use std::io::Read;
use std::path::Path;

/// All that Asterisk sent, in order.
pub(crate) fn server_bytes(file: &Path) -> Result<Vec<u8>, String> {
    let packed =
        std::fs::File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut capture = Vec::new();
    lzma_rust2::XzReader::new(packed, false)
        .read_to_end(&mut capture)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    cut(&capture)
}

/// How many messages the bytes hold, counted without a decoder: the empty lines that end them.
pub(crate) fn count_messages(bytes: &[u8]) -> usize {
    bytes.windows(4).filter(|four| four == b"\r\n\r\n").count()
}

fn cut(capture: &[u8]) -> Result<Vec<u8>, String> {
    let mut server = Vec::with_capacity(capture.len());
    let mut rest = capture;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        if line.is_empty() || line.starts_with(b"###") {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let length = line
            .strip_suffix(" ---")
            .and_then(|line| line.rsplit_once("bytes="))
            .and_then(|(_, length)| length.parse::<usize>().ok());
        let Some((chunk, behind)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return Err(format!("{line:?} is not the head of a chunk"));
        };
        if line.starts_with("--- S>C ") {
            server.extend_from_slice(chunk);
        }
        rest = behind;
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_s_chunks_are_kept() {
        let capture =
            b"--- C>S t=0.0 bytes=3 ---\nabc\n### a note\n--- S>C t=0.1 bytes=4 ---\n\n--\n\n";
        assert_eq!(cut(capture), Ok(b"\n--\n".to_vec()));
    }

    #[test]
    fn a_short_chunk_is_refused() {
        let short = cut(b"--- S>C t=0.0 bytes=9 ---\nabc\n");
        assert_eq!(
            short,
            Err(r#""--- S>C t=0.0 bytes=9 ---" is not the head of a chunk"#.into())
        );
    }
}
