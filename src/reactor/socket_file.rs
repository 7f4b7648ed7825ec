//! The file by which the control socket is found.
//!
//! This file owns how it comes to be and how it goes. It must not know what is said over it.
//!
//! The surprising fact: a socket can be connected to from the moment it has a name, and only then can
//! be made its owner's alone. So it gets its name where nobody else may look, in a directory made for
//! that, and is moved to its place when it is safe.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::UnixListener;

use super::RunError;
use super::rewrite::beside;
use crate::client::{self, Unanswered};

/// How long someone who may have the socket is waited for.
const PROBE: Duration = Duration::from_secs(1);

/// Takes the file away when it is dropped, unless another has the name by then. The listener is to be
/// closed after it: what names ours is used again once that is gone.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    ours: Option<(u64, u64)>,
}

impl SocketFile {
    /// Takes a place for the control socket, unless a live salara has it.
    pub(super) fn open(path: &Path) -> Result<(Self, UnixListener), RunError> {
        let failed = |error| RunError::Socket(path.to_owned(), error);
        if let Ok(there) = fs::symlink_metadata(path)
            && !there.file_type().is_socket()
        {
            return Err(failed(io::Error::other("it is there, and no socket")));
        }
        // Another user's, dead or alive.
        if let Err(error) = UnixStream::connect(path)
            && error.kind() == ErrorKind::PermissionDenied
        {
            return Err(failed(error));
        }
        let words = ["show", "info"].map(str::to_owned);
        match client::ask(path, &words, true, PROBE) {
            Err(Unanswered::NotRunning) => {}
            Err(Unanswered::Failed(_)) => return Err(RunError::SocketInUse(path.to_owned(), None)),
            Ok(answer) => {
                let pid = answer.text.split_once("\"pid\":").and_then(|(_, rest)| {
                    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                    digits.and_then(|digits| digits.parse().ok())
                });
                return Err(RunError::SocketInUse(path.to_owned(), pid));
            }
        }
        let listener = bind(path).map_err(failed)?;
        let file = Self {
            path: path.to_owned(),
            ours: identity(path),
        };
        Ok((file, listener))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ours.is_some() && identity(&self.path) == self.ours {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Listens at a place. A dead one's file makes room in the same moment.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let private = beside(path, ".new");
    let new = private.join("s");
    let clear = || {
        drop(fs::remove_file(&new));
        drop(fs::remove_dir(&private));
    };
    // One that was killed may have left it.
    clear();
    DirBuilder::new().mode(0o700).create(&private)?;
    let listener = UnixListener::bind(&new).and_then(|listener| {
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(listener)
    });
    clear();
    listener
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let there = fs::symlink_metadata(path).ok()?;
    Some((there.dev(), there.ino()))
}
