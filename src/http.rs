//! One REST connection as a machine: bytes in, requests out, replies in, bytes out.
//!
//! It owns states, limits and deadlines, and serves one request at a time, in order; `reading` finds
//! the request. It must not know what a request means: not JSON, not telephony, not who may ask.
//!
//! The surprising fact: closing a socket with unread bytes in it makes the kernel send a reset, and
//! a reset makes the client's kernel throw away a reply it has not read yet. So a connection that we
//! end, and not its client, *lingers* first: its sending side is shut, and what still comes is read
//! and dropped.
//!
//! After each `handle_*`, `reply` and `sent`, drain `poll_request`, then write `outgoing`.

#![deny(clippy::arithmetic_side_effects)]

use std::time::{Duration, Instant};

mod body;
mod error;
mod head;
mod limits;
mod reading;
mod response;

pub use error::RequestError;
pub use head::Bearer;
pub use limits::{
    ANSWER_TIME, IDLE_TIME, LINGER_BYTES, LINGER_TIME, MAX_BODY, MAX_HEAD, MAX_HEADERS,
    REQUEST_TIME, WRITE_TIME,
};
pub use response::Response;

use head::Head;
use limits::{ENOUGH_INPUT, ENOUGH_OUTPUT};
use reading::Step;
use response::Persistence;

/// A connection with one client.
#[derive(Debug)]
pub struct Connection {
    options: Options,
    state: State,
    /// Read and not yet understood.
    input: Vec<u8>,
    /// To be written, from `written` on.
    output: Vec<u8>,
    written: usize,
    write_until: Option<Instant>,
    ready: Option<HttpRequest>,
    /// A request was answered before, so silence is not an offence.
    served: bool,
    eof: bool,
    /// The next reply is the last one.
    last: bool,
}

/// How a connection answers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Write bodies alone, without any HTTP head, and close: what some old scripts read.
    pub bare_reply: bool,
    /// The JSON of a reply to what is not a request at all.
    pub error_body: &'static str,
}

/// A request, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, or any other token.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The token of `Authorization: Bearer …`.
    pub authorization: Option<Bearer>,
}

/// ```text
///        first byte     blank line      body whole          reply()
/// Idle ──────────► Head ────────► Body ──────────► Busy ──────────────► Idle
///   │                │              │                └─ it is the last ─┐
///   │                └─── error ────┴───────────────────────────► Flushing
///   └─ nothing came                                                     │ written
///        └──────────► Closed ◄── eof, 1 s or 64 KiB ── Lingering ◄──────┘
/// ```
#[derive(Debug)]
enum State {
    /// Nothing of a request has come but, perhaps, blank lines.
    Idle { until: Instant, blanks: u8 },
    /// The head is arriving; its first `scanned` bytes are known not to be all of it.
    Head { until: Instant, scanned: usize },
    /// The body is arriving.
    Body { until: Instant, head: Box<Head> },
    /// The request was handed out.
    Busy {
        until: Instant,
        open: Persistence,
        head_only: bool,
    },
    /// The last reply is being written.
    Flushing { left: usize },
    /// The last reply is written and the client may be reading it.
    Lingering { until: Instant, left: usize },
    /// To be dropped.
    Closed,
}

impl Connection {
    /// A connection just accepted.
    pub fn new(options: Options, now: Instant) -> Self {
        Self {
            options,
            state: State::Idle {
                until: after(now, REQUEST_TIME),
                blanks: 0,
            },
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            write_until: None,
            ready: None,
            served: false,
            eof: false,
            last: false,
        }
    }

