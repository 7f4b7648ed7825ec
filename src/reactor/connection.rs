//! A client's connection, whichever protocol it speaks.
//!
//! This file owns the list of protocols and hands each question to the one in use. It must not know
//! what any of them says.
//!
//! The surprising fact: every protocol answers the same dozen questions, because each is a machine of
//! the same contract. One more is one more arm, and a door of its own.

use std::time::Instant;

use mio::Token;

use crate::{agi, control, http};

/// The tokens of the doors begin here; those below are the reactor's own.
const FIRST_DOOR: usize = 3;

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP requests.
    Rest,
    /// An administrator's verbs.
    Control,
    /// Incoming calls.
    Agi,
}

/// A connection as a machine.
#[derive(Debug)]
pub(super) enum Connection {
    Rest(http::Connection),
    Control(control::Exchange),
    Agi(agi::Session),
}

/// What a client wants.
#[derive(Debug)]
pub(super) enum Wish {
    Request(http::HttpRequest),
    Verb(control::Verb),
    Call(agi::Event),
}

impl Kind {
    const ALL: [Self; 3] = [Self::Rest, Self::Control, Self::Agi];

    /// The token its listener is polled by.
    pub(super) fn token(self) -> Token {
        Token(FIRST_DOOR + self as usize)
    }

    /// The kind whose listener is polled by this.
    pub(super) fn of(token: Token) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.token() == token)
    }

    /// Connections it may have at a time.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Rest => 256,
            Self::Control => 16,
            // A call has its session for as long as it is decided about.
            Self::Agi => 512,
        }
    }

    /// What the log says it is.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Control => "control",
            Self::Agi => "call",
        }
    }
}

/// Asks the machine, whichever it is.
macro_rules! each {
    ($self:ident, $machine:ident => $question:expr) => {
        match $self {
            Self::Rest($machine) => $question,
            Self::Control($machine) => $question,
            Self::Agi($machine) => $question,
        }
    };
}

impl Connection {
    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        each!(self, machine => machine.handle_bytes(bytes, now));
    }

    pub(super) fn handle_eof(&mut self, now: Instant) {
        each!(self, machine => machine.handle_eof(now));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        each!(self, machine => machine.handle_timeout(now));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        each!(self, machine => machine.poll_timeout())
    }

    /// The next thing the client wants.
    pub(super) fn poll_wish(&mut self) -> Option<Wish> {
        match self {
            Self::Rest(machine) => machine.poll_request().map(Wish::Request),
            Self::Control(machine) => machine.poll_request().map(Wish::Verb),
            Self::Agi(machine) => machine.poll_event().map(Wish::Call),
        }
    }

    /// Whether `poll_wish` would give something though nothing has come.
    pub(super) fn has_wish(&self) -> bool {
        match self {
            Self::Rest(machine) => machine.has_request(),
            Self::Control(machine) => machine.has_request(),
            Self::Agi(machine) => machine.has_event(),
        }
    }

    /// What is to be written.
    pub(super) fn outgoing(&self) -> &[u8] {
        each!(self, machine => machine.outgoing())
    }

    /// So many bytes of `outgoing` were written.
    pub(super) fn sent(&mut self, count: usize, now: Instant) {
        each!(self, machine => machine.sent(count, now));
    }

    /// Whether the socket is to be read.
    pub(super) fn wants_read(&self) -> bool {
        each!(self, machine => machine.wants_read())
    }

    /// Whether the sending side of the socket is to be shut.
    pub(super) fn is_lingering(&self) -> bool {
        match self {
            Self::Rest(machine) => machine.is_lingering(),
            Self::Control(_) => false,
            Self::Agi(_) => false,
        }
    }

    /// Whether the socket is to be closed.
    pub(super) fn is_finished(&self) -> bool {
        each!(self, machine => machine.is_finished())
    }

    /// Whether nobody is owed anything, so that the connection may give way to a new one.
    pub(super) fn is_idle(&self) -> bool {
        each!(self, machine => machine.is_idle())
    }

    /// The socket is broken. Whether somebody has still to hear of it.
    pub(super) fn lose(&mut self, now: Instant) -> bool {
        match self {
            Self::Rest(_) | Self::Control(_) => false,
            Self::Agi(machine) => {
                machine.handle_eof(now);
                machine.has_event()
            }
        }
    }

    /// Ends when nobody is owed anything.
    pub(super) fn close_soon(&mut self) {
        each!(self, machine => machine.close_soon());
    }
}
