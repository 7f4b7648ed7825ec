//! Those who have connected to us, and their sockets.
//!
//! This file owns the table of clients and their readiness. It must not know by which door a client
//! came, what it wants, nor in which protocol.
//!
//! The surprising fact: the table is small and never refuses. When a kind's share of it is taken, the
//! client nearest to its deadline that is owed nothing makes room, so a thousand idle connections
//! cost no more than a few hundred and keep nobody out.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::time::Instant;

use log::debug;
use mio::{Interest, Registry};

use super::connection::{Connection, Kind, Wish};
use super::slots::{Slots, token};
use super::sockets::Socket;
use crate::engine::ConnId;

/// Bytes read from one client in one turn.
const READS: usize = 8 * 1024;

/// Who is here.
#[derive(Debug)]
pub(super) struct Clients {
    clients: Slots<Client>,
    /// No client's deadline is earlier. Kept instead of asked for, because there may be hundreds.
    due: Option<Instant>,
    /// Clients with something to read, or with something to write.
    busy: VecDeque<ConnId>,
    /// Clients that may want something.
    fresh: VecDeque<ConnId>,
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
    /// Nobody.
    pub(super) fn new() -> Self {
        Self {
            clients: Slots::new(),
            due: None,
            busy: VecDeque::new(),
            fresh: VecDeque::new(),
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

    /// How many of a kind are here.
    pub(super) fn count(&self, kind: Kind) -> usize {
        let clients = self.clients.iter();
        clients.filter(|(_, client)| client.kind == kind).count()
    }

    /// Whether nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.iter().next().is_none()
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
        !self.busy.is_empty() || !self.fresh.is_empty()
    }

    /// Takes in who has come by a door of this kind. When its share is taken, an idle one makes room.
    pub(super) fn take_in(
        &mut self,
        kind: Kind,
        stream: Box<dyn Socket>,
        peer: IpAddr,
        connection: Connection,
    ) {
        if self.count(kind) >= kind.limit() && !self.make_room(Some(kind)) {
            debug!(target: kind.name(), "{peer}: no room, every client has a request");
            return;
        }
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
            self.busy.push_back(id);
        }
    }

    /// Lets go of the client nearest to its deadline that is owed nothing, if there is one: any, or
    /// of those who came in by this kind of door.
    pub(super) fn make_room(&mut self, kind: Option<Kind>) -> bool {
        let idle = self.clients.iter().filter(|(_, client)| {
            kind.is_none_or(|kind| client.kind == kind) && client.connection.is_idle()
        });
        let nearest = idle.min_by_key(|(_, client)| client.connection.poll_timeout());
        let id = nearest.map(|(id, _)| id);
        id.is_some_and(|id| self.clients.remove(id).is_some())
    }

    /// Reads from those who have sent something, each its share.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) {
        for _ in 0..self.busy.len() {
            let Some((id, client)) = next(&mut self.busy, &mut self.clients) else {
                continue;
            };
            if !client.read(buffer, now) {
                self.clients.remove(id);
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

    /// Writes what is to be written and lets go of who is done. That is no part of `read`: between them
    /// events are stored, and nobody may be answered before.
    pub(super) fn write(&mut self, registry: &Registry, now: Instant) {
        for _ in 0..self.busy.len() {
            let Some((id, client)) = next(&mut self.busy, &mut self.clients) else {
                continue;
            };
            let lives = client.write(now) && client.watch(id, registry);
            let own_due = client.connection.poll_timeout();
            self.due = self.due.into_iter().chain(own_due).min();
            if !lives {
                self.clients.remove(id);
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

    /// When `handle_timeout` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
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

/// The next client in the queue, if it is still here.
fn next<'a>(
    busy: &mut VecDeque<ConnId>,
    clients: &'a mut Slots<Client>,
) -> Option<(ConnId, &'a mut Client)> {
    let id = busy.pop_front()?;
    let client = clients.get_mut(id)?;
    client.queued = false;
    Some((id, client))
}

fn queue(busy: &mut VecDeque<ConnId>, id: ConnId, client: &mut Client) {
    if !client.queued {
        client.queued = true;
        busy.push_back(id);
    }
}
