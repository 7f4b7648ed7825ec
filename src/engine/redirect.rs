//! What a caller's phone or trunk is told to dial.
//!
//! This file owns the argument of `Transfer()` for each technology. It must not know when it is run.
//!
//! The surprising fact: on PJSIP a bare `8003` is the endpoint of that name. The caller would be sent
//! to the address it registered, past the dialplan, and nobody would hear of the call again. So the
//! redirect leads back to the address at which this caller has reached us.

use crate::value::Number;

/// The argument of `Transfer()`; `None` where there has to be an address and none is known.
pub(super) fn argument(tech: &str, to: &Number, address: Option<&str>) -> Option<Box<str>> {
    let to = to.as_str();
    let argument = if is_pjsip(tech) {
        // In the user part of an address `#` would begin something else.
        let user = to.replace('#', "%23");
        if to.contains('@') {
            format!("PJSIP/sip:{user}")
        } else {
            format!("PJSIP/sip:{user}@{}", address?)
        }
    } else if tech.eq_ignore_ascii_case("SIP") {
        format!("SIP/{to}")
    } else {
        to.to_owned()
    };
    Some(argument.into())
}

/// Whether the caller's own request has to be asked for the address.
pub(super) fn is_pjsip(tech: &str) -> bool {
    tech.eq_ignore_ascii_case("PJSIP")
}

/// Host and port of `sip:5000@127.0.0.1:5060;transport=tcp`, with the transport where it is not the
/// usual one. A domain is an address, too.
pub(super) fn address(uri: &str) -> Option<Box<str>> {
    let rest = match uri.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sips") => rest,
        _ => uri,
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let mut parts = rest.split('?').next()?.split(';');
    let host = parts.next()?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    let transport = parts.find(|part| {
        part.strip_prefix("transport=")
            .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()))
    });
    Some(match transport {
        Some(transport) => format!("{host};{transport}").into(),
        None => host.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_led_back_to_where_it_has_reached_us() {
        for (uri, wanted) in [
            ("sip:5000@127.0.0.1:15060", Some("127.0.0.1:15060")),
            ("sip:5000@pbx.example.com", Some("pbx.example.com")),
            (
                "sips:+7%40x@[2001:db8::1]:5061;user=phone;transport=tls?X=y",
                Some("[2001:db8::1]:5061;transport=tls"),
            ),
            ("127.0.0.1", Some("127.0.0.1")),
            ("sip:h;transport=", Some("h")),
            ("", None),
            ("sip:5000@", None),
            ("sip:5000@a b", None),
            ("sip:5000@a\"b", None),
        ] {
            assert_eq!(address(uri).as_deref(), wanted, "{uri}");
        }
    }

    #[test]
    fn each_technology_has_its_own_argument() {
        let here = Some("127.0.0.1:5060");
        for (tech, to, address, wanted) in [
            ("PJSIP", "8003", here, Some("PJSIP/sip:8003@127.0.0.1:5060")),
            (
                "PJSIP",
                "*98#",
                here,
                Some("PJSIP/sip:*98%23@127.0.0.1:5060"),
            ),
            ("PJSIP", "8003", None, None),
            ("PJSIP", "8003@other", None, Some("PJSIP/sip:8003@other")),
            ("SIP", "8003", None, Some("SIP/8003")),
            ("DAHDI", "8003", here, Some("8003")),
        ] {
            let to = Number::new(to).unwrap();
            assert_eq!(argument(tech, &to, address).as_deref(), wanted, "{tech}");
        }
    }
}
