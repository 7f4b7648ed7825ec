//! What the demo prints. Several threads do, each a whole line at a time.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use super::stop;

/// A new part of the show.
pub(crate) fn title(text: &str) {
    print(&format!("\n{}\n", bold(text)));
}

/// A title for a text that is printed as a whole.
pub(crate) fn bold(text: &str) -> String {
    paint(BOLD, text)
}

/// What happens or has happened, and to whom.
pub(crate) fn line(who: &str, what: impl Display) {
    print(&format!(
        "  {}  {what}\n",
        paint(CYAN, &format!("{who:<10}"))
    ));
}

/// A remark of the demo itself.
pub(crate) fn note(text: &str) {
    print(&format!("  {text}\n"));
}

/// What a user types.
pub(crate) fn command(text: &str) {
    print(&format!("  $ {}\n", bold(text)));
}

/// What the user gets.
pub(crate) fn reply(text: &str) {
    print(&format!("    {}\n", paint(GREEN, text)));
}

/// Lines as they are.
pub(crate) fn plain(text: &str) {
    print(text);
}

/// What went wrong.
pub(crate) fn failed(text: &str) {
    print(&format!("\n{} {text}\n", paint(RED, "FAILED:")));
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    if stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .is_err()
    {
        stop::ask();
    }
}

fn paint(colour: &str, text: &str) -> String {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    let wanted = || io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    if *COLOURS.get_or_init(wanted) && !text.trim().is_empty() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";
