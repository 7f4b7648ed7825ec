//! Where the CRM's host is, remembered for a while.
//!
//! This file owns the memory; the asking is the system's. It must not know posts.
//!
//! The surprising fact: ureq looks the host up for each post, in a thread made for it, also when the
//! connection is there already. A name server that is slow or away would hold up posts that need
//! nothing of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, http};

/// As long as curl remembers.
const FRESH: Duration = Duration::from_secs(60);

/// Remembers one host; there is no other.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Arc<Mutex<Option<Known>>>);

#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    addresses: ResolvedSocketAddrs,
}

impl Hosts {
    /// What is remembered led nowhere.
    pub(super) fn forget(&self) {
        self.put(None);
    }

    fn known(&self) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn put(&self, known: Option<Known>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Resolver for Hosts {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        #[expect(clippy::disallowed_methods, reason = "memory fades with time")]
        let now = Instant::now();
        let known = self.known();
        if let Some(known) = &known
            && now.saturating_duration_since(known.since) < FRESH
        {
            return Ok(known.addresses.clone());
        }
        let addresses = match (
            DefaultResolver::default().resolve(uri, config, timeout),
            known,
        ) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(hosts: &Hosts, uri: &str) -> Result<ResolvedSocketAddrs, String> {
        let uri: http::Uri = uri.parse().unwrap();
        let config = Config::default();
        hosts
            .resolve(&uri, &config, NextTimeout::default())
            .map_err(|error| error.to_string())
    }

    /// Nobody knows where this is, and nobody needs to be asked.
    const NOWHERE: &str = "nothing://crm/";

    #[test]
    fn an_address_is_remembered_until_it_leads_nowhere() {
        let hosts = Hosts::default();
        assert!(resolve(&hosts, NOWHERE).is_err());
        let there = resolve(&hosts, "http://127.0.0.1:81/").unwrap();
        assert_eq!(there.first().unwrap().to_string(), "127.0.0.1:81");
        assert_eq!(resolve(&hosts, NOWHERE), Ok(there));
        hosts.forget();
        assert!(resolve(&hosts, NOWHERE).is_err());
    }

    #[test]
    fn an_old_address_is_better_than_none_and_worse_than_a_new_one() {
        let hosts = Hosts::default();
        let grow_old = || {
            let mut known = hosts.known().unwrap();
            known.since -= FRESH;
            hosts.put(Some(known));
        };
        let old = resolve(&hosts, "http://127.0.0.1:81/").unwrap();
        grow_old();
        assert_eq!(resolve(&hosts, NOWHERE), Ok(old));
        grow_old();
        let new = resolve(&hosts, "http://127.0.0.1:82/").unwrap();
        assert_eq!(new.first().unwrap().port(), 82);
    }
}
