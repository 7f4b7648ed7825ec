//! What a client's socket and its listener can do, whatever their kind.
//!
//! This file owns the difference between TCP and a Unix socket. It must not know what is said over
//! either.
//!
//! The surprising fact: they are objects and not type parameters. The table of clients would else be
//! compiled once for each kind, and it is much bigger than a call through a table of functions.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A client's socket.
pub(super) trait Socket: Source + Read + Write + Debug {
    /// What is written goes out at once.
    fn be_quick(&self);
    /// Nothing more will be written.
    fn shut(&self);
}

/// Where clients come in.
pub(super) trait Listener: Source + Debug {
    /// The next client, and where it comes from.
    fn accept(&self) -> io::Result<(Box<dyn Socket>, IpAddr)>;
}

impl Socket for TcpStream {
    fn be_quick(&self) {
        drop(self.set_nodelay(true));
    }

    fn shut(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> io::Result<(Box<dyn Socket>, IpAddr)> {
        let (stream, peer) = self.accept()?;
        Ok((Box::new(stream), peer.ip()))
    }
}

impl Socket for UnixStream {
    fn be_quick(&self) {}

    fn shut(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

impl Listener for UnixListener {
    /// Whoever comes this way is on this machine.
    fn accept(&self) -> io::Result<(Box<dyn Socket>, IpAddr)> {
        let (stream, _) = self.accept()?;
        Ok((Box::new(stream), Ipv4Addr::LOCALHOST.into()))
    }
}
