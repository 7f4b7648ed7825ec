//! The sockets of the REST side.
//!
//! This file owns the listener, the table of clients, and their readiness. It must not know what a
//! request means.
//!
//! The surprising fact: the table is small and never refuses. When it is full, the client nearest
//! to its deadline that has no request in the works makes room, so a thousand idle connections cost
//! no more than a few hundred and keep nobody out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, warn};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::slots::{Slots, token};
use crate::engine::ConnId;
use crate::http::{Connection, HttpRequest, Options, Response};

/// Connections accepted in one turn, so that a flood of them leaves time for the rest.
const ACCEPTS: usize = 64;
/// Bytes read from one client in one turn.
const READS: usize = 8 * 1024;
/// When there are no more files and nobody to take one from, accepting rests for so long.
const NO_FILES: Duration = Duration::from_secs(1);
/// And the log says so no more often than this.
const QUIET: Duration = Duration::from_secs(60);

/// The listener and its clients.
#[derive(Debug)]
pub(super) struct Rest {
    listener: TcpListener,
    options: Options,
    clients: Slots<Client>,
    /// Accepting may find something.
    acceptable: bool,
    rest_until: Option<Instant>,
    /// When the log may say again that there are too many files.
    quiet_until: Option<Instant>,
    is_closed: bool,
    /// No client's deadline is earlier. Kept instead of asked for, because there may be hundreds.
    due: Option<Instant>,
    /// Clients with something to read, or with a reply to write.
    busy: VecDeque<ConnId>,
    /// Clients that may have a request ready.
    fresh: VecDeque<ConnId>,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    peer: IpAddr,
    connection: Connection,
    readable: bool,
    /// The client has shut its sending side: there is an end to be read, and no event will say so
    /// again.
    hung_up: bool,
    /// What the poll watches, if it does.
    watched: Option<Interest>,
    queued: bool,
    shut: bool,
}

impl Rest {
    /// Listens.
    pub(super) fn bind(
        address: SocketAddr,
        options: Options,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            listener,
            options,
            clients: Slots::new(),
            acceptable: false,
            rest_until: None,
            quiet_until: None,
            is_closed: false,
            due: None,
            busy: VecDeque::new(),
            fresh: VecDeque::new(),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lets nobody in any more, and everybody go who is owed nothing.
    pub(super) fn close_soon(&mut self) {
        self.is_closed = true;
        let all: Vec<ConnId> = self.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            if let Some(client) = self.clients.get_mut(id) {
                client.connection.close_soon();
                queue(&mut self.busy, id, client);
            }
        }
    }

