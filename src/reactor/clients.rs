//! Those who connect to us: the doors they come in by, and their sockets.
//!
//! This file owns the listeners, the table of clients, and their readiness. It must not know what a
//! client wants, nor in which protocol.
//!
//! The surprising fact: the table is small and never refuses. When a door's share of it is taken, the
//! client nearest to its deadline that is owed nothing makes room, so a thousand idle connections
//! cost no more than a few hundred and keep nobody out.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::{debug, warn};
use mio::{Interest, Registry};

use super::connection::{Connection, Kind, Wish};
use super::slots::{Slots, token};
use super::sockets::{Listener, Socket};
use crate::engine::ConnId;

/// Connections accepted in one turn, so that a flood of them leaves time for the rest.
const ACCEPTS: usize = 64;
/// Turns for those who wait at a door that goes: the kernel lets no more wait than these take in.
const LAST_TURNS: usize = 16;
/// Bytes read from one client in one turn.
const READS: usize = 8 * 1024;
/// When there are no more files and nobody to take one from, accepting rests for so long.
const NO_FILES: Duration = Duration::from_secs(1);

/// The doors and who came in.
#[derive(Debug)]
pub(super) struct Clients {
    doors: Vec<Door>,
    clients: Slots<Client>,
    rest_until: Option<Instant>,
    is_closed: bool,
    /// No client's deadline is earlier. Kept instead of asked for, because there may be hundreds.
    due: Option<Instant>,
    /// Clients with something to read, or with something to write.
    busy: VecDeque<ConnId>,
    /// Clients that may want something.
    fresh: VecDeque<ConnId>,
}

/// Makes the machine of a client that comes in, unless nobody may from there.
pub(super) type Greeting = Box<dyn Fn(IpAddr, Instant) -> Option<Connection>>;

struct Door {
    kind: Kind,
    listener: Box<dyn Listener>,
    greet: Greeting,
    /// Accepting may find something.
    acceptable: bool,
    /// How many of those who came in by it are here.
    guests: usize,
}

#[derive(Debug)]
struct Client {
    stream: Box<dyn Socket>,
    peer: IpAddr,
    kind: Kind,
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

impl Clients {
    /// Without a door.
    pub(super) fn new() -> Self {
        Self {
            doors: Vec::new(),
            clients: Slots::new(),
            rest_until: None,
            is_closed: false,
            due: None,
            busy: VecDeque::new(),
            fresh: VecDeque::new(),
        }
    }

    /// Opens a door, or moves it: who has come in by the old one stays.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        mut listener: Box<dyn Listener>,
        greet: Greeting,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        // The old listener has the token until it is dropped, and one token may serve both.
        registry.register(&mut *listener, kind.token(), Interest::READABLE)?;
        let Some(at) = self.doors.iter().position(|door| door.kind == kind) else {
            self.doors.push(Door {
                kind,
                listener,
                greet,
                acceptable: false,
                guests: self
                    .clients
                    .iter()
                    .filter(|(_, client)| client.kind == kind)
                    .count(),
            });
            return Ok(());
        };
        // Who already waits at the old one would be turned away with it.
        self.let_in(at, now);
        if let Some(door) = self.doors.get_mut(at) {
            door.listener = listener;
            door.greet = greet;
        }
        Ok(())
    }

    /// Closes a door: who waits at it is let in, and who has come in by it stays.
    pub(super) fn close(&mut self, kind: Kind, now: Instant) {
        if let Some(at) = self.doors.iter().position(|door| door.kind == kind) {
            self.let_in(at, now);
            self.doors.remove(at);
        }
    }