    /// Takes what the client sent.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } | State::Busy { .. } => {
                self.input.extend_from_slice(bytes);
                self.advance(now);
            }
            State::Flushing { left } => *left = left.saturating_sub(bytes.len()),
            State::Lingering { left, .. } => {
                *left = left.saturating_sub(bytes.len());
                if *left == 0 {
                    self.close();
                }
            }
            State::Closed => {}
        }
    }

    /// The client will send no more; it may still read.
    pub fn handle_eof(&mut self, now: Instant) {
        self.eof = true;
        match self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => self.advance(now),
            State::Lingering { .. } => self.close(),
            State::Busy { .. } | State::Flushing { .. } | State::Closed => {}
        }
    }

    /// Ends what has waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.write_until.is_some_and(|until| until <= now) {
            return self.close();
        }
        match self.state {
            State::Idle { until, .. } if until <= now && !self.has_begun() => self.finish(),
            State::Idle { until, .. } | State::Head { until, .. } | State::Body { until, .. }
                if until <= now =>
            {
                self.refuse(&RequestError::Slow, now);
            }
            State::Busy { until, .. } if until <= now => {
                self.refuse(&RequestError::Unanswered, now);
            }
            State::Lingering { until, .. } if until <= now => self.close(),
            State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Busy { .. }
            | State::Flushing { .. }
            | State::Lingering { .. }
            | State::Closed => {}
        }
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state_until = match self.state {
            State::Idle { until, .. }
            | State::Head { until, .. }
            | State::Body { until, .. }
            | State::Busy { until, .. }
            | State::Lingering { until, .. } => Some(until),
            State::Flushing { .. } | State::Closed => None,
        };
        state_until.into_iter().chain(self.write_until).min()
    }

    /// The next request, once the one before it was answered.
    pub fn poll_request(&mut self) -> Option<HttpRequest> {
        self.ready.take()
    }

    /// Whether `poll_request` would give one: writing may make room for the next in line.
    pub fn has_request(&self) -> bool {
        self.ready.is_some()
    }

    /// Answers the request handed out. It does nothing when the connection is already over: a
    /// reply may cross the client's leaving.
    pub fn reply(&mut self, response: &Response, now: Instant) {
        let State::Busy {
            open, head_only, ..
        } = self.state
        else {
            return;
        };
        self.ready = None;
        self.served = true;
        // A client that said this was its last request sends no more: nothing can be left unread,
        // and the socket may be closed as soon as the reply is out.
        let is_last_said = open == Persistence::Close && self.input.is_empty();
        let over = self.last || self.options.bare_reply || (self.eof && self.input.is_empty());
        let open = if over { Persistence::Close } else { open };
        self.push(response, open, head_only, now);
        if open == Persistence::Close {
            let left = if is_last_said { 0 } else { LINGER_BYTES };
            self.state = State::Flushing { left };
            self.input = Vec::new();
            return;
        }
        self.state = State::Idle {
            until: after(now, IDLE_TIME),
            blanks: 0,
        };
        self.advance(now);
    }

    /// Answers what has begun, then closes; an idle connection closes now.
    pub fn close_soon(&mut self) {
        self.last = true;
        if matches!(self.state, State::Idle { .. }) && self.input.is_empty() {
            self.finish();
        }
    }

    /// What is to be written.
    pub fn outgoing(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of `outgoing` were written.
    pub fn sent(&mut self, n: usize, now: Instant) {
        if self.output.is_empty() {
            return;
        }
        self.written = self.written.saturating_add(n);
        if self.outgoing().is_empty() {
            self.output = Vec::new();
            self.written = 0;
            self.write_until = None;
            match &mut self.state {
                State::Idle { until, .. } => *until = after(now, IDLE_TIME),
                State::Flushing { left } if self.eof || *left == 0 => self.close(),
                State::Flushing { left } => {
                    self.state = State::Lingering {
                        until: after(now, LINGER_TIME),
                        left: *left,
                    };
                }
                State::Head { .. }
                | State::Body { .. }
                | State::Busy { .. }
                | State::Lingering { .. }
                | State::Closed => {}
            }
        }
        // There may be room now for the reply to a request that waits in `input`.
        self.advance(now);
    }

    /// Whether to read the socket: not while enough is waiting to be served.
    pub fn wants_read(&self) -> bool {
        let has_room = match self.state {
            State::Head { .. } | State::Body { .. } => true,
            State::Idle { .. } | State::Busy { .. } => self.input.len() < ENOUGH_INPUT,
            State::Flushing { left } | State::Lingering { left, .. } => left > 0,
            State::Closed => false,
        };
        has_room && !self.eof
    }

    /// Whether the sending side of the socket is to be shut: a client that reads up to the end of
    /// the stream would else wait for us while we wait for it.
    pub fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering { .. })
    }

    /// Whether the socket is to be closed.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether nobody is owed a reply, so that the connection may give way to a new one.
    pub fn is_idle(&self) -> bool {
        let is_owed = match self.state {
            State::Busy { .. } | State::Flushing { .. } => true,
            State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Lingering { .. }
            | State::Closed => false,
        };
        !is_owed && self.outgoing().is_empty()
    }

    fn advance(&mut self, now: Instant) {
        while self.outgoing().len() < ENOUGH_OUTPUT {
            match self.step(now) {
                Ok(Step::Again) => {}
                Ok(Step::Wait) if self.eof => return self.end_input(now),
                Ok(Step::Wait) => return,
                Err(error) => return self.refuse(&error, now),
            }
        }
    }

    /// The client has sent all it will, and it is not enough for a request.
    fn end_input(&mut self, now: Instant) {
        match self.state {
            State::Idle { .. } if !self.has_begun() => self.finish(),
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => {
                self.refuse(&RequestError::Incomplete, now);
            }
            State::Busy { .. }
            | State::Flushing { .. }
            | State::Lingering { .. }
            | State::Closed => {}
        }
    }

    /// Whether a client without a complete request deserves to be told what is wrong. Blank lines
    /// after a request are how some old clients end their body.
    fn has_begun(&self) -> bool {
        let blanks = match self.state {
            State::Idle { blanks, .. } => blanks,
            _ => 0,
        };
        !self.input.is_empty() || (blanks > 0 && !self.served)
    }

    fn refuse(&mut self, error: &RequestError, now: Instant) {
        let response = Response {
            status: error.status(),
            content_type: "application/json",
            headers: vec![("Salara-Error", error.to_string())],
            body: self.options.error_body.into(),
        };
        self.push(&response, Persistence::Close, false, now);
        self.state = State::Flushing { left: LINGER_BYTES };
        self.input = Vec::new();
    }

    fn push(&mut self, response: &Response, open: Persistence, head_only: bool, now: Instant) {
        if self.options.bare_reply {
            return self.push_bytes(&response.body, now);
        }
        self.make_room(now);
        response.encode(open, head_only, &mut self.output);
    }

    fn push_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.make_room(now);
        self.output.extend_from_slice(bytes);
    }

    /// More is about to be written: what was is let go, and the client has its time again.
    fn make_room(&mut self, now: Instant) {
        self.output.drain(..self.written);
        self.written = 0;
        self.write_until = Some(after(now, WRITE_TIME));
    }

    /// Closes once what is waiting is written.
    fn finish(&mut self) {
        if self.outgoing().is_empty() {
            self.close();
        } else {
            self.state = State::Flushing { left: LINGER_BYTES };
        }
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.input = Vec::new();
        self.output = Vec::new();
        self.written = 0;
        self.write_until = None;
        self.ready = None;
    }
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "some seconds from now is always in range"
)]
fn after(now: Instant, wait: Duration) -> Instant {
    now + wait
}

#[cfg(test)]
mod tests;
