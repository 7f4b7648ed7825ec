//! The Asterisk Manager Interface as salara speaks it: messages, actions, events, one session.
//!
//! This file owns [`Message`], the packet all parts of the layer share. It must not know TCP.
//!
//! The surprising fact: nothing about a header's value is promised. It has no declared charset, may
//! be cut in mid-character, and may even hold a bare line feed (`Unable to retrieve endpoint x\n`,
//! seen from Asterisk 22). Values are bytes, and are read lossily, one by one.

use std::borrow::Cow;
use std::fmt;

pub mod action;
pub mod codec;
pub mod event;
pub mod instance;
pub mod session;
pub mod state;

/// One AMI packet, borrowed from the decoder: ordered headers, repeats kept.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    headers: &'a [Header],
}

/// Where a header's key and value lie in the packet's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// None for the raw lines of an old command's answer, which are `Output` without saying so.
    key: Option<(u32, u32)>,
    value: (u32, u32),
}

/// A packet that outlives the decoder's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMessage {
    bytes: Box<[u8]>,
    headers: Box<[Header]>,
}

impl<'a> Message<'a> {
    /// The first value of `key`, in any letter case.
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first value of `key` as text, broken characters replaced; empty when there is none.
    pub fn text(&self, key: &str) -> Cow<'a, str> {
        String::from_utf8_lossy(self.get(key).unwrap_or_default())
    }

    /// Whether the first value of `key` is `wanted`, both in any letter case.
    pub fn is(&self, key: &str, wanted: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.eq_ignore_ascii_case(wanted.as_bytes()))
    }

    /// The name of the event this packet is, decided by its first header: an `OriginateResponse`
    /// event has a `Response:` header too.
    pub fn event(&self) -> Option<&'a [u8]> {
        let (key, value) = self.iter().next()?;
        key.eq_ignore_ascii_case(b"Event").then_some(value)
    }

    /// All headers in order, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.headers.iter().map(move |header| {
            let key = header
                .key
                .map_or(b"Output".as_slice(), |key| slice(bytes, key));
            (key, slice(bytes, header.value))
        })
    }

    /// The packet without its decoder.
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage {
            bytes: self.bytes.into(),
            headers: self.headers.into(),
        }
    }

    /// How many bytes of the wire the packet took.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Message<'_> {
    /// One line, as a log can show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, value)) in self.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            write!(f, "{separator}{key}: {value}")?;
        }
        Ok(())
    }
}

impl OwnedMessage {
    /// The packet as the decoder gave it.
    pub fn message(&self) -> Message<'_> {
        Message {
            bytes: &self.bytes,
            headers: &self.headers,
        }
    }
}

fn slice(bytes: &[u8], (from, to): (u32, u32)) -> &[u8] {
    bytes.get(from as usize..to as usize).unwrap_or_default()
}
