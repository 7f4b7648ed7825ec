//! A CRM of changing mood, and the workers that talk to it.

use std::time::{Duration, Instant};

use salara::crm::{Delivery, Outcome, PostId};

use super::random::Random;

/// How it treats posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes all at once.
    Well,
    /// Takes all, in no time or some seconds.
    Slow,
    /// Is not there.
    Down,
    /// Does not answer.
    Silent,
    /// Answers this and that.
    Moody,
    /// Cannot take some posts, and never will.
    Choking,
    /// Wants to be left alone.
    Busy,
    /// Goes out of business.
    Closing,
}

/// A post on its way.
pub(crate) struct Flight {
    pub(crate) id: PostId,
    /// Which post it is.
    pub(crate) index: usize,
    pub(crate) ends: Instant,
    pub(crate) outcome: Outcome,
    /// It finds out whether the CRM is back.
    pub(crate) is_probe: bool,
    /// The queue has given it up meanwhile.
    pub(crate) is_orphan: bool,
}

/// As long as a post may take.
const TIMEOUT: usize = 3_000;

pub(crate) struct Crm {
    random: Random,
    pub(crate) mood: Mood,
    pub(crate) flights: Vec<Flight>,
}

impl Crm {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            mood: Mood::Well,
            flights: Vec::new(),
        }
    }

    pub(crate) fn change(&mut self) {
        let moods = [
            Mood::Well,
            Mood::Well,
            Mood::Well,
            Mood::Slow,
            Mood::Down,
            Mood::Silent,
            Mood::Moody,
            Mood::Choking,
            Mood::Busy,
        ];
        self.mood = match self.random.below(40) {
            0..3 => Mood::Closing,
            _ => self.random.one_of(&moods),
        };
    }

    /// A worker takes a post there.
    pub(crate) fn take(&mut self, delivery: &Delivery, index: usize, is_probe: bool, now: Instant) {
        let (takes, outcome) = self.treat(index);
        self.flights.push(Flight {
            id: delivery.id,
            index,
            ends: now + Duration::from_millis(takes as u64),
            outcome,
            is_probe,
            is_orphan: false,
        });
    }

    /// A post whose end has come, the earliest first.
    pub(crate) fn poll_flight(&mut self, now: Instant) -> Option<Flight> {
        let (at, flight) = self
            .flights
            .iter()
            .enumerate()
            .min_by_key(|(_, flight)| flight.ends)?;
        (flight.ends <= now).then(|| self.flights.remove(at))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.flights.iter().map(|flight| flight.ends).min()
    }

    /// How many milliseconds a post takes, and how it ends.
    fn treat(&mut self, index: usize) -> (usize, Outcome) {
        let soon = self.random.below(5);
        let late = self.random.below(TIMEOUT);
        match self.mood {
            Mood::Well => (soon, answer(200)),
            Mood::Slow => (self.random.one_of(&[soon, late]), answer(202)),
            Mood::Down => (soon, Outcome::Failed("connection refused".into())),
            Mood::Silent => (TIMEOUT, Outcome::Failed("no answer in time".into())),
            Mood::Choking if index.is_multiple_of(7) => (soon, answer(500)),
            Mood::Choking => (soon, answer(204)),
            Mood::Busy => (soon, self.leave_me_alone()),
            Mood::Closing => (soon, answer(410)),
            Mood::Moody => match self.random.below(8) {
                0 | 1 => (late, answer(200)),
                2 => (soon, Outcome::Failed("connection reset".into())),
                3 => (soon, self.leave_me_alone()),
                4 => (soon, answer(self.random.one_of(&[400, 404, 302, 451, 101]))),
                _ => (
                    late,
                    answer(self.random.one_of(&[408, 425, 429, 500, 503, 599])),
                ),
            },
        }
    }

    fn leave_me_alone(&mut self) -> Outcome {
        let seconds = self.random.one_of(&[0, 1, 7, 120, 5_000]);
        Outcome::Answered {
            status: self.random.one_of(&[429, 503]),
            retry_after: Some(Duration::from_secs(seconds)),
            said: "".into(),
        }
    }
}

fn answer(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
        said: "".into(),
    }
}
