//! Files that are read or made whole.
//!
//! This file owns what may be read, and the way a new file comes to its name. It must not know what
//! is in one.
//!
//! The surprising fact: to open a pipe is to wait for whoever writes to it, and the loop waits for
//! nobody, so only what is a file is opened. And a new one gets its name by a hard link, which fails
//! where there is a file of that name: nobody's is lost, and a kill leaves no half of one under it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

/// A configuration is some hundreds of lines; what is longer is something else.
const MAX: u64 = 1024 * 1024;

/// Reads a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let there = fs::metadata(path)?;
    if there.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !there.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if there.len() > MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    fs::read(path)
}

/// Makes a file that its owner may write, its group read and nobody else see. What is there is not
/// touched; what fails leaves nothing behind.
pub fn create(path: &Path, text: &str, group: Option<u32>) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    // One that was killed at this has left it.
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let made = write(unfinished, text, group).and_then(|()| fs::hard_link(unfinished, path));
    drop(fs::remove_file(unfinished));
    made?;
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write(path: &Path, text: &str, group: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path)?;
    if group.is_some() {
        fchown(&file, None, group)?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
