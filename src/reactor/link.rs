//! The socket of the AMI link.
//!
//! This file owns connecting, reading and writing it, and the resolving of a host's name. It must
//! not know what the bytes mean.
//!
//! The surprising fact: a non-blocking connect reports its failure as readiness. Only `take_error`
//! and `peer_addr` tell whether the socket that became writable is connected.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token, Waker};

/// The link's socket, in whatever state it is.
#[derive(Debug)]
pub(super) struct Link {
    token: Token,
    waker: Arc<Waker>,
    state: State,
    readable: bool,
    writable: bool,
}

#[derive(Debug)]
enum State {
    Closed,
    Resolving(Receiver<io::Result<SocketAddr>>),
    Connecting(TcpStream, SocketAddr),
    Open(TcpStream),
}

/// What became of a connect.
#[derive(Debug)]
pub(super) enum Progress {
    /// It goes on.
    Pending,
    /// The connection stands.
    Connected,
    /// It failed; `near` when this machine refused it at once.
    Failed { why: String, near: bool },
}

impl Link {
    pub(super) fn new(token: Token, waker: Arc<Waker>) -> Self {
        Self {
            token,
            waker,
            state: State::Closed,
            readable: false,
            writable: false,
        }
    }

    /// Begins to connect. A host's name is looked up on a thread of its own: a name server that
    /// does not answer must not hold the loop.
    pub(super) fn connect(&mut self, host: &str, port: u16, registry: &Registry) -> Progress {
        let ip = match host.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            Err(_) => return self.resolve(host.to_owned(), port),
        };
        self.open(SocketAddr::new(ip, port), registry)
    }

    fn resolve(&mut self, host: String, port: u16) -> Progress {
        let (answer, answered) = mpsc::sync_channel(1);
        let waker = Arc::clone(&self.waker);
        let look_up = move || {
            #[expect(clippy::disallowed_methods, reason = "this is the thread it may block")]
            let found = (host.as_str(), port)
                .to_socket_addrs()
                .and_then(|mut addresses| {
                    addresses
                        .next()
                        .ok_or_else(|| io::Error::other("the name has no address"))
                });
            // The link may have been closed meanwhile; then nobody waits for this.
            if answer.send(found).is_ok() {
                drop(waker.wake());
            }
        };
        match thread::Builder::new()
            .name("resolver".into())
            .spawn(look_up)
        {
            Ok(_) => {
                self.state = State::Resolving(answered);
                Progress::Pending
            }
            Err(error) => failed(&error, false),
        }
    }

    fn open(&mut self, address: SocketAddr, registry: &Registry) -> Progress {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let opened = TcpStream::connect(address).and_then(|mut stream| {
            registry.register(&mut stream, self.token, interest)?;
            Ok(stream)
        });
        (self.readable, self.writable) = (false, false);
        match opened {
            Ok(stream) => {
                self.state = State::Connecting(stream, address);
                Progress::Pending
            }
            Err(error) => failed(&error, is_near(&error, address)),
        }
    }

    /// Takes note of readiness.
    pub(super) fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Moves a connect on.
    pub(super) fn progress(&mut self, registry: &Registry) -> Progress {
        match &self.state {
            State::Closed | State::Open(_) => Progress::Pending,
            State::Resolving(answered) => match answered.try_recv() {
                Ok(Ok(address)) => self.open(address, registry),
                Ok(Err(error)) => self.fail(&error, false),
                Err(TryRecvError::Empty) => Progress::Pending,
                Err(TryRecvError::Disconnected) => {
                    self.fail(&io::Error::other("the resolver gave up"), false)
                }
            },
            State::Connecting(..) if !self.writable => Progress::Pending,
            State::Connecting(stream, address) => {
                let address = *address;
                let error = match stream.take_error() {
                    Ok(None) => stream.peer_addr().err(),
                    Ok(Some(error)) | Err(error) => Some(error),
                };
                match error {
                    None => self.opened(),
                    Some(error) if error.kind() == ErrorKind::NotConnected => Progress::Pending,
                    Some(error) => self.fail(&error, is_near(&error, address)),
                }
            }
        }
    }

    fn opened(&mut self) -> Progress {
        if let State::Connecting(stream, _) = std::mem::replace(&mut self.state, State::Closed) {
            // Actions are small and wait for answers: they must not wait for each other.
            drop(stream.set_nodelay(true));
            self.state = State::Open(stream);
        }
        Progress::Connected
    }

    fn fail(&mut self, error: &io::Error, near: bool) -> Progress {
        self.close();
        failed(error, near)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether a `read` may find something.
    pub(super) fn is_readable(&self) -> bool {
        self.is_open() && self.readable
    }

    /// Reads once. `Ok(0)` says that there is nothing more for now; the end of the stream is an
    /// error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::Open(stream) = &mut self.state else {
            return Ok(0);
        };
        loop {
            return match stream.read(buffer) {
                Ok(0) => Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "Asterisk closed it",
                )),
                Ok(count) => Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(0)
                }
                Err(error) => Err(error),
            };
        }
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let State::Open(stream) = &mut self.state else {
            return Ok(0);
        };
        if !self.writable {
            return Ok(0);
        }
        loop {
            return match stream.write(bytes) {
                Ok(count) => Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    Ok(0)
                }
                Err(error) => Err(error),
            };
        }
    }

    /// Drops the socket, which also takes it out of the poll.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }
}

fn failed(error: &io::Error, near: bool) -> Progress {
    Progress::Failed {
        why: reason(error),
        near,
    }
}

fn is_near(error: &io::Error, address: SocketAddr) -> bool {
    error.kind() == ErrorKind::ConnectionRefused && address.ip().is_loopback()
}

/// An error of a socket without the system's number for it.
pub(super) fn reason(error: &io::Error) -> String {
    // The one text that musl has otherwise, and that people search for.
    if error.kind() == ErrorKind::AddrInUse {
        return "address already in use".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
