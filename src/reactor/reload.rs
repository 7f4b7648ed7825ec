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
use super::wanted::{event_mask, event_names};
use super::{Reactor, RunError};
use crate::access::Access;
use crate::config::Config;
use crate::control::Sheet;
use crate::{api, http, logging};

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
        let is_moved = config.url.rest_server != old.url.rest_server;
        let is_told_elsewhere = config.log_to != old.log_to;
        if is_told_elsewhere {
            logging::reopen(Some(&config.log_to))?;
        }
        if is_moved && let Err(error) = self.listen(&config, now) {
            if is_told_elsewhere {
                drop(logging::reopen(Some(&old.log_to)));
            }
            return Err(error.to_string());
        }
        // From here on nothing fails.
        if !is_moved {
            self.clients.greet(Kind::Rest, greeting(&config));
        }
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
        self.access = Access::new(&config.security, self.bound);
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
        let listener = match TcpListener::bind(address) {
            // Our own listener may be what is in the way: 127.0.0.1:5058 is part of *:5058.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && address.port() == self.bound.port() =>
            {
                self.clients.close(Kind::Rest, now);
                let listener = TcpListener::bind(address);
                if listener.is_err() {
                    let back = TcpListener::bind(self.bound);
                    let back = back.and_then(|back| self.open(back, greeting(&self.config), now));
                    if let Err(error) = back {
                        error!(target: "rest", "{}: cannot listen any more: {error}", self.bound);
                    }
                }
                listener
            }
            listener => listener,
        };
        let opened = listener.and_then(|listener| self.open(listener, greeting(config), now));
        self.bound = opened.map_err(|error| RunError::Listen(address, error))?;
        info!(target: "rest", "listening on {}", self.bound);
        Ok(())
    }

    fn open(
        &mut self,
        listener: TcpListener,
        greet: super::clients::Greeting,
        now: Instant,
    ) -> io::Result<SocketAddr> {
        let bound = listener.local_addr()?;
        let registry = self.poll.registry();
        self.clients
            .open(Kind::Rest, Box::new(listener), greet, registry, now)?;
        Ok(bound)
    }
}

fn greeting(config: &Config) -> super::clients::Greeting {
    let options = http::Options {
        bare_reply: config.compat.bare_reply,
        error_body: api::ERROR_BODY,
    };
    Box::new(move |now| Connection::Rest(http::Connection::new(options, now)))
}
