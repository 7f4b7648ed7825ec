//! salara.conf read again while salara runs.
//!
//! This file owns what happens to what is under way. It must not know how the file is read.
//!
//! The surprising fact: all that can fail is done first. Then the new file counts whole, or the old
//! one goes on as if nothing had been.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use log::{error, info, warn};
use mio::net::TcpListener;

use super::connection::{Connection, Kind};
use super::doors::Greeting;
use super::wanted::{event_mask, event_names};
use super::{Reactor, RunError, log_refusal};
use crate::access::{Access, Callers};
use crate::config::Config;
use crate::control::Sheet;
use crate::{agi, api, control, http, logging};

impl Reactor {
    /// Reads the file again; what came of it is told, and logged.
    pub(super) fn reload(&mut self, now: Instant) -> Sheet {
        let file = self.path.display().to_string();
        self.supervisor.reloading();
        let reloaded = self.try_reload(now);
        self.supervisor.ready();
        match reloaded {
            Ok(told) => {
                let mut sheet = Sheet::done("");
                for line in &told {
                    warn!(target: "salara", "{line}");
                    sheet.line(line);
                }
                info!(target: "salara", "{file}: reloaded");
                sheet.line(&format!("{file}: reloaded"));
                sheet.put("file", file.into());
                sheet.put("warnings", told.into());
                sheet
            }
            Err(why) => {
                error!(target: "salara", "not reloaded, all goes on as it was: {why}");
                Sheet::failed(format!("not reloaded, all goes on as it was:\n{why}"))
            }
        }
    }

    fn try_reload(&mut self, now: Instant) -> Result<Vec<String>, String> {
        let (mut config, mut told) = (self.read)(&self.path)?;
        let old = Rc::clone(&self.config);
        let is_moved = config.url.rest_server != old.url.rest_server || self.bound.is_none();
        let (agi, old_agi) = (config.url.agi_server, old.url.agi_server);
        let agi_moves = agi != old_agi || agi.is_some() != self.calls.bound().is_some();
        let is_told_elsewhere = config.log_to != old.log_to;
        if is_told_elsewhere {
            logging::reopen(Some(&config.log_to))?;
        }
        let port = config.url.rest_server.port();
        if is_moved && agi_moves && self.calls.bound().is_some_and(|at| at.port() == port) {
            // The other door leaves the port that is wanted.
            self.close_to_calls(now);
        }
        let mut heard = if is_moved {
            self.listen(&config, now)
        } else {
            Ok(())
        };
        let has_moved = is_moved && heard.is_ok();
        if agi_moves && heard.is_ok() {
            heard = self.listen_for_calls(&config, now);
        }
        if let Err(why) = heard {
            // All as it was.
            if is_told_elsewhere {
                drop(logging::reopen(Some(&old.log_to)));
            }
            let back = if has_moved {
                self.listen(&old, now)
            } else {
                Ok(())
            };
            let calls_back = if old_agi.is_some() && self.calls.bound().is_none() {
                self.listen_for_calls(&old, now)
            } else {
                Ok(())
            };
            for error in [back, calls_back].into_iter().filter_map(Result::err) {
                error!(target: "salara", "{error}");
            }
            return Err(why.to_string());
        }
        // From here on nothing fails.
        if !is_moved {
            self.doors.greet(Kind::Rest, greeting(Kind::Rest, &config));
        }
        self.doors.greet(Kind::Agi, greeting(Kind::Agi, &config));
        self.calls.configure(&config);
        let mut late = Vec::from_iter(self.posts.configure(&config));
        let (new, was) = (&mut config.delivery, &old.delivery);
        if new.spool_dir != was.spool_dir {
            late.push("spool_dir");
        }
        if new.spool_max != was.spool_max {
            late.push("spool_max");
        }
        if (new.parallel == 1) != (was.parallel == 1) {
            late.push("parallel");
        }
        late.dedup();
        // What is in force is what is compared with the next time.
        (new.spool_dir, new.spool_max) = (was.spool_dir.clone(), was.spool_max);
        if late.contains(&"parallel") {
            new.parallel = was.parallel;
        }
        told.extend(
            late.iter()
                .map(|key| format!("{key}: counts from the next start")),
        );
        self.access = Access::new(
            &config.security,
            self.bound.unwrap_or(config.url.rest_server),
        );
        let is_elsewhere = config.ami != old.ami;
        self.session.reconnect(
            &event_mask(&config),
            &event_names(&config),
            is_elsewhere,
            now,
        );
        logging::set_verbosity(config.event.verbose);
        self.adopt(Rc::new(config));
        self.drain(now);
        Ok(told)
    }

