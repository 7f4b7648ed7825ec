//! Why the loop could not start, or ended.
//!
//! This file owns the words. It must not know what is done about it.
//!
//! The surprising fact: most of them are about another salara, which is there already.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::holder::holder;
use super::link::reason;

/// Why the loop could not start, or ended.
#[derive(Debug)]
pub enum RunError {
    /// The address of this key could not be listened at.
    Listen(&'static str, SocketAddr, io::Error),
    /// The system refused something a loop cannot do without.
    System(&'static str, io::Error),
    /// Another salara keeps its events in the same directory.
    SpoolInUse(PathBuf),
    /// The control socket could not be made.
    Socket(PathBuf, io::Error),
    /// Another salara listens there, this process if it says so.
    SocketInUse(PathBuf, Option<u32>),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(key, address, error) => {
                let why = reason(error);
                write!(f, "{key}={address}: cannot listen: {why}")?;
                if error.kind() != io::ErrorKind::AddrInUse {
                    return Ok(());
                }
                match holder(*address) {
                    Some(who) => write!(f, " by {who}"),
                    None => write!(f, "; as root, ss -ltnp says by whom"),
                }
            }
            Self::System(what, error) => write!(f, "{what}: {}", reason(error)),
            Self::SpoolInUse(dir) => write!(
                f,
                "spool_dir={}: another salara keeps its events there",
                dir.display()
            ),
            Self::Socket(path, error) => {
                write!(f, "{}: {}", path.display(), reason(error))
            }
            Self::SocketInUse(path, pid) => {
                write!(f, "another salara ")?;
                if let Some(pid) = pid {
                    write!(f, "(pid {pid}) ")?;
                }
                let path = path.display();
                write!(
                    f,
                    "runs on {path}: give this one a place of its own with -s"
                )
            }
        }
    }
}

impl std::error::Error for RunError {}
