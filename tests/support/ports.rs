//! Loopback ports for a server that takes them by number, as Asterisk does.
//!
//! Port 0 is no use there: the number must be in a file before the server starts, and it must still
//! be free when the server has been down for a while. The kernel's ephemeral range is no use
//! either, for a client that keeps trying a dead port of that range may connect to itself.
//! So: blocks of ports below that range, each locked by a listener of ours on its first port.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process;

/// A run of ports that no other test on this machine has.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    _lock: TcpListener,
}

impl Ports {
    /// How many there are, the locked one included.
    pub const COUNT: u16 = 32;

    /// Takes a block of which every port is free for TCP and UDP.
    pub fn take() -> Self {
        let blocks = (LAST - FIRST) / Self::COUNT;
        // Processes start in different places so that they seldom try the same block.
        let start = u16::try_from(process::id() % u32::from(blocks)).expect("less than blocks");
        (0..blocks)
            .map(|n| FIRST + (start + n) % blocks * Self::COUNT)
            .find_map(Self::try_take)
            .unwrap_or_else(|| panic!("no {} free ports in {FIRST}..{LAST}", Self::COUNT))
    }

    /// The port `n` places after the lock.
    pub fn port(&self, n: u16) -> u16 {
        assert!(
            (1..Self::COUNT).contains(&n),
            "port {n} is not of the block"
        );
        self.first + n
    }

    fn try_take(first: u16) -> Option<Self> {
        let lock = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
        let free = (first + 1..first + Self::COUNT).all(|port| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        free.then_some(Self { first, _lock: lock })
    }
}

/// Below it are the ports that people give to their servers, above [`LAST`] those of sound and the
/// ephemeral ones.
const FIRST: u16 = 10_240;
const LAST: u16 = 28_000;
