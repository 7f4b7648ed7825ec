//! Files that are read whole.
//!
//! This file owns what may be read. It must not know what is in a file.
//!
//! The surprising fact: to open a pipe is to wait for whoever writes to it, and the loop waits for
//! nobody. So only what is a file, and not a long one, is opened.

use std::fs;
use std::io;
use std::path::Path;

/// A configuration is some hundreds of lines; what is longer is something else.
const MAX: u64 = 1024 * 1024;

/// Reads a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let there = fs::metadata(path)?;
    if there.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !there.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if there.len() > MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    fs::read(path)
}
