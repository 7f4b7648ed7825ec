//! What is wrong with a configuration, in words.
//!
//! It must not know any key. The surprising fact: a file of the old module never fails, so what is
//! wrong in it can only be a warning.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// salara runs; a human should look.
    Warning,
    /// salara does not start with this file.
    Error,
}

/// Something wrong in the file. Its `Display` lacks the file's name: `12: hangup: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from one.
    pub line: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What was met and what was wanted.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// What is to be said about one value; the key's name is put before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) severity: Severity,
    pub(super) text: String,
}

impl Remark {
    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            text: text.into(),
        }
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            text: text.into(),
        }
    }
}

/// What was found, in quotes, cut where it gets too long for a log line.
pub(super) fn quote(found: &str) -> String {
    match found.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{:?}...", found.get(..end).unwrap_or_default()),
        None => format!("{found:?}"),
    }
}

const MAX_QUOTE: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_line_and_text() {
        let text = "hangup: \"3\" is not 0, 1 or 2".to_owned();
        let problem = Problem {
            line: 12,
            severity: Severity::Warning,
            text,
        };
        assert_eq!(problem.to_string(), "12: hangup: \"3\" is not 0, 1 or 2");
    }

    #[test]
    fn a_quote_is_short_and_printable() {
        assert_eq!(quote("a\tb"), r#""a\tb""#);
        assert_eq!(quote(&"ж".repeat(61)), format!("\"{}\"...", "ж".repeat(60)));
    }
}
