//! Where a body ends: after a length, or after the last chunk and its trailers.

use std::mem;

use super::RequestError;
use super::limits::{MAX_BODY, MAX_SIZE_LINE, MAX_TRAILERS};

/// A body that is arriving.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes; 0 when the head says nothing.
    Length(usize),
    /// Chunks, each with its own size.
    Chunked(Chunks),
}

impl Body {
    /// Takes what belongs to the body from `input`; gives the body when it is whole.
    pub(super) fn take(&mut self, input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, RequestError> {
        match self {
            Self::Length(length) if input.len() < *length => Ok(None),
            Self::Length(length) => Ok(Some(input.drain(..*length).collect())),
            Self::Chunked(chunks) => chunks.take(input),
        }
    }

    /// Whether the client has bytes of it to send.
    pub(super) fn is_awaited(&self) -> bool {
        !matches!(self, Self::Length(0))
    }
}

/// A chunked body as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    part: Part,
    body: Vec<u8>,
    trailers: usize,
}

/// ```text
/// Size ──n──► Data ──► End ──► Size …
///   └───0───► Trailers ──► done
/// ```
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    /// The line with a chunk's size.
    #[default]
    Size,
    /// So many bytes of a chunk are still to come.
    Data(usize),
    /// The line end after a chunk.
    End,
    /// The lines after the last chunk.
    Trailers,
}

impl Chunks {
    fn take(&mut self, input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, RequestError> {
        let mut rest = input.as_slice();
        let done = self.feed(&mut rest)?;
        let used = input.len().saturating_sub(rest.len());
        input.drain(..used);
        Ok(done.then(|| mem::take(&mut self.body)))
    }

    fn feed(&mut self, rest: &mut &[u8]) -> Result<bool, RequestError> {
        loop {
            match self.part {
                Part::Size => {
                    let Some(line) = take_line(rest, MAX_SIZE_LINE)? else {
                        return Ok(false);
                    };
                    self.part = match parse_size(line)? {
                        0 => Part::Trailers,
                        size if size > MAX_BODY.saturating_sub(self.body.len()) => {
                            return Err(RequestError::BodyTooLong);
                        }
                        size => Part::Data(size),
                    };
                }
                Part::Data(0) => self.part = Part::End,
                Part::Data(left) => {
                    let (data, later) = rest.split_at(left.min(rest.len()));
                    if data.is_empty() {
                        return Ok(false);
                    }
                    self.body.extend_from_slice(data);
                    *rest = later;
                    self.part = Part::Data(left.saturating_sub(data.len()));
                }
                Part::End => match rest {
                    [b'\r', b'\n', later @ ..] => {
                        *rest = later;
                        self.part = Part::Size;
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(RequestError::BadChunk),
                },
                Part::Trailers => {
                    let room = MAX_TRAILERS.saturating_sub(self.trailers);
                    match take_line(rest, room)? {
                        None => return Ok(false),
                        Some([]) => return Ok(true),
                        Some(line) => self.trailers = self.trailers.saturating_add(line.len()),
                    }
                }
            }
        }
    }
}

/// A line without its end. Only CRLF ends one: with a bare LF, a proxy before us and we could see
/// different chunks.
fn take_line<'a>(rest: &mut &'a [u8], max: usize) -> Result<Option<&'a [u8]>, RequestError> {
    let Some(end) = rest.iter().take(max).position(|b| *b == b'\n') else {
        return if rest.len() < max {
            Ok(None)
        } else {
            Err(RequestError::BadChunk)
        };
    };
    let (line, later) = rest.split_at(end);
    *rest = later.strip_prefix(b"\n").unwrap_or(later);
    line.strip_suffix(b"\r")
        .map(Some)
        .ok_or(RequestError::BadChunk)
}

/// The size before the extensions, which mean nothing to us.
fn parse_size(line: &[u8]) -> Result<usize, RequestError> {
    let size = line
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    let hex = std::str::from_utf8(size)
        .ok()
        .filter(|size| !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or(RequestError::BadChunk)?;
    usize::from_str_radix(hex, 16).map_err(|_| RequestError::BodyTooLong)
}
