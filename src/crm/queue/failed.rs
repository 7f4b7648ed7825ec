//! Posts that were refused or given up, until someone wants them tried again.
//!
//! This file owns how many of them are kept. It must not know who asks for them.
//!
//! The surprising fact: tried again, a post has its old `webhook-id`. It was never taken, so nobody
//! who passes over ids that came before passes it over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Accepted, Gate, Queue};
use crate::crm::PostId;

/// No more failed posts than this are kept, the latest.
const MAX_FAILED: usize = 256;
/// Nor more bytes of bodies.
const MAX_BYTES: usize = 128 * 1024;

/// Failed posts, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Failures {
    list: VecDeque<(Accepted, String)>,
    bytes: usize,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Posts that wait or are on their way, wherever they are.
    pub waiting: u64,
    /// Those of them that are in memory alone.
    pub in_memory: u64,
    /// For how long the oldest waits.
    pub oldest: Option<Duration>,
    /// Whether the endpoint is tried.
    pub endpoint: &'static str,
    /// When it will be, if it rests.
    pub tried_in: Option<Duration>,
    /// Posts that failed and can be tried again.
    pub failed: usize,
    /// Posts that were dropped since the start.
    pub dropped: u64,
}

impl Queue {
    /// Ends a post that is not to be tried again by itself.
    pub(super) fn fail(&mut self, id: PostId, why: String) {
        if let Some(item) = self.items.get(&id) {
            let failed = Accepted {
                webhook_id: item.webhook_id.clone(),
                call: item.call.clone(),
                body: item.body.clone(),
                since: item.since,
            };
            let Failures { list, bytes } = &mut self.failures;
            *bytes += failed.bytes();
            list.push_back((failed, why));
            while list.len() > MAX_FAILED || *bytes > MAX_BYTES {
                let oldest = list.pop_front();
                *bytes -= oldest.map_or(0, |(oldest, _)| oldest.bytes());
            }
        }
        self.finish(id);
    }

    /// What failed, the oldest first: why, and the body.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        let list = self.failures.list.iter();
        list.map(|(failed, why)| (why.as_str(), &*failed.body))
    }

    /// Takes out what failed, as if it had just come.
    pub(in crate::crm) fn take_failed(&mut self, now: Instant) -> Vec<Accepted> {
        let Failures { list, .. } = std::mem::take(&mut self.failures);
        let renewed = list.into_iter();
        renewed
            .map(|(failed, _)| Accepted {
                since: now,
                ..failed
            })
            .collect()
    }

    /// How things stand, for posts that are in memory.
    pub(in crate::crm) fn standing(&self, now: Instant) -> Standing {
        let (endpoint, until) = match self.gate {
            Gate::Open => ("taking events", None),
            Gate::Resting { until, .. } => ("resting", Some(until)),
            Gate::Probing => ("being tried", None),
            Gate::Gone => ("gone (410), until a reload", None),
        };
        let since = self.items.values().next().map(|item| item.since);
        Standing {
            waiting: self.items.len() as u64,
            in_memory: self.unstored_len() as u64,
            oldest: since.map(|since| now.saturating_duration_since(since)),
            endpoint,
            tried_in: until.map(|until| until.saturating_duration_since(now)),
            failed: self.failures.list.len(),
            dropped: self.dropped,
        }
    }
}
