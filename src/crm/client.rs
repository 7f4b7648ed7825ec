//! The HTTP client that the threads share.
//!
//! This file owns how often a request is made, and the words for what goes wrong; `agent` makes it
//! once. It must not know what is sent, nor what an answer means.
//!
//! The surprising fact: a request on a connection that was kept, and that the CRM is just closing, is
//! lost. So one that dies with such a connection is made once more on a new one, in what is left of
//! its time; should the CRM have read it after all, it sees it twice.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::target::Target;

/// A thread's stack: a TLS handshake was measured to fit into a quarter of it.
pub(super) const STACK: usize = 256 * 1024;
/// So much of an answer is read, that its connection can be used again; more is cut off with it.
pub(super) const MAX_ANSWER: usize = 64 * 1024;
/// Who it says it is.
pub(super) const USER_AGENT: &str = concat!("salara/", env!("CARGO_PKG_VERSION"));

/// Where requests go and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The key of salara.conf that names it.
    pub key: &'static str,
    /// The CRM's URL.
    pub target: Target,
    /// The total time of one request.
    pub timeout: Duration,
    /// Whether the CRM's certificate is checked.
    pub verify: bool,
    /// Certificates it is checked against, beside the system's.
    pub ca: Option<PathBuf>,
}

/// An agent, made when it is first needed: certificates take a while to read.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    /// Connections that are kept.
    connections: usize,
    agent: OnceLock<Agent>,
}

/// What is sent, and how much of the answer is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Behind the endpoint's URL.
    pub(super) suffix: &'a str,
    /// What is posted; without it it is a GET.
    pub(super) body: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'static str, &'a str)],
    /// The total time.
    pub(super) timeout: Duration,
    /// Bytes of the answer's body.
    pub(super) max: usize,
}

/// On what a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// One that was kept, if there is one.
    Any,
    New,
}

/// What the CRM said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After` and `Location`, as they are.
    pub(super) retry_after: Option<Box<str>>,
    pub(super) location: Option<Box<str>>,
    /// As much as was wanted.
    pub(super) body: Vec<u8>,
    /// Why the body broke off, if it did.
    pub(super) broken: Option<Failure>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection ended before one.
    Lost,
    /// So did one that was kept.
    Stale,
    /// It took too long.
    Late,
    /// What came is not HTTP.
    NotHttp(String),
    /// The address is none.
    NotUrl(String),
    /// In words.
    Other(String),
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, connections: usize) -> Self {
        Self {
            endpoint,
            connections,
            agent: OnceLock::new(),
        }
    }

    /// Makes a request, once more if its connection was at its end. The answer, or why there is none,
    /// in words.
    pub(super) fn make(&self, mut request: Request<'_>) -> Result<Answer, String> {
        let agent = || Agent::new(&self.endpoint, self.connections);
        let agent = self.agent.get_or_init(agent);
        request.timeout = request.timeout.min(self.endpoint.timeout);
        let began = now();
        let result = match agent.send(&self.endpoint, request, Connection::Any) {
            Err(Failure::Stale) => {
                let taken = now().saturating_duration_since(began);
                request.timeout = request.timeout.saturating_sub(taken);
                agent.send(&self.endpoint, request, Connection::New)
            }
            result => result,
        };
        result.map_err(|failure| {
            agent.doubt_address();
            self.explain(failure)
        })
    }

    /// What went wrong and, where it is known, what to do about it.
    fn explain(&self, failure: Failure) -> String {
        let key = self.endpoint.key;
        match failure {
            Failure::Late => {
                let seconds = self.endpoint.timeout.as_secs();
                format!("no answer within {seconds} s (curlopt_timeout)")
            }
            Failure::NotHttp(error) => {
                let doubt = if self.endpoint.target.is_https() {
                    "?"
                } else {
                    ", or is https:// meant?"
                };
                format!("what it answers is not HTTP: is {key} right{doubt} ({error})")
            }
            Failure::NotUrl(error) => format!("{key} is not a URL ({error})"),
            Failure::Lost | Failure::Stale | Failure::Other(_) => failure.to_string(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "both attempts share one time")]
fn now() -> Instant {
    Instant::now()
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => Self::Lost,
            // The system's texts begin with a capital, its kinds do not.
            kind if error.raw_os_error().is_some() => Self::Other(kind.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost | Self::Stale => "the connection ended before an answer",
            Self::Late => "it takes too long",
            Self::NotHttp(error) | Self::NotUrl(error) | Self::Other(error) => error,
        })
    }
}
