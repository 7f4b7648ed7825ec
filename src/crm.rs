//! The CRM's side: what waits for it, and who carries it there.
//!
//! This file owns what the two have in common. It must not know what an event says.
//!
//! The surprising fact: an HTTP client that blocks is the right one here. Order, bounds and retries
//! are all in [`queue`], which is pure; [`worker`] is a thread that does one post at a time, and
//! [`lookup`] has as many threads as callers wait.

use std::fmt;
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
pub mod agent;
pub mod backlog;
pub mod client;
mod hosts;
pub mod lookup;
#[cfg(not(feature = "tls"))]
pub mod plain;
pub mod queue;
pub mod sign;
pub mod spool;
pub mod target;
#[cfg(feature = "tls")]
mod trust;
pub mod worker;

#[cfg(not(feature = "tls"))]
pub use plain as agent;

/// The JSON of an event.
pub const JSON: &str = "application/json";
/// So much of an answer is worth a line of the log, in letters.
const MAX_TOLD: usize = 200;

/// Names a post for as long as it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostId(pub u64);

/// A post to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// To be given back with the outcome.
    pub id: PostId,
    /// `webhook-id`: the same at every attempt.
    pub webhook_id: Box<str>,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// What it says.
    pub body: Box<str>,
}

/// A caller the CRM is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<Id> {
    /// To be given back with the answer.
    pub call: Id,
    /// Who calls.
    pub caller: Box<str>,
    /// When nobody waits for the answer any more.
    pub until: Instant,
}

/// What the CRM said of a caller, or why it did not.
pub type Found = Result<Said, String>;

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The CRM answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// For how long it wants to be left alone.
        retry_after: Option<Duration>,
        /// The beginning of what it said.
        said: Box<str>,
    },
    /// It did not: no connection, no answer in time, or nothing HTTP.
    Failed(Box<str>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, said, .. } if said.is_empty() => write!(f, "{status}"),
            Self::Answered { status, said, .. } => {
                let end = said
                    .char_indices()
                    .nth(MAX_TOLD)
                    .map_or(said.len(), |(at, _)| at);
                write!(f, "{status} {:?}", said.get(..end).unwrap_or_default())
            }
            Self::Failed(why) => f.write_str(why),
        }
    }
}
