//! salara.conf written anew.
//!
//! This file owns the way from old bytes to new ones on disk. It must not know what changes.
//!
//! The surprising fact: the file is never written to. Another one is written beside it, made as safe
//! as the disk can, and given its name; so whoever looks, at whatever moment, sees a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::link::reason;
use crate::config::edit::Edit;
use crate::file;

/// Writes a change of a file: at any moment there is the old file or the new one, whole.
pub(super) fn rewrite(path: &Path, edit: &Edit) -> Result<(), String> {
    let told = |error: io::Error| reason(&error);
    // A link goes on pointing where it does.
    let path = fs::canonicalize(path).map_err(told)?;
    let text = edit.apply(&file::read(&path).map_err(told)?)?;
    let new = beside(&path, ".new");
    let written = replace(&path, &new, &text);
    if written.is_err() {
        drop(fs::remove_file(&new));
    }
    written.map_err(told)
}

fn replace(path: &Path, new: &Path, text: &[u8]) -> io::Result<()> {
    let was = fs::metadata(path)?;
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(text)?;
    let is_ours = file.metadata().map(|new| (new.uid(), new.gid()))?;
    let keep = |what, id, kept: io::Result<()>| {
        kept.map_err(|error| {
            let why = reason(&error);
            io::Error::new(
                error.kind(),
                format!("its {what} ({id}) cannot be kept: {why}"),
            )
        })
    };
    let (uid, gid) = (was.uid(), was.gid());
    if is_ours.0 != uid {
        keep("owner", uid, fchown(&file, Some(uid), None))?;
    }
    if is_ours.1 != gid {
        keep("group", gid, fchown(&file, None, Some(gid)))?;
    }
    file.set_permissions(was.permissions())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

/// The name of a file that takes another's place.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
