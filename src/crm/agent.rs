//! One request over HTTP or HTTPS.
//!
//! This file owns ureq: its agent, its settings, its answers and its errors. It must not know when a
//! request is made again, nor why. In a build without TLS `plain` stands in its place.
//!
//! The surprising fact: ureq looks the host up for each request, in a thread made for it, also when
//! the connection is there already; so it is given `hosts`, which remembers. Nor does it tell whether
//! a connection was kept: `Opened` does.

use std::cell::Cell;
use std::io::{self, Read};
use std::time::Duration;

use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
};
use ureq::{Body, Error, RequestBuilder, http};

use super::client::{Answer, Connection, Endpoint, Failure, MAX_ANSWER, Request, USER_AGENT};
use super::hosts::Hosts;
use super::trust;
pub use super::trust::check as check_ca;

/// Whether `https` can be asked.
pub const HAS_TLS: bool = true;

/// Bodies are small; ureq's own buffers are 128 KiB each. Below 10 KiB it would grow them again for
/// each body.
const INPUT_BUFFER: usize = 10 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;

/// Keeps connections, and where the host is.
#[derive(Debug)]
pub(super) struct Agent {
    inner: ureq::Agent,
    names: Names,
}

impl Agent {
    pub(super) fn new(endpoint: &Endpoint, connections: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // The CRM may answer 302 to its login page; following it would POST an event to a form.
            .max_redirects(0)
            // salara is configured by its file, not by `http_proxy`.
            .proxy(None)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .user_agent(USER_AGENT);
        let config = trust::secure(config, endpoint).build();
        let names = Names::default();
        // Not the default one, which knows proxies: 10 KB.
        let connector = Opened
            .chain(TcpConnector::default())
            .chain(RustlsConnector::default());
        let inner = ureq::Agent::with_parts(config, connector, names.clone());
        Self { inner, names }
    }

    /// Makes a request, on a connection that is kept or, if so wanted, a new one.
    pub(super) fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        over: Connection,
    ) -> Result<Answer, Failure> {
        OPENED.set(false);
        let url = &*endpoint.target.url;
        let result = match request.body {
            Some(body) => prepare(self.inner.post(url), endpoint, request, over).send(body),
            None => {
                let url = format!("{url}{}", request.suffix);
                prepare(self.inner.get(url), endpoint, request, over).call()
            }
        };
        match result {
            Ok(mut response) => Ok(answer(&mut response, request.max)),
            Err(error) => Err(match failure(&error) {
                Failure::Lost if !OPENED.get() => Failure::Stale,
                failure => failure,
            }),
        }
    }

    /// What is remembered of the host led nowhere.
    pub(super) fn doubt_address(&self) {
        self.names.0.doubt();
    }
}

fn prepare<B>(
    mut builder: RequestBuilder<B>,
    endpoint: &Endpoint,
    request: Request<'_>,
    over: Connection,
) -> RequestBuilder<B> {
    for (name, value) in request.headers {
        builder = builder.header(*name, *value);
    }
    if let Some(authorization) = &endpoint.target.authorization {
        builder = builder.header("Authorization", authorization.expose());
    }
    let mut config = builder.config().timeout_global(Some(request.timeout));
    if over == Connection::New {
        config = config.max_idle_age(Duration::ZERO);
    }
    config.build()
}

/// Reads an answer to its end, or for as long as is good for the connection.
fn answer(response: &mut http::Response<Body>, max: usize) -> Answer {
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.into());
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: header("Retry-After"),
        location: header("Location"),
        ..Answer::default()
    };
    let mut body = response.body_mut().as_reader();
    let (mut buffer, mut total) = ([0; 1024], 0);
    while total < MAX_ANSWER {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                answer.broken = Some(broken(&error));
                break;
            }
        };
        total += count;
        let room = max.saturating_sub(answer.body.len());
        answer.body.extend(buffer.iter().take(count.min(room)));
    }
    answer
}

fn failure(error: &Error) -> Failure {
    if let Some(text) = trust::explain(error) {
        return Failure::Other(text);
    }
    match error {
        Error::Timeout(_) => Failure::Late,
        Error::Io(error) => error.into(),
        Error::Protocol(error) => Failure::NotHttp(error.to_string()),
        Error::Http(_) | Error::BadUri(_) => Failure::NotUrl(error.to_string()),
        _ => Failure::Other(error.to_string()),
    }
}

/// Why a body broke off: an error of ureq may be inside one of the stream.
fn broken(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or_else(|| error.into(), failure)
}

thread_local! {
    static OPENED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread's request opens a connection: it is the first to be asked for one, and only
/// where none was kept.
#[derive(Debug)]
struct Opened;

impl Connector<()> for Opened {
    type Out = ();

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<()>, Error> {
        OPENED.set(true);
        Ok(None)
    }
}

/// Where the host is.
#[derive(Clone, Debug, Default)]
struct Names(Hosts<ResolvedSocketAddrs>);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        self.0.find(|part| {
            let after = timeout.after / part;
            let timeout = NextTimeout { after, ..timeout };
            DefaultResolver::default().resolve(uri, config, timeout)
        })
    }
}
