//! Changes of salara.conf that leave the rest of it alone.
//!
//! This file owns which bytes change. It must not know files, nor why something is changed.
//!
//! The surprising fact: it edits bytes, not a [`Config`](super::Config). Comments, order, unknown
//! keys, line ends and letters that are no UTF-8 stay what they were, because nobody reads them.

use super::Verbosity;
use super::ini::{self, Says};
use crate::value::Number;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `verbose=` is to be this.
    Verbose(Verbosity),
    /// A caller's route is to be added.
    AddRoute {
        /// Whose calls.
        caller: Number,
        /// Where to.
        called: Number,
    },
    /// A caller's route is to go, with those it hides.
    DelRoute {
        /// Whose calls.
        caller: Number,
    },
}

/// What [`ini`] says of one line, and where that is.
type Entry<'a> = (usize, &'a str, Says<'a>);

impl Edit {
    /// The file with the change made; an error says why it cannot be.
    pub fn apply(&self, file: &[u8]) -> Result<Vec<u8>, String> {
        let text = String::from_utf8_lossy(file);
        let entries: Vec<Entry<'_>> = ini::lines(&text)
            .map(|line| (line.number, line.section, line.says))
            .collect();
        let mut lines: Vec<Vec<u8>> = file
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        match self {
            Self::Verbose(verbose) => {
                let value = verbose.number().to_string();
                let mut last = entries.iter().rev();
                match last.find_map(|(number, _, says)| Some((*number, verbose_value(*says)?))) {
                    Some((number, old)) => replace(&mut lines, number, old, &value)?,
                    None => {
                        let entry = format!("verbose={value}");
                        insert(&mut lines, &entries, "event", &entry);
                    }
                }
            }
            Self::AddRoute { caller, called } => {
                let (caller, called) = (caller.as_str(), called.as_str());
                let mut routes = entries.iter();
                let old =
                    routes.find_map(|(number, _, says)| Some((*number, route_of(*says, caller)?)));
                if let Some((number, old)) = old {
                    return Err(format!(
                        "line {number} has a route of {caller} to {old}, which is not in force: \
                         reload first"
                    ));
                }
                insert(&mut lines, &entries, "route", &format!("{caller}:{called}"));
            }
            Self::DelRoute { caller } => {
                let mut gone = 0;
                for (number, _, says) in &entries {
                    if route_of(*says, caller.as_str()).is_some()
                        && let Some(line) = lines.get_mut(number.saturating_sub(1))
                    {
                        line.clear();
                        gone += 1;
                    }
                }
                if gone == 0 {
                    return Err(format!("no line has a route of {}", caller.as_str()));
                }
            }
        }
        Ok(lines.concat())
    }
}

fn verbose_value<'a>(says: Says<'a>) -> Option<&'a str> {
    match says {
        Says::Setting {
            key: "verbose",
            value,
        } => Some(value),
        _ => None,
    }
}

fn route_of<'a>(says: Says<'a>, whose: &str) -> Option<&'a str> {
    match says {
        Says::Route { caller, called } if caller == whose => Some(called),
        _ => None,
    }
}

/// Puts another value behind the `=` of a line.
fn replace(lines: &mut [Vec<u8>], number: usize, old: &str, new: &str) -> Result<(), String> {
    let line = lines.get_mut(number.saturating_sub(1));
    let at = line.as_ref().and_then(|line| {
        let behind = line.iter().position(|byte| *byte == b'=')? + 1;
        if old.is_empty() {
            return Some(behind);
        }
        let mut rest = line.get(behind..)?.windows(old.len());
        Some(behind + rest.position(|bytes| bytes == old.as_bytes())?)
    });
    let (Some(line), Some(at)) = (line, at) else {
        return Err(format!("line {number} is not UTF-8 text"));
    };
    line.splice(at..at + old.len(), new.bytes());
    Ok(())
}

/// Adds a line to a section: behind its last entry, or where it ends; and the section, if there is
/// none.
fn insert(lines: &mut Vec<Vec<u8>>, entries: &[Entry<'_>], section: &str, entry: &str) {
    let is_header =
        |says: Says<'_>| matches!(says, Says::Section | Says::OpenSection | Says::SecondRoute);
    let is_here = |name: &str| name.eq_ignore_ascii_case(section);
    let header = entries
        .iter()
        .position(|(_, name, says)| is_header(*says) && is_here(name));
    let mut added = entry.to_owned();
    let at = match header {
        None => {
            added = format!("[{section}]\n{entry}");
            lines.len()
        }
        Some(header) => {
            let mut at = entries.get(header).map_or(0, |(number, ..)| *number);
            let below = entries.get(header + 1..).unwrap_or_default();
            let next = below.iter().find(|(_, _, says)| is_header(*says));
            let end = next.map_or(lines.len(), |(number, ..)| number.saturating_sub(1));
            let last = below.iter().take_while(|(number, ..)| *number <= end);
            let is_entry = |says: Says<'_>| match section {
                "route" => matches!(says, Says::Route { .. }),
                _ => matches!(says, Says::Setting { .. }),
            };
            match last.filter(|(_, _, says)| is_entry(*says)).last() {
                Some((number, ..)) => at = *number,
                // What is above the next section belongs to it, or parts the two.
                None => {
                    let own = |line: &&Vec<u8>| {
                        !line.starts_with(b";--") && !line.trim_ascii().is_empty()
                    };
                    at += lines
                        .get(at..end)
                        .unwrap_or_default()
                        .iter()
                        .take_while(own)
                        .count();
                }
            }
            at
        }
    };
    let end: &[u8] = match lines.first() {
        Some(first) if first.ends_with(b"\r\n") => b"\r\n",
        _ => b"\n",
    };
    if let Some(before) = at.checked_sub(1).and_then(|before| lines.get_mut(before))
        && !before.ends_with(b"\n")
    {
        before.extend_from_slice(end);
    }
    let line = added
        .lines()
        .flat_map(|line| [line.as_bytes(), end].concat())
        .collect();
    lines.insert(at.min(lines.len()), line);
}

#[cfg(test)]
mod tests;
