//! Where lines of the log go: stderr, a file, or syslog.
//!
//! This file owns the descriptors and the marks a reader wants around a line. It must not know what
//! a line says.
//!
//! The surprising fact: stderr may not simply be made non-blocking, for the terminal belongs to the
//! shell as well. A pipe or a terminal is opened once more instead, by its name below /proc, and
//! what is done to that is nobody else's business.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process;

use log::Level;

use crate::config::LogTo;

/// Longer datagrams are more than some syslog daemons take.
const MAX_DATAGRAM: usize = 8 * 1024;
/// `LOG_DAEMON`.
const DAEMON: u8 = 3 << 3;

/// What stands around a line's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Time and level, in words.
    Plain,
    /// The level as a number: systemd's journal knows the rest.
    Journal,
    /// As syslog(3) does it: the level as a number, time, name and process.
    Syslog,
}

/// An open log.
#[derive(Debug)]
pub(super) struct Sink {
    style: Style,
    place: Place,
    /// The end of a line of which the reader has taken the beginning.
    rest: Vec<u8>,
    /// Lines that found no room, and why the first of them did not.
    pub(super) lost: u32,
    pub(super) why: Box<str>,
}

#[derive(Debug)]
enum Place {
    Stream(File),
    Syslog(UnixDatagram, PathBuf),
}

impl Sink {
    pub(super) fn open(to: &LogTo) -> Result<Self, String> {
        let at = |path: &Path, error| format!("log_to: {}: {error}", path.display());
        let (style, place) = match to {
            LogTo::Stderr => {
                let stream = stderr().map_err(|error| format!("log_to: stderr: {error}"))?;
                let style = if is_journal(&stream) {
                    Style::Journal
                } else {
                    Style::Plain
                };
                (style, Place::Stream(stream))
            }
            LogTo::File(path) => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o640)
                    .custom_flags(FLAGS)
                    .open(path);
                let file = file.map_err(|error| at(path, error))?;
                (Style::Plain, Place::Stream(file))
            }
            LogTo::Syslog(path) => {
                let socket = UnixDatagram::unbound().and_then(|socket| {
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                });
                let socket = socket.map_err(|error| at(path, error))?;
                (Style::Syslog, Place::Syslog(socket, path.clone()))
            }
        };
        Ok(Self {
            style,
            place,
            rest: Vec::new(),
            lost: 0,
            why: Box::default(),
        })
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Writes a line, if there is room for it.
    pub(super) fn put(&mut self, level: Level, line: &[u8]) -> bool {
        let severity = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let marked = match self.style {
            Style::Plain => return self.send(line),
            Style::Journal => [format!("<{severity}>").as_bytes(), line].concat(),
            Style::Syslog => datagram(DAEMON | severity, line),
        };
        self.send(&marked)
    }

    /// Writes the rest of a line; false when there is still no room for it.
    pub(super) fn flush(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() || self.send(&rest) {
            return self.rest.is_empty();
        }
        self.rest = rest;
        false
    }

    fn send(&mut self, line: &[u8]) -> bool {
        let sent = match &mut self.place {
            Place::Stream(stream) => retried(|| stream.write(line)),
            // By its name each time: a daemon that was restarted is found again.
            Place::Syslog(socket, path) => retried(|| socket.send_to(line, &*path)),
        };
        match sent {
            Ok(count) => {
                self.rest.extend(line.iter().skip(count));
                true
            }
            Err(error) => {
                if self.lost == 0 {
                    self.why = match error.kind() {
                        ErrorKind::WouldBlock => "its reader did not keep up".into(),
                        _ => error.to_string().into(),
                    };
                }
                false
            }
        }
    }
}

pub(super) fn check(to: &LogTo) -> Result<(), String> {
    let (path, tried) = match to {
        LogTo::Stderr => return Ok(()),
        LogTo::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .custom_flags(FLAGS)
                .open(path);
            let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
            let tried = match file {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    std::fs::read_dir(directory.unwrap_or_else(|| Path::new("."))).map(drop)
                }
                tried => tried.map(drop),
            };
            (path, tried)
        }
        LogTo::Syslog(path) => {
            let tried = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
            (path, tried)
        }
    };
    tried.map_err(|error| format!("log_to: {}: {error}", path.display()))
}

fn retried(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// simplelog begins the line with `Tue, 24 Nov 2026 14:43:05 +0000 `, in which everything has its
/// place; wanted is `Nov 24 14:43:05`. UTC, as musl's syslog(3) has it: most daemons put their own
/// time in its place.
fn datagram(priority: u8, line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let mut datagram = format!(
        "<{priority}>{} {:>2} {} salara[{}]: {}",
        part(8, 11),
        part(5, 7).trim_start_matches('0'),
        part(17, 25),
        process::id(),
        text.get(32..).unwrap_or_default().trim_end()
    )
    .into_bytes();
    datagram.truncate(MAX_DATAGRAM);
    datagram
}

/// Stderr, so that writing there does not block.
fn stderr() -> io::Result<File> {
    let shared = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let kind = shared.metadata()?.file_type();
    if kind.is_fifo() || kind.is_char_device() {
        let own = OpenOptions::new()
            .append(true)
            .custom_flags(FLAGS)
            .open("/proc/self/fd/2");
        // A supervisor's pipe that another user made may only be used as it is.
        if own.is_ok() || kind.is_char_device() {
            return Ok(own.unwrap_or(shared));
        }
    } else if !kind.is_socket() {
        return Ok(shared);
    }
    // What a supervisor reads is between it and us. Any descriptor can be told so, by this type.
    let stream = UnixStream::from(OwnedFd::from(shared));
    stream.set_nonblocking(true)?;
    Ok(OwnedFd::from(stream).into())
}

/// Whether systemd's journal reads it: it says so by device and inode, for children inherit the
/// variable with another stderr.
fn is_journal(stream: &File) -> bool {
    let Some(named) = env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    stream
        .metadata()
        .is_ok_and(|of| *named == *format!("{}:{}", of.dev(), of.ino()))
}

const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_as_syslog_has_it() {
        let line = b"Thu, 05 Mar 2026 04:43:05 +0000 ami: connected\n";
        let told = String::from_utf8(datagram(30, line)).unwrap();
        let pid = process::id();
        assert_eq!(
            told,
            format!("<30>Mar  5 04:43:05 salara[{pid}]: ami: connected")
        );
    }
}
