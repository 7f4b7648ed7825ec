//! Where the CRM's host is, remembered for a while.
//!
//! This file owns the memory; the asking is the agent's. It must not know posts.
//!
//! The surprising fact: a name server that is slow or away would hold up posts that need nothing of
//! it, for their connection is there already. So an old address is better than none, also one that
//! led nowhere the last time, and nobody waits long for a better one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// As long as curl remembers.
const FRESH: Duration = Duration::from_secs(60);
/// Who knows an old address asks with this part of the time there is.
const PART: u32 = 4;

/// Remembers the addresses of one host; there is no other.
#[derive(Debug)]
pub(super) struct Hosts<A>(Arc<Mutex<Option<Known<A>>>>);

#[derive(Clone, Debug)]
struct Known<A> {
    addresses: A,
    /// When it was told; nothing if it is in doubt.
    since: Option<Instant>,
}

impl<A> Clone for Hosts<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> Default for Hosts<A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<A: Clone> Hosts<A> {
    /// What is remembered led nowhere: the next asks anew.
    pub(super) fn doubt(&self) {
        if let Some(known) = &mut *self.known() {
            known.since = None;
        }
    }

    /// What is remembered; else, or if that is long ago or in doubt, what `ask` says, which is told by
    /// what to divide the time it has.
    pub(super) fn find<E>(&self, ask: impl FnOnce(u32) -> Result<A, E>) -> Result<A, E> {
        #[expect(clippy::disallowed_methods, reason = "memory fades with time")]
        let now = Instant::now();
        let known = self.known().clone();
        let is_fresh = |since| now.saturating_duration_since(since) < FRESH;
        let addresses = match known {
            Some(known) if known.since.is_some_and(is_fresh) => return Ok(known.addresses),
            // If nobody knows better: its connections may well be open.
            Some(known) => ask(PART).unwrap_or(known.addresses),
            None => ask(1)?,
        };
        *self.known() = Some(Known {
            addresses: addresses.clone(),
            since: Some(now),
        });
        Ok(addresses)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known<A>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for the address of a host that is there.
    fn found(hosts: &Hosts<u8>, there: u8) -> u8 {
        hosts.find(|_| Ok::<_, ()>(there)).unwrap()
    }

    /// Asks when nobody answers, and how much of the time that took.
    fn unanswered(hosts: &Hosts<u8>) -> (Result<u8, ()>, Option<u32>) {
        let mut part = None;
        let found = hosts.find(|given| {
            part = Some(given);
            Err(())
        });
        (found, part)
    }

    #[test]
    fn an_address_is_remembered() {
        let hosts = Hosts::default();
        assert_eq!(unanswered(&hosts), (Err(()), Some(1)));
        assert_eq!(found(&hosts, 1), 1);
        assert_eq!(unanswered(&hosts), (Ok(1), None));
        assert_eq!(found(&hosts, 2), 1, "it was asked again");
    }

    #[test]
    fn an_old_address_is_better_than_none_and_worse_than_a_new_one() {
        let hosts = Hosts::default();
        let grow_old = || {
            let mut known = hosts.known();
            let since = &mut known.as_mut().unwrap().since;
            *since = since.map(|since| since - FRESH);
        };
        for doubt in [&grow_old as &dyn Fn(), &|| hosts.doubt()] {
            found(&hosts, 1);
            doubt();
            assert_eq!(found(&hosts, 1), 1);
            doubt();
            assert_eq!(unanswered(&hosts), (Ok(1), Some(PART)));
            assert_eq!(unanswered(&hosts), (Ok(1), None), "it is asked each time");
            doubt();
            assert_eq!(found(&hosts, 2), 2);
            doubt();
        }
    }
}
