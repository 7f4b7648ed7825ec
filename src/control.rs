//! What `salara <verb>` and the salara that runs say to each other.
//!
//! This file owns the wire: one request and one answer for each connection. It must not know
//! sockets, nor what is done about a verb.
//!
//! The surprising fact: both ends are the same program, and may still differ, for a box is upgraded
//! while salara runs. So each begins with its version, and what cannot be understood is said in a
//! form that has never changed: `salara/1 STATUS LENGTH`, and that many bytes of text.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

mod answer;
mod verb;

pub use answer::{Info, Sheet, TEST_EVENTS, chan_records, info, routes, status};
pub use verb::{PostKind, USAGE, Verb};

/// Where a salara listens that is not told otherwise: beside Asterisk's own socket or, for one that may
/// not write there, in a directory of its own.
pub const SOCKETS: [&str; 2] = ["/var/run/asterisk/salara.ctl", "/var/run/salara/salara.ctl"];

/// The version of requests.
const VERSION: u64 = 1;
/// What each answer begins with.
const MAGIC: &str = "salara/1 ";
/// A request is a line of at most this: a text to post may be long.
pub const MAX_REQUEST: usize = 64 * 1024;
/// A request comes, and an answer is taken, within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// It was done.
pub const DONE: u8 = 0;
/// It was refused, or failed.
pub const FAILED: u8 = 1;
/// It was not understood.
pub const NOT_UNDERSTOOD: u8 = 2;
/// Nobody is there to do it.
pub const NOT_RUNNING: u8 = 3;

/// What comes of a request: an exit code, and what is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// See [`DONE`] and its neighbours.
    pub status: u8,
    /// The lines to be printed.
    pub text: String,
}

/// One connection, as the salara that runs sees it. Obeys the contract of all pure machines here.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
}

/// ```text
/// Asking ──► Asked ──► Working ──► Answered ──► Over
///    └─────────────────────────────────┴─────────┘   not understood, too late
/// ```
#[derive(Debug)]
enum State {
    /// The request is still coming.
    Asking {
        give_up_at: Instant,
    },
    /// It is here, and not handed out.
    Asked {
        verb: Verb,
        json: bool,
    },
    /// It is being worked on.
    Working {
        json: bool,
    },
    /// Its answer is being written.
    Answered {
        give_up_at: Instant,
    },
    Over,
}

impl Answer {
    /// Reads what came over a connection, all of it.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        const FOREIGN: &str = "what answers there is not a salara of this kind";
        let text = String::from_utf8_lossy(bytes);
        let (head, text) = text.split_once('\n').ok_or(FOREIGN)?;
        let numbers = head.strip_prefix(MAGIC).ok_or(FOREIGN)?;
        let (status, len) = numbers.split_once(' ').ok_or(FOREIGN)?;
        let status = status.parse().map_err(|_| FOREIGN)?;
        let len: usize = len.parse().map_err(|_| FOREIGN)?;
        match text.get(..len) {
            Some(text) => Ok(Self {
                status,
                text: text.to_owned(),
            }),
            None => Err("the answer broke off"),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { status, text } = self;
        out.extend_from_slice(format!("{MAGIC}{status} {}\n{text}", text.len()).as_bytes());
    }
}

/// The line that asks for this.
pub fn spell(words: &[String], json: bool) -> String {
    let words = Value::from(words);
    format!("{{\"salara\":{VERSION},\"json\":{json},\"words\":{words}}}\n")
}

/// Reads such a line.
fn read(line: &[u8]) -> Result<(Verb, bool), Answer> {
    let request: Option<Map<String, Value>> =
        serde_json::from_slice(line)
            .ok()
            .and_then(|value: Value| match value {
                Value::Object(fields) => Some(fields),
                _ => None,
            });
    let field = |name| request.as_ref().and_then(|fields| fields.get(name));
    if field("salara").and_then(Value::as_u64) != Some(VERSION) {
        let own = env!("CARGO_PKG_VERSION");
        return Err(Answer {
            status: NOT_UNDERSTOOD,
            text: format!("salara {own} runs, and does not understand this client: use its own\n"),
        });
    }
    let json = field("json").and_then(Value::as_bool).unwrap_or(false);
    let words: Option<Vec<String>> = field("words").and_then(Value::as_array).map(|words| {
        let text = |word: &Value| word.as_str().unwrap_or_default().to_owned();
        words.iter().map(text).collect()
    });
    match Verb::parse(&words.unwrap_or_default()) {
        Ok(verb) => Ok((verb, json)),
        Err(why) => Err(Answer {
            status: NOT_UNDERSTOOD,
            text: format!("{why}\n"),
        }),
    }
}

impl Exchange {
    /// Someone has connected.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Asking {
                give_up_at: now + PATIENCE,
            },
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
        }
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if !self.wants_read() {
            return;
        }
        self.input.extend_from_slice(bytes);
        let end = self.input.iter().position(|byte| *byte == b'\n');
        match end.and_then(|end| self.input.get(..end)) {
            Some(line) => match read(line) {
                Ok((verb, json)) => self.state = State::Asked { verb, json },
                Err(answer) => self.answer(&answer, now),
            },
            None if self.input.len() > MAX_REQUEST => {
                let text = format!("a request has at most {MAX_REQUEST} bytes\n");
                let status = NOT_UNDERSTOOD;
                self.answer(&Answer { status, text }, now);
            }
            None => {}
        }
    }

    /// Nothing more will come. Who asked is still told.
    pub fn handle_eof(&mut self, _now: Instant) {
        if self.wants_read() {
            self.state = State::Over;
        }
    }

    /// The clock has moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.state = State::Over;
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Asking { give_up_at } | State::Answered { give_up_at } => Some(give_up_at),
            // The work has its own deadlines.
            State::Asked { .. } | State::Working { .. } | State::Over => None,
        }
    }

    /// What is asked for, once. Answer it by `reply`.
    pub fn poll_request(&mut self) -> Option<Verb> {
        let State::Asked { verb, json } = &self.state else {
            return None;
        };
        let (verb, json) = (verb.clone(), *json);
        self.state = State::Working { json };
        Some(verb)
    }

    /// Whether `poll_request` would give it.
    pub fn has_request(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// Answers the request.
    pub fn reply(&mut self, sheet: Sheet, now: Instant) {
        if let State::Working { json } = self.state {
            self.answer(&sheet.print(json), now);
        }
    }

    fn answer(&mut self, answer: &Answer, now: Instant) {
        answer.write(&mut self.output);
        self.state = State::Answered {
            give_up_at: now + PATIENCE,
        };
    }

    /// Bytes to write.
    pub fn outgoing(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many of them were written.
    pub fn sent(&mut self, count: usize, now: Instant) {
        self.sent = self.sent.saturating_add(count);
        if let State::Answered { give_up_at } = &mut self.state {
            *give_up_at = now + PATIENCE;
            if self.sent >= self.output.len() {
                self.state = State::Over;
            }
        }
    }

    /// Whether bytes are taken.
    pub fn wants_read(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    /// Whether the connection is to be closed.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether nobody is owed anything.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Asking { .. } | State::Over)
    }

    /// Ends when nobody is owed anything.
    pub fn close_soon(&mut self) {
        if self.wants_read() {
            self.state = State::Over;
        }
    }
}

#[cfg(test)]
mod tests;
