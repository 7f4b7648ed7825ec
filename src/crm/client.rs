//! The HTTP client that the threads share.
//!
//! This file owns ureq: its agent, its settings, and the words for what goes wrong. It must not know
//! what is sent, nor what an answer means.
//!
//! The surprising fact: a request on a connection that the CRM is just closing is lost. So one that
//! dies with its connection is made once more on a new one, and the CRM may see it twice.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, RequestBuilder, http};

use super::hosts::Hosts;
use super::target::Target;
use super::trust;

/// A thread's stack: a TLS handshake was measured to fit into a quarter of it.
pub(super) const STACK: usize = 256 * 1024;
/// So much of an answer is read, that its connection can be used again; more is cut off with it.
const MAX_ANSWER: usize = 64 * 1024;
/// Bodies are small; ureq's own buffers are 128 KiB each. Below 10 KiB it would grow them again for
/// each body.
const INPUT_BUFFER: usize = 10 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;

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
    hosts: Hosts,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Behind the endpoint's URL.
    pub(super) suffix: &'a str,
    /// What is posted; without it it is a GET.
    pub(super) body: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'static str, &'a str)],
    /// When less is left than the endpoint allows.
    pub(super) timeout: Option<Duration>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, connections: usize) -> Self {
        Self {
            endpoint,
            connections,
            agent: OnceLock::new(),
            hosts: Hosts::default(),
        }
    }

    /// Makes a request, once more if its connection was at its end. What `read` makes of the answer,
    /// or why there is none, in words.
    pub(super) fn make<T>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(&mut http::Response<Body>) -> T,
    ) -> Result<T, String> {
        let result = match self.send(request, false) {
            Err(error) if has_lost_connection(&error) => self.send(request, true),
            result => result,
        };
        match result {
            Ok(mut response) => Ok(read(&mut response)),
            Err(error) => {
                self.hosts.forget();
                Err(self.explain(&error))
            }
        }
    }

    fn send(&self, request: Request<'_>, anew: bool) -> Result<http::Response<Body>, ureq::Error> {
        let agent = self.agent.get_or_init(|| self.agent());
        let url = &*self.endpoint.target.url;
        match request.body {
            Some(body) => self.prepare(agent.post(url), request, anew).send(body),
            None => {
                let url = format!("{url}{}", request.suffix);
                self.prepare(agent.get(url), request, anew).call()
            }
        }
    }

    fn prepare<B>(
        &self,
        mut builder: RequestBuilder<B>,
        request: Request<'_>,
        anew: bool,
    ) -> RequestBuilder<B> {
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(authorization) = &self.endpoint.target.authorization {
            builder = builder.header("Authorization", authorization.expose());
        }
        if anew {
            builder = builder.config().max_idle_age(Duration::ZERO).build();
        }
        match request.timeout {
            Some(timeout) => builder.config().timeout_global(Some(timeout)).build(),
            None => builder,
        }
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
                let key = self.endpoint.key;
                let doubt = if self.endpoint.target.is_https() {
                    "?"
                } else {
                    ", or is https:// meant?"
                };
                format!("what it answers is not HTTP: is {key} right{doubt} ({error})")
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                format!("{} is not a URL ({error})", self.endpoint.key)
            }
            _ => error.to_string(),
        }
    }
}

/// Reads an answer's body to its end, or for as long as is good for the connection. What of it fits,
/// and whether it broke off.
pub(super) fn body(
    response: &mut http::Response<Body>,
    max: usize,
) -> (Vec<u8>, Option<io::Error>) {
    let mut kept = Vec::new();
    let mut body = response.body_mut().as_reader();
    let (mut buffer, mut total) = ([0; 1024], 0);
    while total < MAX_ANSWER {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return (kept, Some(error)),
        };
        total += count;
        let room = max.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count.min(room)));
    }
    (kept, None)
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
