//! The threads that post.
//!
//! This file owns ureq: its agent, its trust, and a few threads that each do one post at a time. It
//! must not know order or retries.
//!
//! The surprising fact: a connection is used again only if the answer's body was read to its end,
//! and a post on a connection that the CRM is just closing is lost. So bodies are read (up to a
//! bound), and a post that dies with its connection is tried once more on a new one; that is why
//! the CRM may see it twice, and why it carries a `webhook-id`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, SystemTime};

use log::{debug, warn};
use mio::Waker;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, http};

use super::{Delivery, Outcome, PostId};

/// A thread's stack: a TLS handshake was measured to fit into a quarter of it.
const STACK: usize = 256 * 1024;
/// So much of an answer is read, that its connection can be used again; more is cut off with it.
const MAX_ANSWER: u64 = 64 * 1024;
/// So much of it is logged.
const MAX_SAID: usize = 200;
/// Events are small; ureq's own buffers are 128 KiB each.
const INPUT_BUFFER: usize = 8 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;
/// Where systems keep the certificates they trust.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Where posts go and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The CRM's URL for events.
    pub url: Box<str>,
    /// The total time of one attempt.
    pub timeout: Duration,
    /// Whether the CRM's certificate is checked.
    pub verify: bool,
    /// Certificates it is checked against, beside the system's.
    pub ca: Option<PathBuf>,
}

/// Threads started as they are needed, up to a number.
#[derive(Debug)]
pub struct Workers {
    endpoint: Endpoint,
    limit: usize,
    agent: Option<Agent>,
    threads: Vec<SyncSender<Delivery>>,
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
            endpoint,
            limit,
            agent: None,
            threads: Vec::new(),
            idle: Vec::new(),
            results,
            report,
            waker,
        }
    }

    /// Whether a post could be made now.
    pub fn is_free(&self) -> bool {
        !self.idle.is_empty() || self.threads.len() < self.limit
    }

    /// Makes a post; its outcome comes by `poll_outcome` and a wake-up.
    pub fn start(&mut self, delivery: Delivery) -> io::Result<()> {
        let number = match self.idle.pop() {
            Some(number) => number,
            None => self.spawn()?,
        };
        let thread = self.threads.get(number);
        let sent = thread.is_some_and(|thread| thread.try_send(delivery).is_ok());
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
        let agent = self
            .agent
            .get_or_insert_with(|| agent(&self.endpoint, self.limit))
            .clone();
        let number = self.threads.len();
        let (hand, work) = mpsc::sync_channel::<Delivery>(1);
        let (report, waker) = (self.report.clone(), Arc::clone(&self.waker));
        let url = self.endpoint.url.clone();
        let run = move || {
            for delivery in work {
                let outcome = deliver(&agent, &url, &delivery);
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

fn deliver(agent: &Agent, url: &str, delivery: &Delivery) -> Outcome {
    match post(agent, url, delivery) {
        Err(error) if has_lost_connection(&error) => post(agent, url, delivery),
        result => result,
    }
    .unwrap_or_else(|error| Outcome::Failed(explain(&error).into()))
}

fn post(agent: &Agent, url: &str, delivery: &Delivery) -> Result<Outcome, ureq::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "each attempt says when it was made"
    )]
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut response = agent
        .post(url)
        .header("Content-Type", "application/json")
        .header("webhook-id", &*delivery.webhook_id)
        .header("webhook-timestamp", now.as_secs().to_string())
        .send(delivery.body.as_bytes())?;
    let retry_after = retry_after(&response);
    let status = response.status().as_u16();
    let mut said = Vec::new();
    // The answer counts as soon as its status is here; its body is for the log.
    let read = response
        .body_mut()
        .as_reader()
        .take(MAX_ANSWER)
        .read_to_end(&mut said);
    if let Err(error) = read {
        debug!(target: "crm", "the answer's body broke off: {error}");
    }
    said.truncate(MAX_SAID);
    let said = String::from_utf8_lossy(&said).into();
    Ok(Outcome::Answered {
        status,
        retry_after,
        said,
    })
}

/// Only the form in seconds; a date needs a clock both sides agree on.
fn retry_after(response: &http::Response<Body>) -> Option<Duration> {
    let value = response.headers().get("Retry-After")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn has_lost_connection(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    ))
}

/// What went wrong and, where it is known, what to do about it.
fn explain(error: &ureq::Error) -> String {
    let text = error.to_string();
    let advice = [
        (
            "UnknownIssuer",
            "its certificate is from no one this machine trusts: set crm_ca",
        ),
        (
            "Expired",
            "its certificate is over: renew it, or check this machine's clock",
        ),
        (
            "NotValidYet",
            "its certificate is not valid yet: is this machine's clock right?",
        ),
        (
            "NotValidForName",
            "its certificate is for another name than dest_url_event has",
        ),
    ];
    match advice.iter().find(|(word, _)| text.contains(word)) {
        Some((_, advice)) => format!("{advice} ({text})"),
        None => text,
    }
}

fn agent(endpoint: &Endpoint, limit: usize) -> Agent {
    static PROVIDER: Once = Once::new();
    // It can only be installed once, and only we do.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let is_https = endpoint.url.starts_with("https:");
    let roots = if is_https && endpoint.verify {
        roots(endpoint.ca.as_deref())
    } else {
        Vec::new()
    };
    let tls = TlsConfig::builder()
        .disable_verification(!endpoint.verify)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    Agent::config_builder()
        .timeout_global(Some(endpoint.timeout))
        .http_status_as_error(false)
        // The CRM may answer 302 to its login page; following it would POST an event to a form.
        .max_redirects(0)
        .input_buffer_size(INPUT_BUFFER)
        .output_buffer_size(OUTPUT_BUFFER)
        .max_idle_connections(limit)
        .max_idle_connections_per_host(limit)
        .user_agent(concat!("salara/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent()
}

/// The certificates the CRM's is checked against.
fn roots(ca: Option<&Path>) -> Vec<Certificate<'static>> {
    let system = SYSTEM_ROOTS
        .iter()
        .map(Path::new)
        .find(|path| path.exists());
    let mut roots = Vec::new();
    for path in system.into_iter().chain(ca) {
        match fs::read(path) {
            Ok(pem) => roots.extend(ureq::tls::parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            })),
            Err(error) => warn!(target: "crm", "{}: {error}", path.display()),
        }
    }
    if roots.is_empty() {
        warn!(target: "crm", "no trusted certificates on this machine: set crm_ca");
    }
    roots
}
