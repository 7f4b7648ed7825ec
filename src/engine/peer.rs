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

#[cfg(test)]
mod tests {
    use super::Dialect::{ChanSip, Pjsip};
    use super::*;
    use crate::ami::codec::{Decoder, Item};

    fn facts(chan_sip: bool, pjsip: bool) -> Facts {
        Facts {
            chan_sip,
            pjsip,
            ..Facts::default()
        }
    }

    /// An answer whose items are these events.
    fn answer(success: bool, items: &[&str]) -> Response {
        let mut decoder = Decoder::new();
        decoder.push(b"Asterisk Call Manager/11.0.0\r\nResponse: x\r\n\r\n");
        for item in items {
            decoder.push(format!("{}\r\n\r\n", item.replace('\n', "\r\n")).as_bytes());
        }
        let mut messages = Vec::new();
        while let Ok(Some(item)) = decoder.next() {
            if let Item::Message(message) = item {
                messages.push(message.to_owned());
            }
        }
        Response {
            success,
            head: messages.remove(0),
            items: messages,
            is_cut: false,
        }
    }

    fn contact(status: &str) -> String {
        format!("Event: ContactStatusDetail\nStatus: {status}")
    }

    #[test]
    fn the_dialect_is_asterisk_s_before_it_is_the_client_s() {
        let both: &[Dialect] = &[Pjsip, ChanSip];
        for (tech, chan_sip, pjsip, wanted) in [
            (None, true, false, [ChanSip].as_slice()),
            (None, false, true, &[Pjsip]),
            (None, true, true, both),
            (None, false, false, both),
            (Some("SIP"), true, true, &[ChanSip]),
            (Some("sip"), true, true, &[ChanSip]),
            (Some("PJSIP"), true, true, &[Pjsip]),
            (Some("pjsip"), true, false, &[ChanSip]),
            (Some("SIP"), false, true, &[Pjsip]),
            (Some("SIP"), false, false, both),
            (Some("DAHDI"), true, true, &[]),
            (Some("IAX2"), false, false, &[]),
        ] {
            let chosen = Dialect::choose(tech, &facts(chan_sip, pjsip));
            assert_eq!(chosen, wanted, "{tech:?} {chan_sip} {pjsip}");
        }
    }

    #[test]
    fn an_endpoint_is_as_reachable_as_its_best_contact() {
        for (statuses, wanted) in [
            (vec![], "Unknown"),
            (vec!["Reachable"], "Reachable"),
            (vec!["Avail"], "Reachable"),
            (vec!["NonQualified"], "Unmonitored"),
            (vec!["NonQual"], "Unmonitored"),
            (vec!["Unreachable"], "Unreachable"),
            (vec!["Unavail"], "Unreachable"),
            (vec!["Created"], "Unknown"),
            (vec!["Unknown"], "Unknown"),
            (vec!["Unreachable", "Reachable", "Unknown"], "Reachable"),
            (vec!["Unreachable", "NonQualified"], "Unmonitored"),
            (vec!["Unknown", "Unreachable"], "Unreachable"),
        ] {
            let items: Vec<String> = statuses.iter().map(|status| contact(status)).collect();
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            let status = Pjsip.read(&answer(true, &items));
            assert_eq!(status.as_deref(), Some(wanted), "{statuses:?}");
        }
    }

    #[test]
    fn only_contacts_tell_an_endpoint_s_status() {
        let items = [
            "Event: EndpointDetail\nStatus: Reachable",
            "Event: AorDetail\nStatus: x",
        ];
        let status = Pjsip.read(&answer(true, &items));
        assert_eq!(status.as_deref(), Some("Unknown"));
    }

    #[test]
    fn a_peer_s_status_is_chan_sip_s_own_word() {
        let items = ["Event: PeerStatus\nPeer: SIP/8003\nPeerStatus: Reachable\nTime: 1"];
        let status = ChanSip.read(&answer(true, &items));
        assert_eq!(status.as_deref(), Some("Reachable"));
        assert_eq!(ChanSip.read(&answer(true, &[])), None);
    }

    #[test]
    fn an_error_is_no_peer() {
        for dialect in [ChanSip, Pjsip] {
            assert_eq!(dialect.read(&answer(false, &[&contact("Reachable")])), None);
        }
    }
}
