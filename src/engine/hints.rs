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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::codec::{Decoder, Item};

    #[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn key(extension: &str) -> Key {
        Key::new(&Name::new(extension).unwrap(), None, "alnik")
    }

    fn known(state: i32, text: &str) -> Known {
        Known {
            state,
            text: text.into(),
        }
    }

    /// What is read from an answer with these lines.
    fn read(lines: &str) -> Known {
        let mut decoder = Decoder::new();
        let lines = lines.replace('\n', "\r\n");
        decoder.push(format!("Asterisk Call Manager/1.1\r\n{lines}\r\n\r\n").as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(Item::Banner(_)))));
        match decoder.next() {
            Ok(Some(Item::Message(message))) => Known::read(message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_state_without_words_gets_them() {
        for (lines, wanted) in [
            (
                "Response: Success\nStatus: 0\nStatusText: Idle",
                known(0, "Idle"),
            ),
            // Asterisk before 13.
            ("Response: Success\nStatus: 9", known(9, "InUse&Ringing")),
            (
                "Response: Success\nStatus: 4\nStatusText: ",
                known(4, "Unavailable"),
            ),
            ("Response: Success\nStatus: -1", known(-1, "Unknown")),
            ("Response: Success\nStatus: -2", known(-2, "Removed")),
            (
                "Response: Success\nStatus: x\nStatusText: Idle",
                Known::no_hint(),
            ),
            (
                "Response: Error\nMessage: Extension not specified",
                Known::no_hint(),
            ),
        ] {
            assert_eq!(read(lines), wanted, "{lines}");
        }
    }

    #[test]
    fn what_is_remembered_lasts_a_second() {
        let (mut hints, now) = (Hints::default(), start());
        assert_eq!(hints.find(&key("8003"), now), None);
        hints.insert(key("8003"), known(0, "Idle"), now);
        let last = now + FRESH - Duration::from_millis(1);
        assert_eq!(hints.find(&key("8003"), last), Some(&known(0, "Idle")));
        assert_eq!(hints.find(&key("8003"), now + FRESH), None);
        assert_eq!(hints.find(&key("8002"), now), None);
    }

    #[test]
    fn a_change_renews_what_was_asked_for_however_long_ago() {
        let (mut hints, now) = (Hints::default(), start());
        hints.insert(key("8003"), known(0, "Idle"), now);
        let later = now + FRESH * 100;
        for extension in ["8003", "8002"] {
            let status = ExtensionStatus {
                extension: extension.into(),
                context: "alnik".into(),
                status: 1,
            };
            hints.update(&status, later);
        }
        assert_eq!(hints.find(&key("8003"), later), Some(&known(1, "InUse")));
        assert_eq!(hints.find(&key("8002"), later), None);
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let (mut hints, now) = (Hints::default(), start());
        for number in 0..2 * MAX_HINTS {
            hints.insert(key(&number.to_string()), known(0, "Idle"), now);
        }
        assert_eq!(hints.rows.len(), MAX_HINTS);
        assert_eq!(hints.find(&key("2000"), now), None);
        // What is out of date makes room.
        let later = now + FRESH;
        hints.insert(key("2000"), known(1, "InUse"), later);
        assert_eq!(hints.rows.len(), 1);
        assert_eq!(hints.find(&key("2000"), later), Some(&known(1, "InUse")));
    }

    #[test]
    fn nothing_is_remembered_after_a_clearing() {
        let (mut hints, now) = (Hints::default(), start());
        hints.insert(key("8003"), known(0, "Idle"), now);
        hints.clear();
        assert_eq!(hints.find(&key("8003"), now), None);
    }
}
