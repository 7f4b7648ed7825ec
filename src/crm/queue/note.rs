//! What the log says of the way to the CRM.
//!
//! This file owns the words. It must not know when they are said.
//!
//! The surprising fact: a CRM that is down is one line, and its return another, however many posts
//! wait. What is lost for good is a line each, or a count that grows.

use std::fmt;

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The endpoint does not answer. Said once until it does.
    Resting {
        /// What happened.
        why: String,
    },
    /// It answers again.
    Back {
        /// How many posts wait.
        waiting: usize,
    },
    /// A post was refused, and is not tried again.
    Refused {
        /// What the CRM said.
        said: String,
        /// The id of its call.
        call: Box<str>,
        /// The post.
        body: Box<str>,
    },
    /// A post was tried for as long as it may be.
    GivenUp {
        /// The id of its call.
        call: Box<str>,
        /// The post.
        body: Box<str>,
    },
    /// Too much was waiting, and the oldest had to go. Said at each power of two.
    Dropped {
        /// How many so far.
        count: u64,
    },
    /// The CRM answered 410: nothing more is sent there until salara is told to.
    Gone {
        /// How many posts were dropped with that.
        lost: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resting { why } => write!(f, "the CRM does not take events: {why}; trying on"),
            Self::Back { waiting } => write!(f, "the CRM takes events again; {waiting} wait"),
            Self::Refused { said, call, body } => write!(
                f,
                "[{call}]: the CRM refused an event for good: {said}: {body}"
            ),
            Self::GivenUp { call, body } => write!(
                f,
                "[{call}]: an event was tried for as long as retry_for allows: {body}"
            ),
            Self::Dropped { count } => {
                write!(
                    f,
                    "too many events wait for the CRM: {count} dropped so far, oldest first"
                )
            }
            Self::Gone { lost } => {
                let when = "until a reload";
                write!(
                    f,
                    "the CRM answered 410 to an event: none is sent any more {when}"
                )?;
                match lost {
                    0 => Ok(()),
                    lost => write!(f, "; {lost} that waited are dropped"),
                }
            }
        }
    }
}
