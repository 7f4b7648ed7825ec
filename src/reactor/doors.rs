//! The doors by which clients come in.
//!
//! This file owns the listeners, and who is let in by them. It must not know what becomes of a client
//! inside.
//!
//! The surprising fact: a door that goes would take those along who wait at it, for the kernel has
//! connected them already and resets them when the listener is closed. So they are let in first.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::warn;
use mio::{Interest, Registry};

use super::clients::Clients;
use super::connection::{Connection, Kind};
use super::sockets::Listener;

/// Connections accepted in one turn, so that a flood of them leaves time for the rest.
const ACCEPTS: usize = 64;
/// Turns for those who wait at a door that goes: the kernel lets no more wait than these take in.
const LAST_TURNS: usize = 16;
/// When there are no more files and nobody to take one from, accepting rests for so long.
const NO_FILES: Duration = Duration::from_secs(1);

/// All of them, one of a kind.
#[derive(Debug, Default)]
pub(super) struct Doors {
    doors: Vec<Door>,
    rest_until: Option<Instant>,
    is_closed: bool,
}

/// Makes the machine of a client that comes in, unless nobody may from there.
pub(super) type Greeting = Box<dyn Fn(IpAddr, Instant) -> Option<Connection>>;

struct Door {
    kind: Kind,
    listener: Box<dyn Listener>,
    greet: Greeting,
    /// Accepting may find something.
    acceptable: bool,
}

impl Doors {
    /// Opens a door, or moves it: who has come in by the old one stays.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        mut listener: Box<dyn Listener>,
        greet: Greeting,
        registry: &Registry,
        clients: &mut Clients,
        now: Instant,
    ) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        // The old listener has the token until it is dropped, and one token may serve both.
        registry.register(&mut *listener, kind.token(), Interest::READABLE)?;
        self.close(kind, clients, now);
        self.doors.push(Door {
            kind,
            listener,
            greet,
            acceptable: false,
        });
        Ok(())
    }

    /// Closes a door: who waits at it is let in, and who has come in by it stays.
    pub(super) fn close(&mut self, kind: Kind, clients: &mut Clients, now: Instant) {
        if let Some(at) = self.doors.iter().position(|door| door.kind == kind) {
            let mut door = self.doors.swap_remove(at);
            door.acceptable = true;
            for _ in 0..LAST_TURNS {
                door.admit(clients, &mut self.rest_until, now);
            }
        }
    }

    /// Closes all doors for good. Who comes later is refused by the kernel at once, and need not
    /// wait to be told nothing.
    pub(super) fn close_all(&mut self, clients: &mut Clients, now: Instant) {
        self.is_closed = true;
        while let Some(door) = self.doors.first() {
            self.close(door.kind, clients, now);
        }
    }

    /// Whether there is such a door.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.doors.iter().any(|door| door.kind == kind)
    }

    /// Makes the machines of those who come in by a door from now on.
    pub(super) fn greet(&mut self, kind: Kind, greet: Greeting) {
        if let Some(door) = self.doors.iter_mut().find(|door| door.kind == kind) {
            door.greet = greet;
        }
    }

    /// Takes note that someone wants to come in.
    pub(super) fn ready(&mut self, kind: Kind) {
        for door in &mut self.doors {
            door.acceptable |= door.kind == kind;
        }
    }

    /// Whether a turn would find somebody at once.
    pub(super) fn has_work(&self) -> bool {
        self.rest_until.is_none() && self.doors.iter().any(|door| door.acceptable)
    }

    /// Lets those in who wait.
    pub(super) fn accept(&mut self, clients: &mut Clients, now: Instant) {
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
        }
        for door in &mut self.doors {
            door.admit(clients, &mut self.rest_until, now);
        }
    }

    /// When `accept` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.rest_until
    }
}

impl Door {
    /// Lets its share in, unless accepting rests.
    fn admit(&mut self, clients: &mut Clients, rest_until: &mut Option<Instant>, now: Instant) {
        for _ in 0..ACCEPTS {
            if !self.acceptable || rest_until.is_some() {
                return;
            }
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    // A stranger takes nobody's place.
                    if let Some(connection) = (self.greet)(peer, now) {
                        clients.take_in(self.kind, stream, peer, connection);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.acceptable = false,
                // The client was quicker to leave than we to take it in.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                // No file to be had: an idle client's is given to the one who waits.
                Err(error) => {
                    let name = self.kind.name();
                    warn!(target: name, "accept: {error}; idle clients make room");
                    if !clients.make_room(None) {
                        *rest_until = Some(now + NO_FILES);
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream};

    use mio::Poll;
    use mio::net::{TcpListener, UnixListener};

    use super::super::connection::Wish;
    use super::*;
    use crate::http;

    /// Doors, who came in by them, and the clock of both.
    struct House {
        doors: Doors,
        clients: Clients,
        poll: Poll,
        now: Instant,
    }

    impl House {
        #[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
        fn new() -> Self {
            Self {
                doors: Doors::default(),
                clients: Clients::new(),
                poll: Poll::new().unwrap(),
                now: Instant::now(),
            }
        }

        fn open(&mut self, listener: Box<dyn Listener>) {
            let options = http::Options {
                bare_reply: false,
                error_body: "",
            };
            let greet: Greeting =
                Box::new(move |_, now| Some(Connection::Rest(http::Connection::new(options, now))));
            let (poll, clients) = (self.poll.registry(), &mut self.clients);
            let opened = self
                .doors
                .open(Kind::Rest, listener, greet, poll, clients, self.now);
            opened.unwrap();
        }

        /// Opens one at a port of its own.
        fn open_somewhere(&mut self) -> SocketAddr {
            let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
            let address = listener.local_addr().unwrap();
            self.open(Box::new(listener));
            address
        }

        /// Lets those in who wait; how many are here then.
        fn accept(&mut self) -> usize {
            self.doors.ready(Kind::Rest);
            self.doors.accept(&mut self.clients, self.now);
            self.clients.count(Kind::Rest)
        }
    }

    #[test]
    fn a_door_that_is_moved_turns_nobody_away() {
        let mut house = House::new();
        let old = house.open_somewhere();
        let _served = TcpStream::connect(old).unwrap();
        assert_eq!(house.accept(), 1);
        let mut waiting = TcpStream::connect(old).unwrap();
        waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let new = house.open_somewhere();
        assert_eq!(house.clients.count(Kind::Rest), 2);
        assert!(TcpStream::connect(old).is_err());
        let _late = TcpStream::connect(new).unwrap();
        assert_eq!(house.accept(), 3);
        house.clients.read(&mut [0; 64], house.now);
        let wish = house.clients.poll_wish();
        assert!(matches!(wish, Some((_, _, Wish::Request(_)))), "{wish:?}");
    }

    #[test]
    fn the_end_lets_in_who_waits_and_leaves_no_door_open() {
        let mut house = House::new();
        let address = house.open_somewhere();
        let waiting: Vec<_> = (0..100).map(|_| TcpStream::connect(address)).collect();
        house.doors.close_all(&mut house.clients, house.now);
        assert_eq!(house.clients.count(Kind::Rest), waiting.len());
        assert!(TcpStream::connect(address).is_err());
        let address = house.open_somewhere();
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_door_may_be_a_unix_socket() {
        let name = format!("salara-door-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut house = House::new();
        house.open(Box::new(UnixListener::bind(&path).unwrap()));
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(house.accept(), 1);
        house.clients.read(&mut [0; 64], house.now);
        let (id, peer, _) = house.clients.poll_wish().unwrap();
        assert!(peer.is_loopback());
        assert!(house.clients.tell(id).is_some());
    }
}
