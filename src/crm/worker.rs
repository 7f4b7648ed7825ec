//! The threads that post.
//!
//! This file owns ureq: its agent, and a few threads that each do one post at a time. It must not
//! know order or retries.
//!
//! The surprising fact: a connection is used again only if the answer's body was read to its end,
//! and a post on a connection that the CRM is just closing is lost. So bodies are read (up to a
//! bound), and a post that dies with its connection is tried once more on a new one; that is why
//! the CRM may see it twice, and why it carries a `webhook-id`.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use log::debug;
use mio::Waker;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, http};

use super::hosts::Hosts;
use super::sign::Signer;
use super::target::Target;
use super::{Delivery, Outcome, PostId, trust};
use crate::config::printable_url;

/// A thread's stack: a TLS handshake was measured to fit into a quarter of it.
const STACK: usize = 256 * 1024;
/// So much of an answer is read, that its connection can be used again; more is cut off with it.
const MAX_ANSWER: usize = 64 * 1024;
/// So much of it is told.
const MAX_SAID: usize = 4096;
/// Events are small; ureq's own buffers are 128 KiB each. Below 10 KiB it would grow them again for each
/// body.
const INPUT_BUFFER: usize = 10 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;

/// Where posts go and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The CRM's URL for events.
    pub target: Target,
    /// The total time of one attempt.
    pub timeout: Duration,
    /// Whether the CRM's certificate is checked.
    pub verify: bool,
    /// Certificates it is checked against, beside the system's.
    pub ca: Option<PathBuf>,
    /// Signs each post.
    pub signer: Signer,
}

/// Threads started as they are needed, up to a number.
#[derive(Debug)]
pub struct Workers {
    client: Arc<Client>,
    limit: usize,
    threads: Vec<SyncSender<(Arc<Client>, Delivery)>>,
    idle: Vec<usize>,
    results: Receiver<(usize, PostId, Outcome)>,
    report: Sender<(usize, PostId, Outcome)>,
    waker: Arc<Waker>,
}

impl Workers {
    /// None is started yet.
    pub fn new(endpoint: Endpoint, limit: usize, waker: Arc<Waker>) -> Self {
        let (report, results) = mpsc::channel();
        Self {
            client: Client::new(endpoint, limit),
            limit,
            threads: Vec::new(),
            idle: Vec::new(),
            results,
            report,
            waker,
        }
    }

    /// What is started from now on goes there; what is on its way arrives where it was sent.
    pub fn redirect(&mut self, endpoint: Endpoint, limit: usize) {
        self.client = Client::new(endpoint, limit);
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
        let work = (Arc::clone(&self.client), delivery);
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
        let (hand, work) = mpsc::sync_channel::<(Arc<Client>, Delivery)>(1);
        let (report, waker) = (self.report.clone(), Arc::clone(&self.waker));
        let run = move || {
            for (client, delivery) in work {
                let outcome = client.deliver(&delivery);
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
struct Client {
    endpoint: Endpoint,
    connections: usize,
    /// Made by the first thread that posts: certificates take a while to read.
    agent: OnceLock<Agent>,
    hosts: Hosts,
}

/// Whether a connection that is already there will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Any,
    New,
}

impl Client {
    fn new(endpoint: Endpoint, connections: usize) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            connections,
            agent: OnceLock::new(),
            hosts: Hosts::default(),
        })
    }

    fn deliver(&self, delivery: &Delivery) -> Outcome {
        match self.post(delivery, Connection::Any) {
            Err(error) if has_lost_connection(&error) => self.post(delivery, Connection::New),
            result => result,
        }
        .unwrap_or_else(|error| {
            self.hosts.forget();
            Outcome::Failed(self.explain(&error).into())
        })
    }

