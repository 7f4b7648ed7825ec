//! What Asterisk says of a peer, in both dialects.
//!
//! This file owns the choice of the dialect and the reading of its answers. It must not know REST.
//!
//! The surprising fact: chan_sip and its `SIPpeerstatus` are gone since Asterisk 21, and PJSIP has
//! no status of an endpoint, only of each of its contacts.

use crate::ami::action::Action;
use crate::ami::session::{Facts, Response};
use crate::value::Name;

/// How to ask about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    ChanSip,
    Pjsip,
}

impl Dialect {
    /// The dialects to try in turn for a technology that was named, or for none.
    pub(super) fn choose(tech: Option<&str>, facts: &Facts) -> &'static [Self] {
        use Dialect::{ChanSip, Pjsip};
        let named = |name: &str| tech.is_some_and(|tech| tech.eq_ignore_ascii_case(name));
        if tech.is_some() && !named("SIP") && !named("PJSIP") {
            return &[];
        }
        match (facts.chan_sip, facts.pjsip) {
            // Scripts go on asking for `SIP/8003` after a PBX has moved to PJSIP.
            (true, false) => &[ChanSip],
            (false, true) => &[Pjsip],
            (true, true) if named("SIP") => &[ChanSip],
            (true, true) if named("PJSIP") => &[Pjsip],
            // With neither the account may not ask, and Asterisk's refusal tells the client so.
            (true, true) | (false, false) => &[Pjsip, ChanSip],
        }
    }

    pub(super) fn action(self, peer: Name) -> Action {
        match self {
            Self::ChanSip => Action::SipPeerStatus { peer },
            Self::Pjsip => Action::PjsipShowEndpoint { endpoint: peer },
        }
    }

    /// The status an answer tells; `None` when there is no such peer.
    pub(super) fn read(self, response: &Response) -> Option<String> {
        if !response.success {
            return None;
        }
        let mut items = response.items.iter().map(|item| item.message());
        match self {
            Self::ChanSip => items
                .find_map(|item| item.get("PeerStatus"))
                .map(|status| String::from_utf8_lossy(status).into_owned()),
            Self::Pjsip => {
                let contacts = items.filter(|item| {
                    item.event()
                        .is_some_and(|event| event == b"ContactStatusDetail")
                });
                let best = contacts.map(|item| rank(&item.text("Status"))).max();
                Some(best.unwrap_or(Contact::Unknown).text().into())
            }
        }
    }
}

/// A contact's status in chan_sip's words, the best last: an endpoint is as reachable as the most
/// reachable of its contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Contact {
    /// None is registered, or its first check is not over.
    Unknown,
    Unreachable,
    /// Registered, and not checked (`qualify_frequency=0`).
    Unmonitored,
    Reachable,
}

impl Contact {
    fn text(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Unreachable => "Unreachable",
            Self::Unmonitored => "Unmonitored",
            Self::Reachable => "Reachable",
        }
    }
}

/// Reads `contact_status` of `res_pjsip/pjsip_options.c`.
fn rank(status: &str) -> Contact {
    match status {
        "Reachable" | "Avail" => Contact::Reachable,
        "NonQualified" | "NonQual" => Contact::Unmonitored,
        "Unreachable" | "Unavail" => Contact::Unreachable,
        _ => Contact::Unknown,
    }
}
