//! One request over HTTP, in a build without TLS (`--no-default-features`).
//!
//! This file owns the connections and their time; `answer` reads what comes on them. It must look
//! from outside like `agent`, in whose place it stands, and must not know when a request is made
//! again.
//!
//! The surprising fact: a fifth of the program would be ureq, the most of it for what is not asked
//! here: redirects, cookies, proxies, a hundred headers by name. The smallest boxes have no room for
//! that, and what is left is small: one host, one path, a body of a few hundred bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use self::answer::Reading;
use super::client::{
    Answer, Connection, Endpoint, Failure, MAX_ANSWER, Request, STACK, USER_AGENT,
};
use super::hosts::Hosts;
use crate::config::WebAddress;

mod answer;

/// Whether `https` can be asked.
pub const HAS_TLS: bool = false;

/// A connection that was idle for longer is likely to be closed just now.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// No certificate is of use, and none does harm.
pub fn check_ca(_: &Path) -> Result<(), String> {
    Ok(())
}

/// Keeps connections, and where the host is.
#[derive(Debug)]
pub(super) struct Agent {
    /// Connections that are kept.
    limit: usize,
    idle: Mutex<Vec<Idle>>,
    hosts: Hosts<Box<[SocketAddr]>>,
}

#[derive(Debug)]
struct Idle {
    since: Instant,
    stream: TcpStream,
}

impl Agent {
    pub(super) fn new(_: &Endpoint, connections: usize) -> Self {
        Self {
            limit: connections,
            idle: Mutex::default(),
            hosts: Hosts::default(),
        }
    }

    /// Makes a request, on a connection that is kept or, if so wanted, a new one.
    pub(super) fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        over: Connection,
    ) -> Result<Answer, Failure> {
        let address =
            WebAddress::new(&endpoint.target.url).map_err(|why| Failure::NotUrl(why.to_owned()))?;
        let bytes = encode(&address, endpoint, request);
        let until = now() + request.timeout;
        if over == Connection::New {
            self.idle().clear();
        }
        if let Some(stream) = self.kept() {
            return match self.exchange(stream, &bytes, request.max, until) {
                Err(Failure::Lost) => Err(Failure::Stale),
                result => result,
            };
        }
        let stream = self.connect(&address, until)?;
        self.exchange(stream, &bytes, request.max, until)
    }

    /// What is remembered of the host led nowhere.
    pub(super) fn doubt_address(&self) {
        self.hosts.doubt();
    }

    /// Sends a request, reads its answer, and keeps the connection if it can.
    fn exchange(
        &self,
        mut stream: TcpStream,
        bytes: &[u8],
        max: usize,
        until: Instant,
    ) -> Result<Answer, Failure> {
        write(&mut stream, bytes, until)?;
        let mut reading = Reading::new(max);
        let ended = read(&mut stream, &mut reading, until);
        if reading.is_reusable() {
            self.keep(stream);
        }
        // The answer counts as soon as its status is here.
        match (ended, reading.into_answer()) {
            (Err(failure), None) => Err(failure),
            (Err(failure), Some(answer)) => Ok(Answer {
                broken: Some(failure),
                ..answer
            }),
            (Ok(()), answer) => answer.ok_or(Failure::Lost),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is open still, as far as can be seen.
    fn kept(&self) -> Option<TcpStream> {
        let now = now();
        let mut idle = self.idle();
        idle.retain(|idle| now.saturating_duration_since(idle.since) < MAX_IDLE);
        while let Some(Idle { stream, .. }) = idle.pop() {
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    fn keep(&self, stream: TcpStream) {
        let mut idle = self.idle();
        if idle.len() < self.limit {
            let since = now();
            idle.push(Idle { since, stream });
        }
    }

    /// Tries each address; one that does not answer takes half of what time is left, the last all.
    fn connect(&self, address: &WebAddress<'_>, until: Instant) -> Result<TcpStream, Failure> {
        let addresses = self
            .hosts
            .find(|part| look_up(address, left(until)? / part))?;
        let mut met = Failure::Other("the name has no address".to_owned());
        for (number, one) in addresses.iter().enumerate() {
            let left = left(until)?;
            let share = if number + 1 < addresses.len() {
                left / 2
            } else {
                left
            };
            match TcpStream::connect_timeout(one, share) {
                Ok(stream) => {
                    // What is sent is sent at once and whole.
                    drop(stream.set_nodelay(true));
                    return Ok(stream);
                }
                Err(error) => met = failure(&error),
            }
        }
        Err(met)
    }
}

/// The addresses of a name, asked for in a thread: the system may take longer than anybody waits.
fn look_up(address: &WebAddress<'_>, within: Duration) -> Result<Box<[SocketAddr]>, Failure> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok([SocketAddr::new(ip, address.port)].into());
    }
    let (host, port) = (address.host.to_owned(), address.port);
    let (tell, told) = mpsc::sync_channel(1);
    let run = move || {
        #[expect(
            clippy::disallowed_methods,
            reason = "this thread is there to wait for it"
        )]
        let found = (host, port).to_socket_addrs();
        drop(tell.send(found.map(Iterator::collect)));
    };
    thread::Builder::new()
        .name("resolve".into())
        .stack_size(STACK)
        .spawn(run)
        .map_err(|error| failure(&error))?;
    let found = told.recv_timeout(within).map_err(|_| Failure::Late)?;
    found.map_err(|error| failure(&error))
}