    /// Whether there is such a door.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.doors.iter().any(|door| door.kind == kind)
    }

    /// Closes all doors for good. Who comes later is refused by the kernel at once, and need not
    /// wait to be told nothing.
    pub(super) fn close_all(&mut self, now: Instant) {
        for at in 0..self.doors.len() {
            self.let_in(at, now);
        }
        self.doors.clear();
        self.is_closed = true;
    }

    /// Makes the machines of those who come in by a door from now on.
    pub(super) fn greet(&mut self, kind: Kind, greet: Greeting) {
        if let Some(door) = self.doors.iter_mut().find(|door| door.kind == kind) {
            door.greet = greet;
        }
    }

    /// Lets everybody go who is owed nothing.
    pub(super) fn close_soon(&mut self) {
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
    pub(super) fn ready_to_accept(&mut self, kind: Kind) {
        for door in &mut self.doors {
            door.acceptable |= door.kind == kind;
        }
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
        let acceptable = self.rest_until.is_none() && self.doors.iter().any(|door| door.acceptable);
        acceptable || !self.busy.is_empty() || !self.fresh.is_empty()
    }

    /// Takes in those who wait.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
        }
        for at in 0..self.doors.len() {
            self.admit(at, now);
        }
    }

    /// Takes in those who wait at a door that is to go.
    fn let_in(&mut self, at: usize, now: Instant) {
        if let Some(door) = self.doors.get_mut(at) {
            door.acceptable = true;
        }
        for _ in 0..LAST_TURNS {
            self.admit(at, now);
        }
    }

    fn admit(&mut self, at: usize, now: Instant) {
        for _ in 0..ACCEPTS {
            let door = self.doors.get_mut(at).filter(|door| door.acceptable);
            let Some(door) = door.filter(|_| self.rest_until.is_none()) else {
                return;
            };
            match door.listener.accept() {
                Ok((stream, peer)) => self.take_in(at, stream, peer, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => door.acceptable = false,
                // The client was quicker to leave than we to take it in.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                // No file to be had: an idle client's is given to the one who waits.
                Err(error) => {
                    let name = door.kind.name();
                    warn!(target: name, "accept: {error}; idle clients make room");
                    if !self.make_room(None) {
                        self.rest_until = Some(now + NO_FILES);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, at: usize, stream: Box<dyn Socket>, peer: IpAddr, now: Instant) {
        let Some(door) = self.doors.get(at) else {
            return;
        };
        // A stranger takes nobody's place.
        let Some(connection) = (door.greet)(peer, now) else {
            return;
        };
        let (kind, guests) = (door.kind, door.guests);
        if guests >= kind.limit() && !self.make_room(Some(kind)) {
            debug!(target: kind.name(), "{peer}: no room, every client has a request");
            return;
        }
        let Some(door) = self.doors.get_mut(at) else {
            return;
        };
        let client = Client {
            stream,
            peer,
            kind,
            connection,
            // Its request is often here already: try before watching.
            readable: true,
            hung_up: false,
            watched: None,
            queued: true,
            shut: false,
        };
        if let Ok(id) = self.clients.insert(client) {
            door.guests += 1;
            self.busy.push_back(id);
        }
    }

    /// Lets go of the client nearest to its deadline that is owed nothing, if there is one: any, or
    /// of those who came in by this kind of door.
    fn make_room(&mut self, kind: Option<Kind>) -> bool {
        let idle = self.clients.iter().filter(|(_, client)| {
            kind.is_none_or(|kind| client.kind == kind) && client.connection.is_idle()
        });
        let nearest = idle.min_by_key(|(_, client)| client.connection.poll_timeout());
        let id = nearest.map(|(id, _)| id);
        id.is_some_and(|id| self.remove(id))
    }

    fn remove(&mut self, id: ConnId) -> bool {
        let Some(client) = self.clients.remove(id) else {
            return false;
        };
        for door in &mut self.doors {
            if door.kind == client.kind {
                door.guests = door.guests.saturating_sub(1);
            }
        }
        true
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
                self.remove(id);
                continue;
            }
            self.fresh.push_back(id);
        }
    }

    /// The next thing a client wants, with who it is.
    pub(super) fn poll_wish(&mut self) -> Option<(ConnId, IpAddr, Wish)> {
        loop {
            let id = *self.fresh.front()?;
            if let Some(client) = self.clients.get_mut(id) {
                if let Some(wish) = client.connection.poll_wish() {
                    return Some((id, client.peer, wish));
                }
                queue(&mut self.busy, id, client);
            }
            self.fresh.pop_front();
        }
    }

    /// A client's connection, to tell it something, if the client is still there.
    pub(super) fn tell(&mut self, id: ConnId) -> Option<&mut Connection> {
        let client = self.clients.get_mut(id)?;
        // What it wants next may have been waiting behind this.
        self.fresh.push_back(id);
        Some(&mut client.connection)
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
                self.remove(id);
            } else if client.connection.has_wish() {
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
                Err(_) => {
                    self.readable = false;
                    return self.connection.lose(now);
                }
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
                Err(_) => return self.connection.lose(now),
            }
        }
        if self.connection.is_lingering() && !self.shut {
            self.shut = true;
            self.stream.shut();
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
                self.stream.be_quick();
                registry.register(&mut *self.stream, token(id), wanted)
            }
            Some(interest) if interest != wanted => {
                registry.reregister(&mut *self.stream, token(id), wanted)
            }
            Some(_) => Ok(()),
        };
        self.watched = Some(wanted);
        done.is_ok()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("kind", &self.kind)
            .field("guests", &self.guests)
            .finish_non_exhaustive()
    }
}