    /// From now on this counts.
    pub(super) fn adopt(&mut self, config: Rc<Config>) {
        self.engine.configure(Rc::clone(&config));
        self.config = config;
    }

    /// Listens for REST requests where it is told to, and no more where it did.
    pub(super) fn listen(&mut self, config: &Config, now: Instant) -> Result<(), RunError> {
        let address = config.url.rest_server;
        let was = self.bound;
        let bound = self.listen_at(Kind::Rest, "rest_server", address, was, config, now);
        if !self.doors.has(Kind::Rest) {
            self.bound = None;
        }
        let bound = bound?;
        self.bound = Some(bound);
        info!(target: "rest", "listening on {bound}");
        Ok(())
    }

    /// Listens at an address of the file, and no more where it did, `was`.
    pub(super) fn listen_at(
        &mut self,
        kind: Kind,
        key: &'static str,
        address: SocketAddr,
        was: Option<SocketAddr>,
        config: &Config,
        now: Instant,
    ) -> Result<SocketAddr, RunError> {
        let ours = was.filter(|was| was.port() == address.port());
        let listener = match (TcpListener::bind(address), ours) {
            // Our own listener may be what is in the way: 127.0.0.1:5058 is part of *:5058.
            (Err(error), Some(was)) if error.kind() == ErrorKind::AddrInUse => {
                self.doors.close(kind, &mut self.clients, now);
                let listener = TcpListener::bind(address);
                if listener.is_err() {
                    let greet = greeting(kind, &self.config);
                    let back = TcpListener::bind(was);
                    let back = back.and_then(|back| self.open(kind, back, greet, now));
                    if let Err(error) = back {
                        error!(target: kind.name(), "{was}: cannot listen any more: {error}");
                    }
                }
                listener
            }
            (listener, _) => listener,
        };
        listener
            .and_then(|listener| self.open(kind, listener, greeting(kind, config), now))
            .map_err(|error| RunError::Listen(key, address, error))
    }

    fn open(
        &mut self,
        kind: Kind,
        listener: TcpListener,
        greet: Greeting,
        now: Instant,
    ) -> io::Result<SocketAddr> {
        let bound = listener.local_addr()?;
        let registry = self.poll.registry();
        let (listener, clients) = (Box::new(listener), &mut self.clients);
        self.doors
            .open(kind, listener, greet, registry, clients, now)?;
        Ok(bound)
    }
}

/// How those who come in by this kind of door are met.
pub(super) fn greeting(kind: Kind, config: &Config) -> Greeting {
    let options = http::Options {
        bare_reply: config.compat.bare_reply,
        error_body: api::ERROR_BODY,
    };
    let callers = Callers::new(&config.security);
    Box::new(move |peer, now| {
        Some(match kind {
            Kind::Rest => Connection::Rest(http::Connection::new(options, now)),
            Kind::Control => Connection::Control(control::Exchange::new(now)),
            Kind::Agi => {
                let judged = callers.judge(peer).inspect_err(|no| log_refusal(peer, no));
                judged.ok()?;
                Connection::Agi(agi::Session::new(now))
            }
        })
    })
}
