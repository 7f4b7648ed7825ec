//! Bytes of an AMI connection to messages.
//!
//! This file owns framing and its limits. It must not know ActionIDs, logins or time.
//!
//! The surprising fact: until Asterisk 13 the answer to `Command` is not made of headers. After
//! `Response: Follows` come raw lines that end in a bare line feed, may be empty, and stop only at
//! `--END COMMAND--`. They are handed on as `Output` headers, the shape Asterisk 14 gave them.

#![deny(clippy::arithmetic_side_effects)]

use std::fmt;

use super::{Header, Message};

/// A message longer than this is skipped. Asterisk's longest are lists of a few KiB.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A message with more headers is skipped. `PJSIPShowEndpoint` has about 130.
pub const MAX_HEADERS: usize = 256;

/// Beside them, a command's answer has one for each line.
pub const MAX_OUTPUT: usize = 2048;

/// A banner is one short line; more without a line end is not a banner.
const MAX_BANNER: usize = 256;

/// Turns the bytes of one connection, in any segmentation, into its messages.
///
/// Limits: [`MAX_MESSAGE`] bytes, [`MAX_HEADERS`] headers and [`MAX_OUTPUT`] lines a message. What goes beyond is skipped
/// to its end, said once, and the stream goes on.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the message (or skipped line) being read begins.
    start: usize,
    /// Where the line being read begins.
    line: usize,
    /// How far the line has been searched for its end.
    scanned: usize,
    headers: Vec<Header>,
    /// How many of them are lines of a command's output.
    output: usize,
    phase: Phase,
    /// The message before has been handed out: forget it at the next call.
    taken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Banner,
    Headers,
    /// Within an old command's answer: headers first, then raw lines.
    Follows {
        raw: bool,
    },
    /// `--END COMMAND--` was read, its empty line not yet.
    Followed,
    /// Within a message that broke a limit; `raw` when only the end marker ends it.
    Skipping {
        raw: bool,
    },
}

