//! The link to Asterisk, kept: bytes between its socket and its session.
//!
//! This file owns when it is connected and as whom, how much of it is read in a turn, and what is told
//! of it. It must not know what the bytes mean.
//!
//! The surprising fact: the account is looked up anew for each attempt. Whoever puts manager.conf right
//! need not tell salara.

use std::io;
use std::time::Instant;

use log::{Level, log};

use super::Reactor;
use super::link::{Progress, reason};
use crate::account;
use crate::ami::session::{Credentials, Note, Output};

/// Bytes read from Asterisk in one turn, so that a flood of events leaves time for clients.
const AMI_READS: usize = 64 * 1024;

/// What a connect is for.
pub(super) struct Attempt {
    place: String,
    credentials: Credentials,
}

impl Reactor {
    /// What the session wants, done.
    pub(super) fn follow_session(&mut self, output: Output, now: Instant) {
        match output {
            Output::Connect => self.open_link(now),
            Output::Disconnect => {
                self.attempt = None;
                self.link.close();
            }
            Output::Up(facts) => self.engine.handle_up(facts),
            Output::Down => self.engine.handle_down(),
            Output::Event(event) => self.engine.handle_event(event, now),
            Output::Done(ask, result) => self.engine.handle_done(ask, result, now),
            Output::Note(note) => {
                if !matches!(note, Note::PassedOver(_) | Note::InClear) {
                    self.control.link = note.to_string();
                    self.supervisor.status(&self.control.link);
                }
                log_note(&note);
            }
        }
    }

    fn open_link(&mut self, now: Instant) {
        let target = match account::target(&self.config.ami, &self.path) {
            Ok(target) => target,
            Err(why) => return self.session.handle_disconnected(&why, true, now),
        };
        self.attempt = Some(Attempt {
            place: format!("{}:{}", target.host, target.port),
            credentials: target.credentials,
        });
        let progress = self
            .link
            .connect(&target.host, target.port, self.poll.registry());
        self.follow(progress, now);
    }

    /// Moves a connect on.
    pub(super) fn connect_link(&mut self, now: Instant) {
        if self.attempt.is_some() {
            let progress = self.link.progress(self.poll.registry());
            self.follow(progress, now);
            self.drain(now);
        }
    }

    fn follow(&mut self, progress: Progress, now: Instant) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        match progress {
            Progress::Pending => self.attempt = Some(attempt),
            Progress::Connected => self.session.handle_connected(attempt.credentials, now),
            Progress::Failed { why, near } => {
                let why = format!("{}: {why}", attempt.place);
                self.session.handle_disconnected(&why, near, now);
            }
        }
    }

    /// Reads its share of what has come.
    pub(super) fn read_link(&mut self, buffer: &mut [u8], now: Instant) {
        let mut count = 0;
        while self.link.is_readable() && count < AMI_READS {
            match self.link.read(buffer) {
                Ok(read) => {
                    count += read;
                    self.session
                        .handle_bytes(buffer.get(..read).unwrap_or_default(), now);
                }
                Err(error) => self.lose_link(&error, now),
            }
            self.drain(now);
        }
    }

    /// Writes what the socket takes.
    pub(super) fn write_link(&mut self, now: Instant) {
        while self.link.is_open() && !self.session.outgoing().is_empty() {
            match self.link.write(self.session.outgoing()) {
                Ok(0) => return,
                Ok(count) => self.session.sent(count),
                Err(error) => {
                    self.lose_link(&error, now);
                    self.drain(now);
                }
            }
        }
    }

    fn lose_link(&mut self, error: &io::Error, now: Instant) {
        self.link.close();
        self.session.handle_disconnected(&reason(error), false, now);
    }
}

fn log_note(note: &Note) {
    let level = match note {
        Note::Connected(_) => Level::Info,
        Note::Unreachable(_) | Note::Lost(_) | Note::PassedOver(_) | Note::InClear => Level::Warn,
        Note::Rejected { .. } => Level::Error,
    };
    log!(target: "ami", level, "{note}");
}
