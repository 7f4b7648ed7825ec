//! States of hints, kept for the moment.
//!
//! This file owns what is remembered of hints and for how long it may be told. It must not know who
//! asks.
//!
//! The surprising fact: nothing here is believed for longer than [`FRESH`]. Asterisk tells every
//! change of a hint as it happens, and each is taken over at once; should an event be lost (a
//! reload, a filter, an account that may not read `call`), the answer is wrong for no longer than
//! that. A CRM that polls costs Asterisk one question a second for each extension, however often it
//! asks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::ami::Message;
use crate::ami::event::{ExtensionStatus, number};
use crate::ami::state::{self, NO_HINT};
use crate::api::Reply;
use crate::value::Name;

/// How old an answer of Asterisk may be when it is told again.
const FRESH: Duration = Duration::from_secs(1);
/// More hints than this are not remembered, only asked for.
const MAX_HINTS: usize = 1_024;

/// An extension in its context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    extension: Box<str>,
    context: Box<str>,
}

/// What Asterisk said of a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) state: i32,
    pub(super) text: Box<str>,
}

/// The hints lately asked for.
#[derive(Debug, Default)]
pub(super) struct Hints {
    rows: HashMap<Key, (Known, Instant)>,
}

impl Key {
    pub(super) fn new(extension: &Name, context: Option<&Name>, default: &str) -> Self {
        Self {
            extension: extension.as_str().into(),
            context: context.map_or(default, Name::as_str).into(),
        }
    }
}

impl Known {
    /// Reads an answer to `ExtensionState`. An error means that there is no such extension.
    pub(super) fn read(head: Message<'_>) -> Self {
        let Some(state) = number(head, "Status") else {
            return Self::no_hint();
        };
        // Asterisk says of no hint what it says of an unknown one.
        let text = match &*head.text("StatusText") {
            "" => state::hint_text(state).into(),
            text => text.into(),
        };
        Self { state, text }
    }

    pub(super) fn no_hint() -> Self {
        Self {
            state: NO_HINT,
            text: state::hint_text(NO_HINT).into(),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::state(self.state, self.text.to_string())
    }
}

impl Hints {
    /// What was said of a hint within the last [`FRESH`].
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<&Known> {
        let (known, said_at) = self.rows.get(key)?;
        (now < *said_at + FRESH).then_some(known)
    }

    /// Asterisk has answered a question.
    pub(super) fn insert(&mut self, key: Key, known: Known, now: Instant) {
        if self.rows.len() >= MAX_HINTS {
            self.rows.retain(|_, (_, said_at)| now < *said_at + FRESH);
        }
        if self.rows.len() < MAX_HINTS {
            self.rows.insert(key, (known, now));
        }
    }

    /// Asterisk has told a change. Only what someone asks for is remembered.
    pub(super) fn update(&mut self, status: &ExtensionStatus, now: Instant) {
        let key = Key {
            extension: status.extension.clone(),
            context: status.context.clone(),
        };
        if let Some(row) = self.rows.get_mut(&key) {
            let text = state::hint_text(status.status).into();
            *row = (
                Known {
                    state: status.status,
                    text,
                },
                now,
            );
        }
    }

    /// Nothing said so far counts any more.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }
}
