//! Who may use the REST side, and who may hand calls over.
//!
//! This file owns the judgement of an address, a token and a rate. It must not know what is asked.
//!
//! The surprising fact: comparing a token byte by byte tells a patient client how much of it was
//! right. So all bytes are compared, whatever the first ones were.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::api::{Reply, Request};
use crate::config::{CallRate, Cidr, Secret, Security, default_allow, loopback};

/// The doorkeeper.
#[derive(Debug)]
pub struct Access {
    allowed: Vec<Cidr>,
    token: Option<Secret>,
    calls: Option<Bucket>,
}

/// Who may hand calls over.
#[derive(Debug)]
pub struct Callers(Vec<Cidr>);

impl Callers {
    /// The rule of the settings.
    pub fn new(security: &Security) -> Self {
        Self(security.agi_allow.clone().unwrap_or_else(loopback))
    }

    /// Judges who connects. The status is for the log only.
    pub fn judge(&self, peer: IpAddr) -> Result<(), Reply> {
        let peer = peer.to_canonical();
        if self.0.iter().any(|range| range.contains(peer)) {
            return Ok(());
        }
        Err(Reply::error(403, format!("{peer} is not in agi_allow")))
    }
}

/// Lets `per_minute` calls pass in any minute, at once if it must be.
#[derive(Debug)]
struct Bucket {
    rate: CallRate,
    /// When the bucket would be full again. One call fills it for a minute's share.
    full_at: Option<Instant>,
}

impl Access {
    /// The rules for a listener.
    pub fn new(security: &Security, listener: SocketAddr) -> Self {
        Self {
            allowed: security
                .rest_allow
                .clone()
                .unwrap_or_else(|| default_allow(listener)),
            token: security.rest_token.clone(),
            calls: security.call_rate.map(|rate| Bucket {
                rate,
                full_at: None,
            }),
        }
    }

    /// Judges who asks, before what is asked is read.
    pub fn client(&self, peer: IpAddr, token: Option<&str>) -> Result<(), Reply> {
        let peer = peer.to_canonical();
        if !self.allowed.iter().any(|range| range.contains(peer)) {
            return Err(Reply::error(403, format!("{peer} is not in rest_allow")));
        }
        let Some(wanted) = &self.token else {
            return Ok(());
        };
        match token {
            Some(token) if same(token.as_bytes(), wanted.expose().as_bytes()) => Ok(()),
            Some(_) => Err(Reply::error(401, "the token is not the one of rest_token")),
            None => Err(Reply::error(
                401,
                "wanted: Authorization: Bearer, and the rest_token",
            )),
        }
    }

    /// Judges what is asked.
    pub fn request(&mut self, request: &Request, now: Instant) -> Result<(), Reply> {
        match (request, &mut self.calls) {
            (Request::Call { .. }, Some(bucket)) => bucket.take(now),
            _ => Ok(()),
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Result<(), Reply> {
        let minute = Duration::from_secs(60);
        let share = minute / self.rate.per_minute.get();
        let full_at = self.full_at.unwrap_or(now).max(now) + share;
        if full_at > now + minute {
            let why = format!("more calls than call_rate={} allows", self.rate);
            return Err(Reply::error(429, why));
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

/// Compares without telling where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let different = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(different) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn access(security: &str, listener: &str) -> Access {
        let parsed = Config::parse(&format!("[security]\n{security}\n"));
        assert!(!parsed.has_errors(), "{:?}", parsed.problems);
        Access::new(&parsed.config.security, listener.parse().unwrap())
    }

    #[track_caller]
    fn refused(result: Result<(), Reply>, status: u16, why: &str) {
        let reply = result.unwrap_err();
        assert_eq!((reply.status, reply.error.as_deref()), (status, Some(why)));
    }

    #[test]
    fn strangers_stay_out() {
        let door = access("", "0.0.0.0:5058");
        for known in [
            "127.0.0.1",
            "192.168.1.20",
            "10.9.8.7",
            "::1",
            "::ffff:192.168.1.20",
        ] {
            assert_eq!(door.client(known.parse().unwrap(), None), Ok(()), "{known}");
        }
        refused(
            door.client("203.0.113.9".parse().unwrap(), None),
            403,
            "203.0.113.9 is not in rest_allow",
        );
        let door = access("rest_allow=203.0.113.0/24", "0.0.0.0:5058");
        assert_eq!(door.client("203.0.113.9".parse().unwrap(), None), Ok(()));
        refused(
            door.client("127.0.0.1".parse().unwrap(), None),
            403,
            "127.0.0.1 is not in rest_allow",
        );
    }

    #[test]
    fn a_token_is_wanted_where_one_is_set() {
        let door = access("rest_token=correct-horse-battery-staple", "127.0.0.1:5058");
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(
            door.client(here, Some("correct-horse-battery-staple")),
            Ok(())
        );
        for wrong in [
            "",
            "correct",
            "correct-horse-battery-staplf",
            "correct-horse-battery-staple ",
        ] {
            refused(
                door.client(here, Some(wrong)),
                401,
                "the token is not the one of rest_token",
            );
        }
        refused(
            door.client(here, None),
            401,
            "wanted: Authorization: Bearer, and the rest_token",
        );
    }

    #[test]
    fn no_more_calls_pass_than_call_rate_allows() {
        let mut door = access("call_rate=3/min", "127.0.0.1:5058");
        let keys = Config::default().keys;
        let call = crate::api::parse("/", br#"{"operator":"1","phone":"2"}"#, &keys).unwrap();
        let status = crate::api::parse("/", br#"{"exten":"1"}"#, &keys).unwrap();
        let now = start();
        for _ in 0..3 {
            assert_eq!(door.request(&call, now), Ok(()));
        }
        refused(
            door.request(&call, now),
            429,
            "more calls than call_rate=3/min allows",
        );
        assert_eq!(door.request(&status, now), Ok(()));
        assert_eq!(door.request(&call, now + Duration::from_secs(20)), Ok(()));
        refused(
            door.request(&call, now + Duration::from_secs(20)),
            429,
            "more calls than call_rate=3/min allows",
        );
    }
}
