//! The other end of the control socket: asks the salara that runs, and waits for its answer.
//!
//! This file owns a blocking connection. It must not know what is asked.
//!
//! The surprising fact: a socket file that nobody listens on is left behind by every salara that was
//! killed. So a refused connection says the same as no file at all: it is not running.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::control::{self, Answer};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody listens there.
    NotRunning,
    /// Something else, in words.
    Failed(String),
}

/// Asks whoever listens on `socket`; waits no longer than `patience` for each part of the answer.
pub fn ask(
    socket: &Path,
    words: &[String],
    json: bool,
    patience: Duration,
) -> Result<Answer, Unanswered> {
    let failed = |why: String| Unanswered::Failed(format!("{}: {why}", socket.display()));
    let bytes = exchange(socket, &control::spell(words, json), patience);
    let bytes = bytes.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Unanswered::NotRunning,
        ErrorKind::WouldBlock => failed("it does not answer in time".to_owned()),
        kind => failed(kind.to_string()),
    })?;
    Answer::read(&bytes).map_err(|why| failed(why.to_owned()))
}

fn exchange(socket: &Path, line: &str, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // It may refuse a long line before it has read all of it: the answer counts.
    let written = stream.write_all(line.as_bytes());
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(0) => written.map(|()| bytes),
        Err(error) if bytes.is_empty() => Err(error),
        Ok(_) | Err(_) => Ok(bytes),
    }
}