    /// Whether nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.iter().next().is_none()
    }

    /// Takes note that someone wants to connect.
    pub(super) fn ready_to_accept(&mut self) {
        self.acceptable = !self.is_closed;
    }

    /// Takes note of a client's readiness. The client may be gone by now.
    pub(super) fn ready(&mut self, id: ConnId, readable: bool, hung_up: bool) {
        if let Some(client) = self.clients.get_mut(id) {
            client.readable |= readable || hung_up;
            client.hung_up |= hung_up;
            queue(&mut self.busy, id, client);
        }
    }

    /// Whether a turn would find something to do at once.
    pub(super) fn has_work(&self) -> bool {
        let acceptable = self.acceptable && self.rest_until.is_none();
        acceptable || !self.busy.is_empty() || !self.fresh.is_empty()
    }

    /// Takes in those who wait.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
        }
        for _ in 0..ACCEPTS {
            if !self.acceptable || self.rest_until.is_some() {
                return;
            }
            match self.listener.accept() {
                Ok((stream, peer)) => self.take_in(stream, peer.ip(), now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.acceptable = false,
                // The client was quicker to leave than we to take it in.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                // No file to be had: an idle client's is given to the one who waits.
                Err(error) => {
                    if self.quiet_until.is_none_or(|until| until <= now) {
                        warn!(target: "rest", "accept: {error}; idle clients make room");
                        self.quiet_until = Some(now + QUIET);
                    }
                    if !self.make_room() {
                        self.rest_until = Some(now + NO_FILES);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, stream: TcpStream, peer: IpAddr, now: Instant) {
        if self.clients.is_full() {
            self.make_room();
        }
        let client = Client {
            stream,
            peer,
            connection: Connection::new(self.options, now),
            // Its request is often here already: try before watching.
            readable: true,
            hung_up: false,
            watched: None,
            queued: true,
            shut: false,
        };
        match self.clients.insert(client) {
            Ok(id) => self.busy.push_back(id),
            Err(client) => {
                debug!(target: "rest", "{}: no room, every client has a request", client.peer);
            }
        }
    }

    /// Lets go of the client nearest to its deadline that is owed nothing, if there is one.
    fn make_room(&mut self) -> bool {
        let idle = self
            .clients
            .iter()
            .filter(|(_, client)| client.connection.is_idle());
        let nearest = idle.min_by_key(|(_, client)| client.connection.poll_timeout());
        let id = nearest.map(|(id, _)| id);
        id.and_then(|id| self.clients.remove(id)).is_some()
    }

    /// Reads from those who have sent something, each its share.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) {
        for _ in 0..self.busy.len() {
            let Some(id) = self.busy.pop_front() else {
                return;
            };
            let Some(client) = self.clients.get_mut(id) else {
                continue;
            };
            client.queued = false;
            if !client.read(buffer, now) {
                self.clients.remove(id);
                continue;
            }
            self.fresh.push_back(id);
        }
    }

    /// The next request, with who asks. Answer it by `reply`.
    pub(super) fn poll_request(&mut self) -> Option<(ConnId, IpAddr, HttpRequest)> {
        loop {
            let id = *self.fresh.front()?;
            if let Some(client) = self.clients.get_mut(id) {
                if let Some(request) = client.connection.poll_request() {
                    return Some((id, client.peer, request));
                }
                queue(&mut self.busy, id, client);
            }
            self.fresh.pop_front();
        }
    }

    /// Answers a request, if the client is still there.
    pub(super) fn reply(&mut self, id: ConnId, response: &Response, now: Instant) {
        if let Some(client) = self.clients.get_mut(id) {
            client.connection.reply(response, now);
            // A pipelined request may have been waiting behind this one.
            self.fresh.push_back(id);
        }
    }

    /// Writes what is to be written and lets go of who is done.
    pub(super) fn write(&mut self, registry: &Registry, now: Instant) {
        for _ in 0..self.busy.len() {
            let Some(id) = self.busy.pop_front() else {
                return;
            };
            let Some(client) = self.clients.get_mut(id) else {
                continue;
            };
            client.queued = false;
            let lives = client.write(now) && client.watch(id, registry);
            let own_due = client.connection.poll_timeout();
            self.due = self.due.into_iter().chain(own_due).min();
            if !lives {
                self.clients.remove(id);
            } else if client.connection.has_request() {
                self.fresh.push_back(id);
            } else if client.readable && client.connection.wants_read() {
                queue(&mut self.busy, id, client);
            }
        }
    }

    /// Ends what has taken too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let is_due = |client: &Client| client.connection.poll_timeout().is_some_and(|at| at <= now);
        let late: Vec<ConnId> = self
            .clients
            .iter()
            .filter(|(_, client)| is_due(client))
            .map(|(id, _)| id)
            .collect();
        for id in late {
            if let Some(client) = self.clients.get_mut(id) {
                client.connection.handle_timeout(now);
                queue(&mut self.busy, id, client);
            }
        }
        let clients = self.clients.iter();
        self.due = clients
            .filter_map(|(_, client)| client.connection.poll_timeout())
            .min();
    }

    /// When `handle_timeout` or `accept` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.rest_until).min()
    }
}

impl Client {
    /// Reads its share. False when the connection is broken.
    fn read(&mut self, buffer: &mut [u8], now: Instant) -> bool {
        let mut count = 0;
        while self.readable && count < READS && self.connection.wants_read() {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    self.connection.handle_eof(now);
                }
                Ok(read) => {
                    count += read;
                    // A short read has emptied the socket; the poll tells when there is more.
                    self.readable = read == buffer.len() || self.hung_up;
                    self.connection
                        .handle_bytes(buffer.get(..read).unwrap_or_default(), now);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes what the socket takes. False when the connection is broken or over.
    fn write(&mut self, now: Instant) -> bool {
        while !self.connection.outgoing().is_empty() {
            match self.stream.write(self.connection.outgoing()) {
                Ok(count) => self.connection.sent(count, now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        if self.connection.is_lingering() && !self.shut {
            self.shut = true;
            drop(self.stream.shutdown(Shutdown::Write));
        }
        !self.connection.is_finished()
    }

    /// Has the poll watch what is waited for. False when it cannot.
    fn watch(&mut self, id: ConnId, registry: &Registry) -> bool {
        let wanted = if self.connection.outgoing().is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let done = match self.watched {
            None => {
                // It stays for more than one reply: they must not wait for each other's receipt.
                drop(self.stream.set_nodelay(true));
                registry.register(&mut self.stream, token(id), wanted)
            }
            Some(interest) if interest != wanted => {
                registry.reregister(&mut self.stream, token(id), wanted)
            }
            Some(_) => Ok(()),
        };
        self.watched = Some(wanted);
        done.is_ok()
    }
}

fn queue(busy: &mut VecDeque<ConnId>, id: ConnId, client: &mut Client) {
    if !client.queued {
        client.queued = true;
        busy.push_back(id);
    }
}