/// The bytes of a request.
fn encode(address: &WebAddress<'_>, endpoint: &Endpoint, request: Request<'_>) -> Vec<u8> {
    let method = if request.body.is_some() {
        "POST"
    } else {
        "GET"
    };
    let slash = if address.path.starts_with('/') {
        ""
    } else {
        "/"
    };
    let mut head = format!(
        "{method} {slash}{}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n",
        address.path, request.suffix, address.authority
    );
    let mut add = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    };
    for (name, value) in request.headers {
        add(name, value);
    }
    if let Some(authorization) = &endpoint.target.authorization {
        add("Authorization", authorization.expose());
    }
    if let Some(body) = request.body {
        add("Content-Length", &body.len().to_string());
    }
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body.unwrap_or_default());
    bytes
}

fn write(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let left = left(until)?;
        let written = stream
            .set_write_timeout(Some(left))
            .and_then(|()| stream.write(bytes));
        match written {
            Ok(0) => return Err(Failure::Lost),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(&error)),
        }
    }
    Ok(())
}

/// Reads an answer to its end, or for as long as is good for the connection.
fn read(stream: &mut TcpStream, reading: &mut Reading, until: Instant) -> Result<(), Failure> {
    let mut buffer = [0; 1024];
    while !reading.is_over() && reading.total() < MAX_ANSWER {
        let left = left(until)?;
        let read = stream
            .set_read_timeout(Some(left))
            .and_then(|()| stream.read(&mut buffer));
        match read {
            Ok(0) => return reading.end(),
            Ok(count) => reading.take(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(&error)),
        }
    }
    Ok(())
}

/// Whether nothing has come on it, not even its end.
fn is_quiet(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
        && stream.set_nonblocking(false).is_ok()
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Late,
        _ => error.into(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a request has a time of its own")]
fn now() -> Instant {
    Instant::now()
}

fn left(until: Instant) -> Result<Duration, Failure> {
    match until.saturating_duration_since(now()) {
        Duration::ZERO => Err(Failure::Late),
        left => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_about_and_an_address_is_not() {
        for (url, port) in [
            ("http://127.0.0.1/", 80),
            ("http://[::1]:81/", 81),
            ("http://localhost:82/", 82),
        ] {
            let address = WebAddress::new(url).unwrap();
            let found = look_up(&address, Duration::from_secs(10)).unwrap();
            assert!(!found.is_empty(), "{url}");
            for address in found {
                assert!(
                    address.ip().is_loopback() && address.port() == port,
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn the_last_of_many_addresses_is_tried_too() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Nothing listens there: it is refused at once.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = gone.local_addr().unwrap();
        drop(gone);
        let target = crate::crm::target::Target::new("http://crm/");
        let endpoint = Endpoint {
            key: "dest_url_event",
            target,
            timeout: Duration::from_secs(10),
            verify: true,
            ca: None,
        };
        let agent = Agent::new(&endpoint, 1);
        let addresses: Box<[_]> = [closed, closed, open].into();
        agent.hosts.find(|_| Ok::<_, Failure>(addresses)).unwrap();
        let address = WebAddress::new("http://crm/").unwrap();
        let stream = agent.connect(&address, now() + endpoint.timeout).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
    }
}
