//! The way of an incoming call: its AGI session's door, and the CRM that is asked about it.
//!
//! This file owns both and their log. It must not know what is decided about a call.
//!
//! The surprising fact: the door is open unless the file closes it, and so it must not stop an old
//! installation from starting. Where it was not asked for and its port is taken, salara goes on
//! without it and says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use log::{debug, info, warn};
use mio::Waker;

use super::connection::Kind;
use super::{Reactor, RunError};
use crate::config::{Config, printable_url};
use crate::crm::client::Endpoint;
use crate::crm::lookup::Lookups;
use crate::crm::target::Target;
use crate::crm::{Found, Question};
use crate::engine::{ConnId, Engine};

/// Incoming calls on their way.
#[derive(Debug)]
pub(super) struct Calls {
    lookups: Lookups<ConnId>,
    /// Where calls come in.
    bound: Option<SocketAddr>,
    /// A question no thread could be started for.
    unasked: Vec<(ConnId, Found)>,
}

impl Calls {
    pub(super) fn new(config: &Config, waker: Arc<Waker>) -> Self {
        Self {
            lookups: Lookups::new(endpoint(config), waker),
            bound: None,
            unasked: Vec::new(),
        }
    }

    /// Whoever is asked about from now on is asked about there.
    pub(super) fn configure(&mut self, config: &Config) {
        self.lookups.redirect(endpoint(config));
    }

    /// Where calls come in, if they do.
    pub(super) fn bound(&self) -> Option<SocketAddr> {
        self.bound
    }

    /// Asks the CRM.
    pub(super) fn ask(&mut self, question: Question<ConnId>, engine: &Engine) {
        let call = question.call;
        debug!(target: "crm", "{}: who is {}?", engine.name_of(call), question.caller);
        if let Err(error) = self.lookups.ask(question) {
            let why = format!("no thread to ask it with: {error}");
            self.unasked.push((call, Err(why)));
        }
    }

    /// The next answer.
    pub(super) fn poll_found(&mut self, engine: &Engine) -> Option<(ConnId, Found)> {
        let (call, found) = self.unasked.pop().or_else(|| self.lookups.poll_answer())?;
        match &found {
            Ok(said) => {
                let body = String::from_utf8_lossy(&said.body);
                let begin: String = body.chars().take(200).collect();
                debug!(target: "crm", "{}: it says {}: {begin}", engine.name_of(call), said.status);
            }
            Err(why) => debug!(target: "crm", "{}: no answer: {why}", engine.name_of(call)),
        }
        Some((call, found))
    }
}

impl Reactor {
    /// Listens for calls where it is told to, and no more where it did.
    pub(super) fn listen_for_calls(
        &mut self,
        config: &Config,
        now: Instant,
    ) -> Result<(), RunError> {
        let Some(address) = config.url.agi_server else {
            self.close_to_calls(now);
            return Ok(());
        };
        let was = self.calls.bound;
        let bound = self.listen_at(Kind::Agi, "agi_server", address, was, config, now);
        if !self.doors.has(Kind::Agi) {
            self.calls.bound = None;
        }
        match bound {
            Ok(bound) => {
                self.calls.bound = Some(bound);
                let url = printable_url(&config.url.dest_url);
                info!(target: "call", "calls come in over AGI at {bound}; the CRM is asked at {url}");
                Ok(())
            }
            Err(error) if config.url.agi_is_asked_for => Err(error),
            Err(error) => {
                warn!(
                    target: "call",
                    "no incoming calls: {error}; agi_server names another address, or is off"
                );
                Ok(())
            }
        }
    }

    /// Takes no more calls.
    pub(super) fn close_to_calls(&mut self, now: Instant) {
        self.doors.close(Kind::Agi, &mut self.clients, now);
        self.calls.bound = None;
    }
}

fn endpoint(config: &Config) -> Endpoint {
    Endpoint {
        key: "dest_url",
        target: Target::new(&config.url.dest_url),
        timeout: config.general.curlopt_timeout,
        verify: config.security.tls_verify.unwrap_or(false),
        ca: config.security.crm_ca.clone(),
    }
}