fn queue(busy: &mut VecDeque<ConnId>, id: ConnId, client: &mut Client) {
    if !client.queued {
        client.queued = true;
        busy.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use mio::Poll;
    use mio::net::{TcpListener, UnixListener};

    use super::*;
    use crate::http;

    #[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn greeting() -> Greeting {
        let options = http::Options {
            bare_reply: false,
            error_body: "",
        };
        Box::new(move |_, now| Some(Connection::Rest(http::Connection::new(options, now))))
    }

    fn listener() -> (Box<dyn Listener>, SocketAddr) {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        (Box::new(listener), address)
    }

    #[test]
    fn a_door_that_is_moved_turns_nobody_away() {
        let (poll, now) = (Poll::new().unwrap(), start());
        let mut clients = Clients::new();
        let (first, old) = listener();
        clients
            .open(Kind::Rest, first, greeting(), poll.registry(), now)
            .unwrap();
        let _served = TcpStream::connect(old).unwrap();
        clients.ready_to_accept(Kind::Rest);
        clients.accept(now);
        let mut waiting = TcpStream::connect(old).unwrap();
        waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let (second, new) = listener();
        clients
            .open(Kind::Rest, second, greeting(), poll.registry(), now)
            .unwrap();
        assert_eq!(clients.doors[0].guests, 2);
        assert!(TcpStream::connect(old).is_err());
        let _late = TcpStream::connect(new).unwrap();
        clients.ready_to_accept(Kind::Rest);
        clients.accept(now);
        assert_eq!(clients.doors[0].guests, 3);
        clients.read(&mut [0; 64], now);
        let wish = clients.poll_wish();
        assert!(matches!(wish, Some((_, _, Wish::Request(_)))), "{wish:?}");
    }

    #[test]
    fn the_end_lets_in_who_waits_and_leaves_no_door_open() {
        let (poll, now) = (Poll::new().unwrap(), start());
        let mut clients = Clients::new();
        let (door, address) = listener();
        clients
            .open(Kind::Rest, door, greeting(), poll.registry(), now)
            .unwrap();
        let waiting: Vec<_> = (0..100).map(|_| TcpStream::connect(address)).collect();
        clients.close_all(now);
        assert_eq!(clients.clients.iter().count(), waiting.len());
        assert!(TcpStream::connect(address).is_err());
        let (door, address) = listener();
        clients
            .open(Kind::Rest, door, greeting(), poll.registry(), now)
            .unwrap();
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_door_may_be_a_unix_socket() {
        let name = format!("salara-door-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let (poll, now) = (Poll::new().unwrap(), start());
        let mut clients = Clients::new();
        clients
            .open(
                Kind::Rest,
                Box::new(listener),
                greeting(),
                poll.registry(),
                now,
            )
            .unwrap();
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        clients.ready_to_accept(Kind::Rest);
        clients.accept(now);
        clients.read(&mut [0; 64], now);
        let (id, peer, _) = clients.poll_wish().unwrap();
        assert!(peer.is_loopback());
        assert!(clients.tell(id).is_some());
    }
}
