//! From bytes to a request.
//!
//! This file owns the steps from one state of reading to the next. It must not know what is written,
//! but for the leave to send a body.
//!
//! The surprising fact: old clients end a body with a line end that is not of it, so a few blank
//! lines may stand before a request.

#![deny(clippy::arithmetic_side_effects)]

use std::mem;
use std::time::Instant;

use super::head::Head;
use super::limits::{ANSWER_TIME, MAX_BLANKS, MAX_HEAD, REQUEST_TIME};
use super::response::Persistence;
use super::{Connection, HttpRequest, RequestError, State, after};

/// Whether there may be more in what has come.
pub(super) enum Step {
    Again,
    Wait,
}

impl Connection {
    pub(super) fn step(&mut self, now: Instant) -> Result<Step, RequestError> {
        match self.state {
            State::Idle { .. } => self.begin_head(now),
            State::Head { .. } => self.read_head(now),
            State::Body { .. } => self.read_body(now),
            State::Busy { .. }
            | State::Flushing { .. }
            | State::Lingering { .. }
            | State::Closed => Ok(Step::Wait),
        }
    }

    fn begin_head(&mut self, now: Instant) -> Result<Step, RequestError> {
        if let State::Idle { blanks, .. } = &mut self.state {
            skip_blank_lines(&mut self.input, blanks)?;
        }
        match self.input.first() {
            None | Some(b'\r') => return Ok(Step::Wait),
            // The first byte of a TLS record that carries a handshake.
            Some(0x16) => return Err(RequestError::Tls),
            Some(b) if !is_token(*b) => return Err(RequestError::NoMethod),
            Some(_) => {}
        }
        self.state = State::Head {
            until: after(now, REQUEST_TIME),
            scanned: 0,
        };
        Ok(Step::Again)
    }

    /// Only whole lines are parsed, and only when there is a new one: a head sent byte by byte
    /// costs little, and no way of cutting it changes what is found.
    fn read_head(&mut self, now: Instant) -> Result<Step, RequestError> {
        let State::Head { until, scanned } = &mut self.state else {
            return Ok(Step::Wait);
        };
        let window = self.input.get(..MAX_HEAD).unwrap_or(&self.input);
        let lines = memchr::memrchr(b'\n', window).map_or(0, |at| at.saturating_add(1));
        if lines > *scanned {
            *scanned = lines;
            if let Some((head, used)) = Head::parse(window.get(..lines).unwrap_or(window))? {
                let until = *until;
                self.input.drain(..used);
                self.begin_body(head, until, now);
                return Ok(Step::Again);
            }
        }
        if self.input.len() >= MAX_HEAD {
            return Err(RequestError::HeadTooLong);
        }
        Ok(Step::Wait)
    }

    fn read_body(&mut self, now: Instant) -> Result<Step, RequestError> {
        let State::Body { head, .. } = &mut self.state else {
            return Ok(Step::Wait);
        };
        let Some(body) = head.body.take(&mut self.input)? else {
            return Ok(Step::Wait);
        };
        let open = match (head.keep_alive, head.http11) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::Open,
            (true, false) => Persistence::OpenOld,
        };
        let head_only = head.method == "HEAD";
        self.ready = Some(HttpRequest {
            method: mem::take(&mut head.method),
            target: mem::take(&mut head.target),
            body,
            authorization: head.authorization.take(),
        });
        let until = after(now, ANSWER_TIME);
        self.state = State::Busy {
            until,
            open,
            head_only,
        };
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(Step::Wait)
    }

    fn begin_body(&mut self, head: Head, until: Instant, now: Instant) {
        // A client that has begun to send its body is not waiting for leave to do so.
        let waits = head.expects_continue && head.body.is_awaited() && self.input.is_empty();
        if waits && !self.options.bare_reply {
            self.push_bytes(b"HTTP/1.1 100 Continue\r\n\r\n", now);
        }
        self.state = State::Body {
            until,
            head: Box::new(head),
        };
    }
}

fn skip_blank_lines(input: &mut Vec<u8>, blanks: &mut u8) -> Result<(), RequestError> {
    loop {
        let length = match input.as_slice() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r', _, ..] => return Err(RequestError::NoMethod),
            _ => return Ok(()),
        };
        input.drain(..length);
        *blanks = blanks.saturating_add(1);
        if *blanks > MAX_BLANKS {
            return Err(RequestError::NoMethod);
        }
    }
}

/// What a method may begin with (RFC 9110, section 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
