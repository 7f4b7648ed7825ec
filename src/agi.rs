//! One FastAGI session as a machine: a call's facts in, commands out, answers in.
//!
//! It owns framing, limits and deadlines, and has one command in the works at a time. It must not
//! know what is decided about a call, nor why.
//!
//! The surprising fact: Asterisk must not be sent a second command before it has answered the first.
//! It waits on the socket but reads through a buffer, and a line that is already in the buffer wakes
//! nobody. And `HANGUP` is no answer: it comes at any time, in the place of one too.
//!
//! After each `handle_*`, drain `poll_event`, then write `outgoing`.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

mod answer;
mod command;
mod environment;

pub use answer::Answer;
pub use command::{Command, is_harmless, is_variable, may_be_told};
pub use environment::Environment;

/// How long the facts of a call may take to come.
pub const ENVIRONMENT_TIME: Duration = Duration::from_secs(5);
/// How long Asterisk may take over a command that only sets or asks something.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How long an application may run. A transfer after the answer ends when the caller's phone has said
/// how its new call went.
pub const EXEC_TIME: Duration = Duration::from_secs(60);
/// The longest line; Asterisk's own are at most 2048 bytes but for what the dialplan adds.
pub const MAX_LINE: usize = 4 * 1024;
/// The bytes of a call's facts, `agi_arg_1` to `agi_arg_128` included.
pub const MAX_ENVIRONMENT: usize = 32 * 1024;
/// The lines of a command's usage, which Asterisk sends when it does not like one.
pub const MAX_USAGE: usize = 100;

/// A session with one call.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// Read and not yet a whole line.
    input: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<Event>,
}

/// What happens in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call is handed over to us.
    Call(Box<Environment>),
    /// Asterisk has done what it was told, or not.
    Answer(Answer),
    /// The session is over, and not because we ended it. Nothing comes after this.
    Gone(Gone),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The caller hung up, or was sent elsewhere.
    HungUp,
    /// The connection ended.
    Closed,
    /// Asterisk did not answer in time.
    Silent,
    /// What came is not FastAGI.
    Strange(&'static str),
}

/// ```text
///               blank line         command()           line
/// Environment ───────────► Ready ───────────► Waiting ──────► Ready
///       │                    │                   │ 520-
///       │                    │ close()           └──────► Usage ── 520 ──► Ready
///       └── eof, HANGUP, late ┴── or none of this ──► Closed
/// ```
#[derive(Debug)]
enum State {
    /// The facts are arriving.
    Environment {
        until: Instant,
        size: usize,
        facts: Box<Environment>,
    },
    /// It is our turn.
    Ready,
    /// It is Asterisk's turn.
    Waiting { until: Instant },
    /// It explains at length why not.
    Usage { until: Instant, lines: usize },
    /// To be dropped.
    Closed,
}

impl Session {
    /// A connection just accepted.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Environment {
                until: after(now, ENVIRONMENT_TIME),
                size: 0,
                facts: Box::default(),
            },
            input: Vec::new(),
            output: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes what Asterisk sent.
    pub fn handle_bytes(&mut self, bytes: &[u8], _now: Instant) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_finished() {
                return;
            }
            let room = MAX_LINE.saturating_sub(self.input.len());
            if part.len() > room {
                return self.end(Gone::Strange("a line without an end"));
            }
            self.input.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.input);
                let text = String::from_utf8_lossy(&line);
                self.line(text.trim_end_matches(['\n', '\r']), line.len());
            }
        }
    }

    /// Asterisk will send no more.
    pub fn handle_eof(&mut self, _now: Instant) {
        self.end(Gone::Closed);
    }

    /// Ends what has waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|until| until <= now) {
            self.end(Gone::Silent);
        }
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Environment { until, .. }
            | State::Waiting { until }
            | State::Usage { until, .. } => Some(until),
            State::Ready | State::Closed => None,
        }
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether `poll_event` would give something.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Tells Asterisk to do something. It does nothing unless it is our turn: the call may have ended
    /// meanwhile.
    pub fn command(&mut self, command: &Command, now: Instant) {
        if matches!(self.state, State::Ready) {
            command.write(&mut self.output);
            let time = match command {
                Command::Exec { .. } => EXEC_TIME,
                _ => ANSWER_TIME,
            };
            self.state = State::Waiting {
                until: after(now, time),
            };
        }
    }

    /// Hands the call back to the dialplan.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.input = Vec::new();
    }

    /// Ends a session that has not become a call; a call is ended by who decides about it.
    pub fn close_soon(&mut self) {
        if matches!(self.state, State::Environment { .. }) {
            self.close();
        }
    }

    /// What is to be written.
    pub fn outgoing(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of `outgoing` were written.
    pub fn sent(&mut self, count: usize, _now: Instant) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// Whether the socket is to be read.
    pub fn wants_read(&self) -> bool {
        !self.is_finished()
    }

    /// Whether the socket is to be closed.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Closed) && self.events.is_empty()
    }

    /// Whether there is no call yet, so that the connection may give way to a new one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Environment { .. })
    }

    fn line(&mut self, line: &str, len: usize) {
        match &mut self.state {
            State::Environment { size, facts, .. } => {
                *size = size.saturating_add(len);
                if *size > MAX_ENVIRONMENT {
                    return self.end(Gone::Strange("too many lines"));
                }
                if !line.is_empty() {
                    if !facts.take(line) {
                        self.end(Gone::Strange("a line that does not begin with agi_"));
                    }
                    return;
                }
                let facts = std::mem::take(facts);
                if !facts.is_whole() {
                    return self.end(Gone::Strange("no agi_channel or agi_uniqueid"));
                }
                self.state = State::Ready;
                self.events.push_back(Event::Call(facts));
            }
            State::Closed => {}
            State::Ready | State::Waiting { .. } | State::Usage { .. } if line == "HANGUP" => {
                self.end(Gone::HungUp);
            }
            State::Ready => self.end(Gone::Strange("an answer to nothing")),
            State::Waiting { until } => {
                let until = *until;
                match Answer::read(line) {
                    Some(answer) => self.answered(answer),
                    None if line.starts_with("520-") => {
                        self.state = State::Usage { until, lines: 0 };
                    }
                    None => self.end(Gone::Strange("an answer without a number")),
                }
            }
            State::Usage { lines, .. } => {
                *lines = lines.saturating_add(1);
                if *lines > MAX_USAGE {
                    return self.end(Gone::Strange("a usage without an end"));
                }
                if let Some(answer) = Answer::read(line).filter(|answer| answer.code == 520) {
                    self.answered(answer);
                }
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.state = State::Ready;
        self.events.push_back(Event::Answer(answer));
    }

    fn end(&mut self, gone: Gone) {
        // Who never became a call is nobody's loss.
        if !matches!(self.state, State::Environment { .. } | State::Closed) {
            self.events.push_back(Event::Gone(gone));
        }
        self.close();
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp => f.write_str("the caller hung up"),
            Self::Closed => f.write_str("Asterisk closed the AGI session"),
            Self::Silent => f.write_str("Asterisk does not answer over AGI"),
            Self::Strange(what) => write!(f, "what came is not AGI: {what}"),
        }
    }
}

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}

#[cfg(test)]
mod tests;
