//! What becomes of an action.
//!
//! This file owns the two outcomes: an answer, or the reason why there is none. It must not know how
//! an answer is found.

use super::super::OwnedMessage;

/// The answer to an action, with the list of events that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Asterisk did it.
    pub success: bool,
    /// The response itself.
    pub head: OwnedMessage,
    /// The events of the list it announced.
    pub items: Vec<OwnedMessage>,
    /// There were more of them than are kept, or Asterisk broke the list off.
    pub is_cut: bool,
}

/// Why an ask has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionError {
    /// There is no link, or it went while the answer was awaited.
    LinkDown,
    /// Asterisk did not answer in time.
    Timeout,
    /// Too many answers are awaited already.
    Busy,
    /// A value may not be sent.
    Refused,
    /// The account may not ask this.
    Denied,
    /// The answer is longer than one may be.
    TooLarge,
}

impl std::fmt::Display for ActionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LinkDown => "Asterisk is not reachable",
            Self::Timeout => "Asterisk did not answer in time",
            Self::Busy => "too many questions to Asterisk are unanswered",
            Self::Refused => "a value may not be sent to Asterisk",
            Self::Denied => "the AMI account may not do this",
            Self::TooLarge => "Asterisk's answer is too long",
        })
    }
}
