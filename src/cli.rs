//! `salara <verb>`: one question to the salara that runs.
//!
//! This file owns what is printed of the answer and the exit code. It must not know what a verb
//! does.
//!
//! The surprising fact: what failed is printed to stderr and what was done to stdout, so a script
//! that takes the output never takes an error for it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use salara::client::{self, Unanswered};
use salara::control::{DONE, FAILED, NOT_RUNNING, NOT_UNDERSTOOD, SOCKETS, USAGE, Verb};

/// Four posts to a CRM that does not answer take twenty seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks, and prints the answer.
pub(crate) fn ask(socket: Option<PathBuf>, words: &[String], json: bool) -> ExitCode {
    if words == ["completion", "bash"] {
        let script = include_str!("completion.bash");
        return crate::print(&format!(
            "{script}_salara_verbs='{USAGE}setup\ncompletion bash'\n"
        ));
    }
    if let Err(why) = Verb::parse(words) {
        crate::complain(&format!("{why}\nTry: salara --help"));
        return ExitCode::from(NOT_UNDERSTOOD);
    }
    let places: Vec<PathBuf> = match socket {
        Some(socket) => vec![socket],
        None => SOCKETS.iter().map(PathBuf::from).collect(),
    };
    let asked = places
        .iter()
        .map(|place| client::ask(place, words, json, PATIENCE));
    let mut answers = asked.filter(|answer| *answer != Err(Unanswered::NotRunning));
    match answers.next() {
        Some(Ok(answer)) if answer.status == DONE => crate::print(&answer.text),
        Some(Ok(answer)) => {
            crate::complain(answer.text.trim_end_matches('\n'));
            ExitCode::from(answer.status)
        }
        Some(Err(Unanswered::Failed(why))) => {
            crate::complain(&format!("salara: {why}"));
            ExitCode::from(FAILED)
        }
        Some(Err(Unanswered::NotRunning)) | None => {
            let places: Vec<_> = places
                .iter()
                .map(|place| Path::display(place).to_string())
                .collect();
            crate::complain(&format!(
                "salara: not running: nobody listens at {}",
                places.join(" or ")
            ));
            ExitCode::from(NOT_RUNNING)
        }
    }
}
