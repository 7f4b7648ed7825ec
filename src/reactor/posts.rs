//! The way of an event from the queue to a worker and of its outcome back.
//!
//! This file owns the two, the shelf beside them, and their log. It must not know what an event says.
//!
//! The surprising fact: nothing is lost by a worker that cannot be started. Its post stays what it
//! was, one that failed, and is tried again when its time comes.

use std::sync::Arc;
use std::time::Instant;

use log::{Level, debug, info, log, warn};
use mio::Waker;

use super::direct::{Direct, Directs};
use super::shelf::{InUse, Shelf};
use crate::ami::instance::Instance;
use crate::channel::Post;
use crate::config::{CallLevel, Config, StateLevel, printable_url};
use crate::control::Sheet;
use crate::crm::Outcome;
use crate::crm::backlog::Backlog;
use crate::crm::client::Endpoint;
use crate::crm::queue::{Note, Queue, Standing};
use crate::crm::sign::Signer;
use crate::crm::target::Target;
use crate::crm::worker::Workers;
use crate::engine::ConnId;

/// Events on their way to the CRM.
#[derive(Debug)]
pub(super) struct Posts {
    backlog: Backlog,
    /// Where events are kept that the CRM does not take at once, if anywhere.
    shelf: Option<Shelf>,
    workers: Workers,
    directs: Directs,
    instance: Instance,
    url: Box<str>,
    /// There is an address to post to, and events for it.
    is_wanted: bool,
}

impl Posts {
    pub(super) fn new(
        config: &Config,
        instance: Instance,
        seed: u64,
        waker: Arc<Waker>,
        now: Instant,
    ) -> Result<Self, InUse> {
        let url = &config.url.dest_url_event;
        let delivery = &config.delivery;
        let parallel = delivery.parallel;
        let queue = Queue::new(instance.clone(), parallel, delivery.retry_for, seed);
        let mut backlog = Backlog::new(queue);
        // What an earlier run left goes out also when no new events are wanted.
        let dir = delivery.spool_dir.clone().filter(|_| !url.is_empty());
        let shelf = match dir {
            Some(dir) => Some(Shelf::open(dir, delivery.spool_max, &mut backlog, now)?),
            None => None,
        };
        let (endpoint, is_wanted) = endpoint(config);
        let signer = Signer::new(&delivery.signing_secret);
        Ok(Self {
            backlog,
            shelf,
            workers: Workers::new(endpoint, signer, parallel, waker),
            directs: Directs::default(),
            instance,
            url: url.clone(),
            is_wanted,
        })
    }

