//! What whoever started salara is told: systemd, or another that speaks its protocol.
//!
//! This file owns sd_notify(3). It must not know what the loop does, only that it turns.
//!
//! The surprising fact: a watchdog is fed from the loop and from nowhere else. A thread of its own
//! would go on saying that all is well while the loop stands.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::{Duration, Instant};

/// The supervisor, if there is one that listens.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life.
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Supervisor {
    /// As the environment names it.
    pub(super) fn new(now: Instant) -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let number = |name| env::var_os(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let limit = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_ours);
        let interval = limit.map(|usec| Duration::from_micros(usec / 2));
        Self {
            due: interval.filter(|_| socket.is_some()).map(|_| now),
            socket,
            interval,
        }
    }

    /// Requests can come in.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The settings are read anew; `ready` ends that. The time is wanted by systemd, which drops
    /// what is older than its own request. It is the kernel's, rounded up.
    pub(super) fn reloading(&self) {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let hundredths = uptime
            .split(' ')
            .next()
            .unwrap_or_default()
            .replace('.', "");
        let usec = (hundredths.parse().unwrap_or(0_u64) + 1) * 10_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// How things are, for `systemctl status`.
    pub(super) fn status(&self, words: &str) {
        self.tell(&format!("STATUS={}", words.replace('\n', " ")));
    }

    /// Gives the sign of life.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.tell("WATCHDOG=1");
            self.due = self.interval.map(|interval| now + interval);
        }
    }

    /// When `handle_timeout` is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn tell(&self, what: &str) {
        // A supervisor that does not listen any more is no reason to stop.
        if let Some(socket) = &self.socket {
            drop(socket.send(what.as_bytes()));
        }
    }
}

/// A path, or behind an `@` a name without a file.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::new(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
