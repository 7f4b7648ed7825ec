//! A server that does nothing: it reads a whole request and writes a reply it was given.
//!
//! It is what any mio server costs before it does its work: one thread, edge-triggered, no more
//! system calls than needed (a read that did not fill the buffer has emptied the socket). It runs
//! as a process of its own, as salara does. Its standard input gives it the two replies, kept-alive
//! and closing, and ends it when it closes, so that it cannot outlive who started it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::http;

/// The replies, as they are handed over: each its length in a line, then its bytes.
pub(crate) struct Replies {
    pub(crate) keep: Vec<u8>,
    pub(crate) close: Vec<u8>,
}

impl Replies {
    pub(crate) fn write(&self, mut to: impl Write) -> io::Result<()> {
        for reply in [&self.keep, &self.close] {
            writeln!(to, "{}", reply.len())?;
            to.write_all(reply)?;
        }
        to.flush()
    }

    fn read(mut from: impl io::BufRead) -> io::Result<Self> {
        let mut reply = || {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let length = line.trim_end().parse().map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            from.read_exact(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        Ok(Self {
            keep: reply()?,
            close: reply()?,
        })
    }
}

/// Serves until standard input ends.
pub(crate) fn serve() -> io::Result<()> {
    let stdin = io::stdin().lock();
    let descriptor = stdin.as_raw_fd();
    let replies = Replies::read(stdin)?;
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let stdin = &mut SourceFd(&descriptor);
    poll.registry().register(stdin, STDIN, Interest::READABLE)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);

    let mut server = Server {
        replies,
        connections: Vec::new(),
        free: Vec::new(),
        poll,
    };
    let mut events = Events::with_capacity(256);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                STDIN => return Ok(()),
                LISTENER => server.accept(&listener)?,
                Token(slot) => server.ready(slot, event),
            }
        }
    }
}

struct Server {
    replies: Replies,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    poll: Poll,
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a request whose end has not come.
    begun: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Whoever went before we came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll
                .registry()
                .register(&mut stream, Token(slot), Interest::READABLE)?;
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(Connection {
                    stream,
                    begun: Vec::new(),
                });
            }
        }
    }

    fn ready(&mut self, slot: usize, event: &Event) {
        // An event of this batch may be about a connection that an earlier one closed.
        let Some(place) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(connection) = place else { return };
        if connection
            .serve(&self.replies, event.is_read_closed())
            .is_err()
        {
            *place = None;
            self.free.push(slot);
        }
    }
}

impl Connection {
    /// Answers what has come. An error, of whatever kind, is the connection's end.
    fn serve(&mut self, replies: &Replies, closed: bool) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.take(buffer.get(..count).unwrap_or_default(), replies)?;
            if count < buffer.len() && !closed {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], replies: &Replies) -> io::Result<()> {
        let joined;
        let mut bytes = bytes;
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.begun);
            bytes = &joined;
        }
        while let Some(request) = http::whole(bytes) {
            if request.close {
                // A reply this short always fits the socket's buffer.
                self.stream.write_all(&replies.close)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.stream.write_all(&replies.keep)?;
            bytes = bytes.get(request.end..).unwrap_or_default();
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

const STDIN: Token = Token(usize::MAX - 1);
const LISTENER: Token = Token(usize::MAX - 2);
