//! The way of an event from the queue to a worker and of its outcome back.
//!
//! This file owns the two and their log. It must not know what an event says.
//!
//! The surprising fact: nothing is lost by a worker that cannot be started. Its post stays what it
//! was, one that failed, and is tried again when its time comes.

use std::sync::Arc;
use std::time::Instant;

use log::{debug, error, info, warn};
use mio::Waker;

use crate::ami::instance::Instance;
use crate::channel::Post;
use crate::config::{CallLevel, Config, StateLevel, printable_url};
use crate::crm::Outcome;
use crate::crm::queue::{Note, Queue};
use crate::crm::worker::{Endpoint, Workers};

/// Events on their way to the CRM.
#[derive(Debug)]
pub(super) struct Posts {
    queue: Queue,
    workers: Workers,
    /// There is an address to post to.
    is_wanted: bool,
}

impl Posts {
    pub(super) fn new(config: &Config, instance: Instance, seed: u64, waker: Arc<Waker>) -> Self {
        let url = config.url.dest_url_event.clone();
        let is_wanted = !url.is_empty() && wants_events(config);
        let verify = config.security.tls_verify.unwrap_or(false);
        if is_wanted {
            info!(target: "crm", "events go to {}", printable_url(&url));
            if url.starts_with("https:") && !verify {
                warn!(
                    target: "crm",
                    "the CRM's certificate is not checked, as the old module did: set tls_verify=1"
                );
            }
        }
        let endpoint = Endpoint {
            url,
            timeout: config.general.curlopt_timeout,
            verify,
            ca: config.security.crm_ca.clone(),
        };
        let delivery = &config.delivery;
        Self {
            queue: Queue::new(instance, delivery.parallel, delivery.retry_for, seed),
            workers: Workers::new(endpoint, delivery.parallel, waker),
            is_wanted,
        }
    }

    /// Takes an event in.
    pub(super) fn push(&mut self, post: Post, now: Instant) {
        debug!(target: "crm", "[{}] {}", post.call, post.body);
        if self.is_wanted {
            self.queue.push(post, now);
        }
    }

    /// Takes outcomes back and hands posts out.
    pub(super) fn turn(&mut self, now: Instant) {
        while let Some((id, outcome)) = self.workers.poll_outcome() {
            debug!(target: "crm", "{id:?}: {outcome}");
            self.queue.handle_outcome(id, &outcome, now);
        }
        self.queue.handle_timeout(now);
        while self.workers.is_free()
            && let Some(delivery) = self.queue.poll_delivery()
        {
            let id = delivery.id;
            if let Err(error) = self.workers.start(delivery) {
                let why = format!("no thread to post with: {error}");
                self.queue
                    .handle_outcome(id, &Outcome::Failed(why.into()), now);
            }
        }
        while let Some(note) = self.queue.poll_note() {
            match note {
                Note::Back { .. } => info!(target: "crm", "{note}"),
                Note::Resting { .. } | Note::Refused { .. } => warn!(target: "crm", "{note}"),
                Note::GivenUp { .. } | Note::Dropped { .. } | Note::Gone => {
                    error!(target: "crm", "{note}");
                }
            }
        }
    }

    /// When `turn` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.queue.poll_timeout()
    }
}

fn wants_events(config: &Config) -> bool {
    let event = &config.event;
    let calls = [event.hangup, event.newchannel];
    let states = [event.newexten, event.agentcon];
    calls.iter().any(|level| *level != CallLevel::Off)
        || states.iter().any(|level| *level != StateLevel::Off)
}