    fn post(&self, delivery: &Delivery, connection: Connection) -> Result<Outcome, ureq::Error> {
        #[expect(
            clippy::disallowed_methods,
            reason = "each attempt says when it was made"
        )]
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let Endpoint { target, signer, .. } = &self.endpoint;
        let timestamp = now.as_secs().to_string();
        let signature = signer.sign(&delivery.webhook_id, &timestamp, &delivery.body);
        let mut request = self
            .agent
            .get_or_init(|| self.agent())
            .post(&*target.url)
            .header("Content-Type", delivery.content_type)
            .header("webhook-id", &*delivery.webhook_id)
            .header("webhook-timestamp", timestamp);
        if let Some(signature) = signature {
            request = request.header("webhook-signature", signature);
        }
        if let Some(authorization) = &target.authorization {
            request = request.header("Authorization", authorization.expose());
        }
        if connection == Connection::New {
            request = request.config().max_idle_age(Duration::ZERO).build();
        }
        let mut response = request.send(delivery.body.as_bytes())?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let said = drain(&mut response);
        if (300..400).contains(&status) {
            return Ok(Outcome::Failed(redirected(&response).into()));
        }
        Ok(Outcome::Answered {
            status,
            retry_after,
            said: said.into(),
        })
    }

    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .timeout_global(Some(self.endpoint.timeout))
            .http_status_as_error(false)
            // The CRM may answer 302 to its login page; following it would POST an event to a form.
            .max_redirects(0)
            // salara is configured by its file, not by `http_proxy`.
            .proxy(None)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(self.connections)
            .max_idle_connections_per_host(self.connections)
            .user_agent(concat!("salara/", env!("CARGO_PKG_VERSION")));
        let config = trust::secure(config, &self.endpoint).build();
        Agent::with_parts(config, DefaultConnector::default(), self.hosts.clone())
    }

    /// What went wrong and, where it is known, what to do about it.
    fn explain(&self, error: &ureq::Error) -> String {
        if let Some(text) = trust::explain(error) {
            return text;
        }
        match error {
            ureq::Error::Timeout(_) => {
                let seconds = self.endpoint.timeout.as_secs();
                format!("no answer within {seconds} s (curlopt_timeout)")
            }
            ureq::Error::Io(error) if has_ended(error) => {
                "the connection ended before an answer".into()
            }
            // The system's texts begin with a capital, its kinds do not.
            ureq::Error::Io(error) if error.raw_os_error().is_some() => error.kind().to_string(),
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Protocol(error) => {
                let doubt = if self.endpoint.target.is_https() {
                    "is dest_url_event right?"
                } else {
                    "is dest_url_event right, or is https:// meant?"
                };
                format!("what it answers is not HTTP: {doubt} ({error})")
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                format!("dest_url_event is not a URL ({error})")
            }
            _ => error.to_string(),
        }
    }
}

/// Reads an answer to its end, or for as long as is good for the connection. Its beginning is for
/// the log.
fn drain(response: &mut http::Response<Body>) -> String {
    let mut said = Vec::new();
    let mut body = response.body_mut().as_reader();
    let (mut buffer, mut total) = ([0; 1024], 0);
    while total < MAX_ANSWER {
        // The answer counts as soon as its status is here.
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                debug!(target: "crm", "the answer's body broke off: {error}");
                break;
            }
        };
        total += count;
        let room = MAX_SAID.saturating_sub(said.len());
        said.extend(buffer.iter().take(count.min(room)));
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Nobody is where the URL points: that is as if the CRM were down, not the fault of one event.
fn redirected(response: &http::Response<Body>) -> String {
    let status = response.status().as_u16();
    let location = response.headers().get("Location");
    match location.and_then(|location| location.to_str().ok()) {
        Some(location) => format!(
            "it answers {status}, a redirect to {}, which is not followed: correct dest_url_event",
            printable_url(location)
        ),
        None => format!("it answers {status}, which is no answer to a post: see dest_url_event"),
    }
}

/// Only the form in seconds; a date needs a clock both sides agree on.
fn retry_after(response: &http::Response<Body>) -> Option<Duration> {
    let value = response.headers().get("Retry-After")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn has_lost_connection(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if has_ended(error)) && trust::explain(error).is_none()
}

fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}
