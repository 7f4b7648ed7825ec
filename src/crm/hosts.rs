//! Where the CRM's host is, remembered for a while.
//!
//! This file owns the memory; the asking is the agent's. It must not know posts.
//!
//! The surprising fact: a name server that is slow or away would hold up posts that need nothing of
//! it, for their connection is there already. So an old address is better than none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As long as curl remembers.
const FRESH: Duration = Duration::from_secs(60);

/// Remembers the addresses of one host; there is no other.
#[derive(Debug)]
pub(super) struct Hosts<A>(Arc<Mutex<Option<Known<A>>>>);

#[derive(Clone, Debug)]
struct Known<A> {
    since: Instant,
    addresses: A,
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
    /// What is remembered led nowhere.
    pub(super) fn forget(&self) {
        self.put(None);
    }

    /// What is remembered; else, or if that is long ago, what `ask` says.
    pub(super) fn find<E>(&self, ask: impl FnOnce() -> Result<A, E>) -> Result<A, E> {
        #[expect(clippy::disallowed_methods, reason = "memory fades with time")]
        let now = Instant::now();
        let known = self.known();
        if let Some(known) = &known
            && now.saturating_duration_since(known.since) < FRESH
        {
            return Ok(known.addresses.clone());
        }
        let addresses = match (ask(), known) {
            (Ok(addresses), _) => addresses,
            // Nobody knows better, and its connections may well be open.
            (Err(_), Some(known)) => known.addresses,
            (Err(error), None) => return Err(error),
        };
        self.put(Some(Known {
            since: now,
            addresses: addresses.clone(),
        }));
        Ok(addresses)
    }

    fn known(&self) -> Option<Known<A>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn put(&self, known: Option<Known<A>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Result<u8, &str> = Err("nobody knows");

    #[test]
    fn an_address_is_remembered_until_it_leads_nowhere() {
        let hosts = Hosts::default();
        assert_eq!(hosts.find(|| NOWHERE), NOWHERE);
        assert_eq!(hosts.find(|| Ok::<_, &str>(1)), Ok(1));
        assert_eq!(hosts.find(|| NOWHERE), Ok(1));
        assert_eq!(hosts.find(|| Ok::<_, &str>(2)), Ok(1), "it was asked again");
        hosts.forget();
        assert_eq!(hosts.find(|| NOWHERE), NOWHERE);
    }

    #[test]
    fn an_old_address_is_better_than_none_and_worse_than_a_new_one() {
        let hosts = Hosts::default();
        let grow_old = || {
            let mut known = hosts.known().unwrap();
            known.since -= FRESH;
            hosts.put(Some(known));
        };
        assert_eq!(hosts.find(|| Ok::<_, &str>(1)), Ok(1));
        grow_old();
        assert_eq!(hosts.find(|| NOWHERE), Ok(1));
        grow_old();
        assert_eq!(hosts.find(|| Ok::<_, &str>(2)), Ok(2));
    }
}
