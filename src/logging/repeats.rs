//! What a peer makes the log say again and again.
//!
//! This file owns the count. It must not know what the lines say: lines are alike when the same
//! place in the source writes them, and decisions about calls are not. Time is an argument.
//!
//! The surprising fact: the first few of a minute are said aloud, for two callers refused at once
//! are two stories; only a crowd is a number.

use std::time::{Duration, Instant};

use log::{Level, Record};

/// So many alike are said in each [`SPAN`]. Some places hold back by themselves and speak at each
/// power of two: they are not to be cut short.
const ALOUD: u32 = 16;
/// What became of a call is wanted of each call, most of all when none goes well. One place tells
/// it of all; this is far more than calls come in.
const CALLS: u32 = 1_000;
pub(super) const SPAN: Duration = Duration::from_secs(60);

/// The places that spoke within the last minute.
#[derive(Debug, Default)]
pub(super) struct Repeats(Vec<Place>);

#[derive(Debug)]
struct Place {
    file: &'static str,
    line: u32,
    until: Instant,
    count: u32,
    /// The first that was not said.
    unsaid: Option<Unsaid>,
}

/// Lines that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsaid {
    pub(super) count: u32,
    pub(super) level: Level,
    pub(super) target: Box<str>,
    /// One of them.
    pub(super) like: String,
}

impl Repeats {
    /// Whether a line is to be said; else it is counted.
    pub(super) fn admits(&mut self, record: &Record<'_>, now: Instant) -> bool {
        let file = record.file_static().unwrap_or_default();
        let line = record.line().unwrap_or_default();
        let known = |place: &&mut Place| place.line == line && place.file == file;
        let Some(place) = self.0.iter_mut().find(known) else {
            self.0.push(Place {
                file,
                line,
                until: now + SPAN,
                count: 1,
                unsaid: None,
            });
            return true;
        };
        place.count = place.count.saturating_add(1);
        let aloud = if record.target() == "call" {
            CALLS
        } else {
            ALOUD
        };
        if place.count <= aloud {
            return true;
        }
        let count = place.count - aloud;
        let unsaid = place.unsaid.get_or_insert_with(|| Unsaid {
            count,
            level: record.level(),
            target: record.target().into(),
            like: record.args().to_string(),
        });
        unsaid.count = count;
        false
    }

    /// What was left out in a minute that is over.
    pub(super) fn poll_unsaid(&mut self, now: Instant) -> Option<Unsaid> {
        while let Some(index) = self.0.iter().position(|place| place.until <= now) {
            if let Some(unsaid) = self.0.swap_remove(index).unsaid {
                return Some(unsaid);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_a_number_and_another_place_is_another_story() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let t0 = Instant::now();
        let mut repeats = Repeats::default();
        let mut admits = |line: u32, now| {
            let mut record = Record::builder();
            let record = record.level(Level::Warn).target("rest").line(Some(line));
            let text = format!("{line} refused");
            repeats.admits(&record.args(format_args!("{text}")).build(), now)
        };
        let said = (0..100).filter(|_| admits(1, t0)).count();
        assert_eq!(said, 16);
        assert!(admits(2, t0));
        assert!(!admits(1, t0 + SPAN / 2));
        assert_eq!(repeats.poll_unsaid(t0 + SPAN / 2), None);
        let unsaid = Unsaid {
            count: 85,
            level: Level::Warn,
            target: "rest".into(),
            like: "1 refused".into(),
        };
        assert_eq!(repeats.poll_unsaid(t0 + SPAN), Some(unsaid));
        assert_eq!(repeats.poll_unsaid(t0 + SPAN), None);
        assert!(repeats.0.is_empty(), "nothing is kept of what is over");
    }
}