/// What the peer sent.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// The first line: the version behind `Asterisk Call Manager/`, such as `11.0.0`.
    Banner(&'a [u8]),
    /// A message.
    Message(Message<'a>),
}

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The first line is no manager's banner. Nothing more will be read.
    NotAmi(String),
    /// A message broke a limit and is being skipped; the stream goes on.
    TooLarge {
        /// Whose answer it is, if it said so before it broke it.
        action_id: Option<Box<[u8]>>,
    },
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.forget_taken();
        if self.start == self.buffer.len() {
            self.rebase(self.buffer.len());
        } else if self.buffer.len().saturating_add(bytes.len()) > self.buffer.capacity() {
            self.rebase(self.start);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next banner or message; `None` until more bytes come.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it lends, an Iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, DecodeError> {
        self.forget_taken();
        while let Some((line, crlf)) = self.next_line() {
            match self.phase {
                Phase::Banner => {
                    self.phase = Phase::Headers;
                    self.taken = true;
                    return self.banner(line).map(Some);
                }
                Phase::Headers if line.0 == line.1 => {
                    if self.headers.is_empty() {
                        // Nothing between two ends: not a message.
                        self.start = self.line;
                        continue;
                    }
                    return Ok(Some(self.take()));
                }
                Phase::Headers => {
                    self.header(line);
                    if self.headers.len() == 1 && self.first_is_follows() {
                        self.phase = Phase::Follows { raw: false };
                    }
                }
                Phase::Follows { raw } => self.follows(line, crlf, raw),
                Phase::Followed => return Ok(Some(self.take())),
                Phase::Skipping { raw } => {
                    let ends = if raw {
                        self.ends_command(line)
                    } else {
                        line.0 == line.1
                    };
                    if ends {
                        // The empty line after an end marker is no message and is passed over.
                        self.phase = Phase::Headers;
                    }
                    self.start = self.line;
                    continue;
                }
            }
            if self.is_too_large() {
                return Err(self.skip());
            }
        }
        let unfinished = self.buffer.len().saturating_sub(self.start);
        match self.phase {
            Phase::Banner if unfinished > MAX_BANNER => Err(no_banner()),
            Phase::Skipping { .. } if unfinished > MAX_MESSAGE => {
                // An endless line; its last byte may be the CR of its end.
                self.start = self.buffer.len().saturating_sub(1);
                self.line = self.start;
                Ok(None)
            }
            Phase::Headers | Phase::Follows { .. } | Phase::Followed
                if unfinished > MAX_MESSAGE =>
            {
                Err(self.skip())
            }
            Phase::Banner
            | Phase::Headers
            | Phase::Follows { .. }
            | Phase::Followed
            | Phase::Skipping { .. } => Ok(None),
        }
    }

    /// Finds the next whole line and moves past it: where its text lies, and whether CR LF ended it.
    /// A bare line feed ends a line only where the peer writes such lines.
    fn next_line(&mut self) -> Option<((usize, usize), bool)> {
        let bare = match self.phase {
            Phase::Banner | Phase::Follows { .. } | Phase::Skipping { raw: true } => true,
            Phase::Headers | Phase::Followed | Phase::Skipping { raw: false } => false,
        };
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', rest) else {
                self.scanned = self.buffer.len();
                return None;
            };
            let at = self.scanned.saturating_add(found);
            self.scanned = at.saturating_add(1);
            let crlf = at > self.line && self.buffer.get(at.saturating_sub(1)) == Some(&b'\r');
            if crlf || bare {
                let line = (self.line, if crlf { at.saturating_sub(1) } else { at });
                self.line = self.scanned;
                return Some((line, crlf));
            }
        }
    }

    fn banner(&self, line: (usize, usize)) -> Result<Item<'_>, DecodeError> {
        if self.line.saturating_sub(line.0) > MAX_BANNER.saturating_add(1) {
            return Err(no_banner());
        }
        let text = self.buffer.get(line.0..line.1).unwrap_or_default();
        // Proxies put their own name before or behind, so look for the words anywhere.
        let known = text.windows(12).any(|words| words == b"Call Manager");
        match text.iter().position(|b| *b == b'/') {
            Some(slash) if known => Ok(Item::Banner(
                text.get(slash.saturating_add(1)..).unwrap_or_default(),
            )),
            _ => Err(DecodeError::NotAmi(
                String::from_utf8_lossy(text).into_owned(),
            )),
        }
    }

    fn follows(&mut self, line: (usize, usize), crlf: bool, raw: bool) {
        if !raw && crlf && self.is_command_head(line) {
            return self.header(line);
        }
        self.phase = Phase::Follows { raw: true };
        if !(crlf && self.ends_command(line)) {
            return self.output(line);
        }
        self.phase = Phase::Followed;
        // The last line of output and the marker may share a line.
        let end = line.1.saturating_sub(END_COMMAND.len());
        if end > line.0 {
            self.output((line.0, end));
        }
    }

    /// Whether the line is one of the headers that stand before a command's raw lines.
    fn is_command_head(&self, line: (usize, usize)) -> bool {
        let text = self.buffer.get(line.0..line.1).unwrap_or_default();
        ["Privilege:", "ActionID:", "Message:"].iter().any(|key| {
            text.get(..key.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(key.as_bytes()))
        })
    }

    fn ends_command(&self, line: (usize, usize)) -> bool {
        self.buffer
            .get(line.0..line.1)
            .unwrap_or_default()
            .ends_with(END_COMMAND)
    }

    fn first_is_follows(&self) -> bool {
        self.message().is("Response", "Follows")
    }

    fn header(&mut self, line: (usize, usize)) {
        let text = self.buffer.get(line.0..line.1).unwrap_or_default();
        let (key, value) = match memchr::memchr(b':', text) {
            // One blank belongs to the colon; further ones are the value's (`Output:   x`).
            Some(colon) => {
                let behind = line.0.saturating_add(colon).saturating_add(1);
                let blank = self.buffer.get(behind) == Some(&b' ') && behind < line.1;
                let value = behind.saturating_add(usize::from(blank));
                ((line.0, line.0.saturating_add(colon)), (value, line.1))
            }
            // Not a header; kept whole, so that nothing is lost.
            None => ((line.0, line.0), line),
        };
        let is_output = text.get(..OUTPUT.len()) == Some(OUTPUT);
        self.output = self.output.saturating_add(usize::from(is_output));
        self.headers.push(Header {
            key: Some(self.span(key)),
            value: self.span(value),
        });
    }

    /// A raw line as the `Output` header newer versions would have sent.
    fn output(&mut self, line: (usize, usize)) {
        self.output = self.output.saturating_add(1);
        self.headers.push(Header {
            key: None,
            value: self.span(line),
        });
    }

    fn span(&self, (from, to): (usize, usize)) -> (u32, u32) {
        // MAX_MESSAGE bounds both, long before 32 bits end.
        let place = |at: usize| u32::try_from(at.saturating_sub(self.start)).unwrap_or(u32::MAX);
        (place(from), place(to))
    }

    fn message(&self) -> Message<'_> {
        let bytes = self.buffer.get(self.start..self.line).unwrap_or_default();
        Message {
            bytes,
            headers: &self.headers,
        }
    }

    fn take(&mut self) -> Item<'_> {
        self.phase = Phase::Headers;
        self.taken = true;
        Item::Message(self.message())
    }

    fn forget_taken(&mut self) {
        if self.taken {
            self.taken = false;
            self.start = self.line;
            self.clear();
        }
    }

    fn skip(&mut self) -> DecodeError {
        let raw = matches!(self.phase, Phase::Follows { .. });
        self.phase = Phase::Skipping { raw };
        let action_id = self.message().get("ActionID").map(Into::into);
        self.start = self.line;
        self.clear();
        DecodeError::TooLarge { action_id }
    }

    fn clear(&mut self) {
        self.headers.clear();
        self.output = 0;
    }

    fn is_too_large(&self) -> bool {
        self.headers.len().saturating_sub(self.output) > MAX_HEADERS
            || self.output > MAX_OUTPUT
            || self.read() > MAX_MESSAGE
    }

    /// How many bytes of whole lines the message has so far.
    fn read(&self) -> usize {
        self.line.saturating_sub(self.start)
    }

    fn rebase(&mut self, gone: usize) {
        self.buffer.drain(..gone);
        self.start = self.start.saturating_sub(gone);
        self.line = self.line.saturating_sub(gone);
        self.scanned = self.scanned.saturating_sub(gone);
    }
}

fn no_banner() -> DecodeError {
    DecodeError::NotAmi(format!("{MAX_BANNER} bytes without a line end"))
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAmi(met) => write!(
                f,
                "met {met:?} where \"Asterisk Call Manager/…\" was wanted"
            ),
            Self::TooLarge { .. } => write!(
                f,
                "a message of more than {} KiB or {MAX_HEADERS} headers was skipped",
                MAX_MESSAGE / 1024
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What a line of a newer command's answer begins with.
const OUTPUT: &[u8] = b"Output:";

/// Ends the raw lines of an old command's answer (Asterisk up to 13).
const END_COMMAND: &[u8] = b"--END COMMAND--";

#[cfg(test)]
mod tests;
