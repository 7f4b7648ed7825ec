//! How often something happened: worlds that are too kind show nothing.

/// What may happen to posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Accepted,
    /// Taken in of a tracked channel alone.
    Tracked,
    Delivered,
    Refused,
    GivenUp,
    Replayed,
    Dropped,
    Lost,
    Retried,
    SideBySide,
    LeftAlone,
    Gone,
    Restored,
    Overflown,
    Restarted,
}

const ALL: [What; 15] = [
    What::Accepted,
    What::Tracked,
    What::Delivered,
    What::Refused,
    What::GivenUp,
    What::Replayed,
    What::Dropped,
    What::Lost,
    What::Retried,
    What::SideBySide,
    What::LeftAlone,
    What::Gone,
    What::Restored,
    What::Overflown,
    What::Restarted,
];

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen([u64; ALL.len()]);

impl Seen {
    pub(crate) fn note(&mut self, what: What, count: u64) {
        self.0[what as usize] += count;
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        for (what, count) in ALL.into_iter().zip(other.0) {
            self.note(what, count);
        }
        self
    }

    /// What happened less often than that.
    pub(crate) fn rare(&self, least: u64) -> Vec<(What, u64)> {
        let all = ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count < least).collect()
    }
}