    /// Other settings count for what goes out from now on, and the CRM is tried whatever it has said.
    /// Tells what they want that takes a start.
    pub(super) fn configure(&mut self, config: &Config) -> Option<&'static str> {
        let (endpoint, is_wanted) = endpoint(config);
        let delivery = &config.delivery;
        let signer = Signer::new(&delivery.signing_secret);
        self.workers.redirect(endpoint, signer, delivery.parallel);
        self.backlog
            .configure(delivery.parallel, delivery.retry_for);
        self.backlog.reopen();
        self.url = config.url.dest_url_event.clone();
        self.is_wanted = is_wanted;
        let wants_shelf = delivery.spool_dir.is_some() && !self.url.is_empty();
        (wants_shelf && self.shelf.is_none()).then_some("spool_dir")
    }

    /// Makes a post by hand, or tells why not.
    pub(super) fn push_direct(&mut self, direct: Direct) -> Result<(), &'static str> {
        if self.url.is_empty() {
            return Err("dest_url_event is empty: there is nowhere to post to");
        }
        self.directs.push(direct);
        Ok(())
    }

    /// The answer to a post made by hand.
    pub(super) fn poll_answer(&mut self) -> Option<(ConnId, &'static str, Outcome)> {
        self.directs.poll_answer()
    }

    /// Tries failed events again.
    pub(super) fn replay(&mut self, now: Instant) -> Sheet {
        let count = self.backlog.replay(now);
        let mut sheet = Sheet::done("");
        sheet.fact("replayed", "events tried again: ", count, "");
        sheet
    }

    /// `show events`
    pub(super) fn show(&self, now: Instant) -> Sheet {
        let Standing {
            waiting,
            in_memory,
            oldest,
            endpoint,
            tried_in,
            failed,
            dropped,
        } = self.backlog.standing(now);
        let mut sheet = Sheet::done("");
        let url = match &*printable_url(&self.url) {
            "" => "nowhere".to_owned(),
            url if !self.is_wanted => format!("{url}, but none are wanted"),
            url => url.to_owned(),
        };
        sheet.fact("url", "events go to: ", url, "");
        sheet.fact("endpoint", "endpoint: ", endpoint, "");
        if let Some(wait) = tried_in {
            sheet.fact("tried_in", "tried again in: ", wait.as_secs(), " s");
        }
        sheet.fact("waiting", "waiting: ", waiting, "");
        sheet.fact("in_memory", "waiting in memory only: ", in_memory, "");
        if let Some(age) = oldest {
            sheet.fact("oldest", "oldest: ", age.as_secs(), " s");
        }
        sheet.fact("dropped", "dropped: ", dropped, "");
        sheet.fact("failed", "failed: ", failed, "");
        let mut list = Vec::new();
        for (why, body) in self.backlog.failed() {
            sheet.line(&format!("  {why}: {body}"));
            list.push(format!("{why}: {body}"));
        }
        sheet.put("failures", list.into());
        sheet
    }

    /// Takes an event in.
    pub(super) fn push(&mut self, post: Post, now: Instant) {
        debug!(target: "crm", "[{}] {}", post.call, post.body);
        if self.is_wanted {
            self.backlog.push(post, now);
        }
    }

    /// Takes outcomes back, hands posts out, and stores what has to wait: all before anybody is
    /// answered in this turn.
    pub(super) fn turn(&mut self, now: Instant) {
        self.take_outcomes(now);
        self.backlog.handle_timeout(now);
        if let Some(shelf) = &mut self.shelf {
            shelf.refill(&mut self.backlog, now);
        }
        self.hand_out(now);
        if let Some(shelf) = &mut self.shelf {
            shelf.store(&mut self.backlog, now);
            // What went to disk behind others may have room in memory by now, and no event or
            // deadline would bring another turn for it.
            shelf.refill(&mut self.backlog, now);
            self.hand_out(now);
        }
        self.tell();
    }

    /// Whether none is on its way. What waits for another try may be, and no end waits for that.
    pub(super) fn are_idle(&self) -> bool {
        self.workers.are_idle()
    }

    /// The end: what was not delivered is kept where it can be, and counted where it cannot.
    pub(super) fn stop(mut self, now: Instant) {
        self.take_outcomes(now);
        self.tell();
        match self.shelf {
            Some(shelf) => shelf.stop(&mut self.backlog, now),
            None if self.backlog.is_empty() => {}
            None => warn!(
                target: "crm",
                "{} events were not delivered and are lost: spool_dir would keep them",
                self.backlog.len()
            ),
        }
    }

    /// When `turn` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let shelf = self.shelf.as_ref().and_then(Shelf::poll_timeout);
        self.backlog.poll_timeout().into_iter().chain(shelf).min()
    }

    fn take_outcomes(&mut self, now: Instant) {
        while let Some((id, outcome)) = self.workers.poll_outcome() {
            debug!(target: "crm", "{id:?}: {outcome}");
            if self.directs.take(id, &outcome) {
                continue;
            }
            self.backlog.handle_outcome(id, &outcome, now);
        }
    }

    fn hand_out(&mut self, now: Instant) {
        while self.workers.is_free() {
            let direct = self.directs.poll_delivery(&self.instance);
            let Some(delivery) = direct.or_else(|| self.backlog.poll_delivery()) else {
                return;
            };
            let id = delivery.id;
            if let Err(error) = self.workers.start(delivery) {
                let why = format!("no thread to post with: {error}");
                let outcome = Outcome::Failed(why.into());
                if !self.directs.take(id, &outcome) {
                    self.backlog.handle_outcome(id, &outcome, now);
                }
            }
        }
    }

    fn tell(&mut self) {
        while let Some(note) = self.backlog.poll_note() {
            let level = match note {
                Note::Back { .. } => Level::Info,
                Note::Resting { .. } | Note::Refused { .. } => Level::Warn,
                Note::GivenUp { .. } | Note::Dropped { .. } | Note::Gone { .. } => Level::Error,
            };
            log!(target: "crm", level, "{note}");
        }
    }
}

/// Where events go and how, and whether there will be any; said aloud.
fn endpoint(config: &Config) -> (Endpoint, bool) {
    let url = &config.url.dest_url_event;
    let is_wanted = !url.is_empty() && wants_events(config);
    let target = Target::new(url);
    let verify = config.security.tls_verify.unwrap_or(false);
    if is_wanted {
        info!(target: "crm", "events go to {}", printable_url(url));
        if target.is_https() && !verify {
            warn!(
                target: "crm",
                "the CRM's certificate is not checked, as the old module did: set tls_verify=1"
            );
        }
    }
    let endpoint = Endpoint {
        key: "dest_url_event",
        target,
        timeout: config.general.curlopt_timeout,
        verify,
        ca: config.security.crm_ca.clone(),
    };
    (endpoint, is_wanted)
}

fn wants_events(config: &Config) -> bool {
    let event = &config.event;
    let calls = [event.hangup, event.newchannel];
    let states = [event.newexten, event.agentcon];
    calls.iter().any(|level| *level != CallLevel::Off)
        || states.iter().any(|level| *level != StateLevel::Off)
}
