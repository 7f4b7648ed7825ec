//! salara's account in Asterisk's manager.conf: what an installation of the old module already has.
//!
//! It must not open files itself, and it does not judge `permit` and `deny`: Asterisk does, and
//! says so.
//!
//! The surprising fact: an account may be spread over several sections and files, and the last
//! value counts, as it does for Asterisk.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::glob;
pub use super::manager::ManagerFiles;
use super::manager::{Sections, reason};
use super::net::listener;
use super::secret::Secret;

/// An account, and where Asterisk listens for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its password.
    pub secret: Secret,
    /// The port of plain AMI.
    pub port: u16,
    /// The address of plain AMI; a wildcard is reached at 127.0.0.1. `None` when it is not told or
    /// is a name.
    pub bindaddr: Option<IpAddr>,
    /// Where AMI over TLS listens, if it is switched on.
    pub tls: Option<SocketAddr>,
    /// What it may see.
    pub read: Classes,
    /// What it may do.
    pub write: Classes,
    /// What could not be followed, in words.
    pub notes: Vec<String>,
}

/// A list of AMI's classes: `call`, `agent`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes(Vec<Box<str>>);

/// Why there is no account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// The file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// AMI is switched off.
    Disabled {
        /// Where.
        path: PathBuf,
    },
    /// No section has the account's name.
    NoSection {
        /// Where.
        path: PathBuf,
        /// The account.
        user: Box<str>,
        /// What could not be followed: the section may be there.
        notes: Vec<String>,
    },
    /// The section is a template only.
    Template {
        /// Where.
        path: PathBuf,
        /// The account.
        user: Box<str>,
    },
    /// The account has no secret.
    NoSecret {
        /// Where.
        path: PathBuf,
        /// The account.
        user: Box<str>,
    },
}

/// Finds an account in manager.conf and the files it includes, relative to its own directory.
pub fn find_account(
    files: &dyn ManagerFiles,
    start: &Path,
    user: &str,
) -> Result<Account, AccountError> {
    let path = start.to_owned();
    let sections = match Sections::read(files, start) {
        Ok(sections) => sections,
        Err(error) => {
            return Err(AccountError::File {
                path,
                kind: error.kind(),
            });
        }
    };
    let general = |key: &str| sections.last("general", key);
    if !general("enabled").is_some_and(is_true) {
        return Err(AccountError::Disabled { path });
    }
    let mut named = sections
        .list
        .iter()
        .filter(|s| s.name.eq_ignore_ascii_case(user))
        .peekable();
    if named.peek().is_none() || user.eq_ignore_ascii_case("general") {
        return Err(AccountError::NoSection {
            path,
            user: user.into(),
            notes: sections.notes,
        });
    }
    if named.all(|section| section.template) {
        return Err(AccountError::Template {
            path,
            user: user.into(),
        });
    }
    let Some(secret) = sections
        .last(user, "secret")
        .filter(|secret| !secret.is_empty())
    else {
        return Err(AccountError::NoSecret {
            path,
            user: user.into(),
        });
    };
    let bindaddr = general("bindaddr")
        .and_then(|text| listener(text, AMI))
        .map(reachable);
    let tls_default = SocketAddr::new(bindaddr.map_or(AMI.ip(), |a| a.ip()), TLS_PORT);
    let tls = general("tlsenable").is_some_and(is_true).then(|| {
        let listens = general("tlsbindaddr").and_then(|text| listener(text, tls_default));
        listens.map_or(tls_default, reachable)
    });
    Ok(Account {
        secret: Secret::new(secret),
        port: general("port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(AMI.port()),
        bindaddr: bindaddr.map(|address| address.ip()),
        tls,
        read: Classes::parse(sections.last(user, "read").unwrap_or_default()),
        write: Classes::parse(sections.last(user, "write").unwrap_or_default()),
        notes: sections.notes,
    })
}

/// Where a section of this name could be added in a file of its own: `None` when there is one
/// already, an error when no file of that name would be read.
pub fn find_room(
    files: &dyn ManagerFiles,
    start: &Path,
    user: &str,
    name: &str,
) -> Result<Option<PathBuf>, AccountError> {
    let path = start.to_owned();
    let sections = Sections::read(files, start).map_err(|error| AccountError::File {
        path: path.clone(),
        kind: error.kind(),
    })?;
    let mut list = sections.list.iter();
    if list.any(|section| section.name.eq_ignore_ascii_case(user)) {
        return Ok(None);
    }
    let fits = |target: &&PathBuf| {
        let pattern = target.file_name().and_then(|pattern| pattern.to_str());
        pattern.is_some_and(|pattern| glob::fits(pattern, name))
    };
    let found = sections.includes.iter().find(fits);
    let room = found.map(|target| target.with_file_name(name));
    room.map(Some).ok_or_else(|| AccountError::NoSection {
        path,
        user: user.into(),
        notes: sections.notes,
    })
}

impl Classes {
    fn parse(text: &str) -> Self {
        let classes = text
            .split(',')
            .map(str::trim)
            .filter(|class| !class.is_empty());
        Self(
            classes
                .map(|class| class.to_ascii_lowercase().into())
                .collect(),
        )
    }

    /// Whether a class is among them.
    pub fn allows(&self, class: &str) -> bool {
        // A number is a mask of Asterisk's own; which bits it needs is not ours to know.
        let whole = |c: &str| is_true(c) || c == "all" || c.parse::<i64>().is_ok_and(|n| n != 0);
        self.0.iter().any(|c| **c == *class || whole(c))
    }

    /// Those of `wanted` that are not among them.
    pub fn missing<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted
            .iter()
            .copied()
            .filter(|class| !self.allows(class))
            .collect()
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, kind } => write!(f, "{}: {}", path.display(), reason(*kind)),
            Self::Disabled { path } => {
                let text = "[general] enabled is not yes: Asterisk listens to no one";
                write!(f, "{}: {text}", path.display())
            }
            Self::NoSection { path, user, notes } => {
                write!(f, "{}: no section [{user}]", path.display())?;
                for note in notes {
                    write!(f, "; {note}")?;
                }
                Ok(())
            }
            Self::Template { path, user } => {
                let text = "is a template (!), which nobody can log in with";
                write!(f, "{}: [{user}] {text}", path.display())
            }
            Self::NoSecret { path, user } => {
                write!(f, "{}: [{user}] has no secret", path.display())
            }
        }
    }
}

impl std::error::Error for AccountError {}

/// A wildcard is no address to connect to. `[::]` takes IPv4 as well, and accounts are commonly
/// permitted to 127.0.0.1 only.
fn reachable(listens: SocketAddr) -> SocketAddr {
    if listens.ip().is_unspecified() {
        return SocketAddr::new(AMI.ip(), listens.port());
    }
    listens
}

fn is_true(text: &str) -> bool {
    ["yes", "true", "y", "t", "1", "on"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
}

const AMI: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5038);

const TLS_PORT: u16 = 5039;
