//! The threads that post.
//!
//! This file owns a few threads that each do one post at a time, and what a post carries beside its
//! body. It must not know order or retries.
//!
//! The surprising fact: a connection is used again only if the answer's body was read to its end. So
//! bodies are read (up to a bound), though nobody asks for more than their beginning.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, SystemTime};

use log::debug;
use mio::Waker;

use super::client::{Answer, Client, Endpoint, Request, STACK};
use super::sign::Signer;
use super::{Delivery, Outcome, PostId};
use crate::config::printable_url;

/// So much of an answer is told.
const MAX_SAID: usize = 4096;

/// Threads started as they are needed, up to a number.
#[derive(Debug)]
pub struct Workers {
    poster: Arc<Poster>,
    limit: usize,
    threads: Vec<SyncSender<(Arc<Poster>, Delivery)>>,
    idle: Vec<usize>,
    results: Receiver<(usize, PostId, Outcome)>,
    report: Sender<(usize, PostId, Outcome)>,
    waker: Arc<Waker>,
}

impl Workers {
    /// None is started yet.
    pub fn new(endpoint: Endpoint, signer: Signer, limit: usize, waker: Arc<Waker>) -> Self {
        let (report, results) = mpsc::channel();
        Self {
            poster: Poster::new(endpoint, signer, limit),
            limit,
            threads: Vec::new(),
            idle: Vec::new(),
            results,
            report,
            waker,
        }
    }

    /// What is started from now on goes there; what is on its way arrives where it was sent.
    pub fn redirect(&mut self, endpoint: Endpoint, signer: Signer, limit: usize) {
        self.poster = Poster::new(endpoint, signer, limit);
        self.limit = limit;
    }

    /// Whether a post could be made now.
    pub fn is_free(&self) -> bool {
        !self.idle.is_empty() || self.threads.len() < self.limit
    }

    /// Whether no post is being made.
    pub fn are_idle(&self) -> bool {
        self.idle.len() == self.threads.len()
    }

    /// Makes a post; its outcome comes by `poll_outcome` and a wake-up.
    pub fn start(&mut self, delivery: Delivery) -> io::Result<()> {
        let number = match self.idle.pop() {
            Some(number) => number,
            None => self.spawn()?,
        };
        let thread = self.threads.get(number);
        let work = (Arc::clone(&self.poster), delivery);
        let sent = thread.is_some_and(|thread| thread.try_send(work).is_ok());
        if sent {
            Ok(())
        } else {
            Err(io::Error::other("the thread has ended"))
        }
    }

    /// The outcome of a post, if one has ended.
    pub fn poll_outcome(&mut self) -> Option<(PostId, Outcome)> {
        let (number, id, outcome) = self.results.try_recv().ok()?;
        self.idle.push(number);
        Some((id, outcome))
    }

    fn spawn(&mut self) -> io::Result<usize> {
        let number = self.threads.len();
        let (hand, work) = mpsc::sync_channel::<(Arc<Poster>, Delivery)>(1);
        let (report, waker) = (self.report.clone(), Arc::clone(&self.waker));
        let run = move || {
            for (poster, delivery) in work {
                let outcome = poster.deliver(&delivery);
                if report.send((number, delivery.id, outcome)).is_err() {
                    return;
                }
                // Without the wake-up the outcome waits for the next turn, which a full pipe means
                // is near.
                drop(waker.wake());
            }
        };
        thread::Builder::new()
            .name(format!("crm-{number}"))
            .stack_size(STACK)
            .spawn(run)?;
        self.threads.push(hand);
        Ok(number)
    }
}

/// What the threads share.
#[derive(Debug)]
struct Poster {
    client: Client,
    /// Signs each post.
    signer: Signer,
}

impl Poster {
    fn new(endpoint: Endpoint, signer: Signer, connections: usize) -> Arc<Self> {
        Arc::new(Self {
            client: Client::new(endpoint, connections),
            signer,
        })
    }

    fn deliver(&self, delivery: &Delivery) -> Outcome {
        #[expect(
            clippy::disallowed_methods,
            reason = "each attempt says when it was made"
        )]
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let timestamp = now.as_secs().to_string();
        let signature = self
            .signer
            .sign(&delivery.webhook_id, &timestamp, &delivery.body);
        let mut headers = vec![
            ("Content-Type", delivery.content_type),
            ("webhook-id", &*delivery.webhook_id),
            ("webhook-timestamp", &*timestamp),
        ];
        headers.extend(
            signature
                .as_deref()
                .map(|signature| ("webhook-signature", signature)),
        );
        let request = Request {
            suffix: "",
            body: Some(delivery.body.as_bytes()),
            headers: &headers,
            timeout: Duration::MAX,
            max: MAX_SAID,
        };
        match self.client.make(request) {
            Ok(answer) => outcome(answer),
            Err(why) => Outcome::Failed(why.into()),
        }
    }
}

fn outcome(answer: Answer) -> Outcome {
    let status = answer.status;
    if let Some(error) = answer.broken {
        debug!(target: "crm", "the answer's body broke off: {error}");
    }
    // Nobody is where the URL points: as if the CRM were down, not the fault of one event.
    if (300..400).contains(&status) {
        let why = match answer.location {
            Some(location) => format!(
                "it answers {status}, a redirect to {}, which is not followed: correct \
                 dest_url_event",
                printable_url(&location)
            ),
            None => {
                format!("it answers {status}, which is no answer to a post: see dest_url_event")
            }
        };
        return Outcome::Failed(why.into());
    }
    // Only the form in seconds; a date needs a clock both sides agree on.
    let seconds = answer.retry_after.and_then(|text| text.trim().parse().ok());
    Outcome::Answered {
        status,
        retry_after: seconds.map(Duration::from_secs),
        said: String::from_utf8_lossy(&answer.body).into(),
    }
}
