//! Addresses as they are written in salara.conf: listeners, and who may connect to them.
//!
//! It must not look names up, and it opens nothing. The surprising fact: on a listener bound to
//! `[::]` an IPv4 peer appears as `::ffff:10.0.0.1`, and must match the IPv4 rules.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `192.168.1.7`, `fd00::/8` or `::1`. Bits beyond the prefix are ignored,
    /// as packet filters do.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let prefix = match prefix {
            // `u8::from_str` takes a sign, a network has none.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => bits(address),
        };
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// Whether an address belongs to it. The families are apart: `::/0` holds no IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = u32::from(bits(self.address).saturating_sub(self.prefix));
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = u32::from(bits(self.address).saturating_sub(self.prefix));
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    const fn v4(address: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(first: u16, prefix: u8) -> Self {
        Self {
            address: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)),
            prefix,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Who may connect to the REST listener when `rest_allow` does not say: this machine and the
/// private ranges. For a listener bound to one address that address is added, since a program on
/// this machine that connects to it also comes from it.
pub fn default_allow(listener: SocketAddr) -> Vec<Cidr> {
    let mut allowed = loopback();
    allowed.extend(PRIVATE);
    let own = listener.ip().to_canonical();
    if !own.is_unspecified() && !allowed.iter().any(|cidr| cidr.contains(own)) {
        allowed.push(Cidr {
            address: own,
            prefix: bits(own),
        });
    }
    allowed
}

/// This machine: who may connect to the AGI listener when `agi_allow` does not say.
pub fn loopback() -> Vec<Cidr> {
    vec![
        Cidr::v4([127, 0, 0, 0], 8),
        Cidr {
            address: IpAddr::V6(Ipv6Addr::LOCALHOST),
            prefix: 128,
        },
    ]
}

/// Reads a listener's address, taking what is left out from `default`: `5058`, `:5058`,
/// `127.0.0.1`, `[::1]:5058`, `*:5058`, `localhost`. Another name is `None`: looking it up is not
/// for a parser, and a listener that moves with DNS is nobody's wish.
pub(super) fn listener(text: &str, default: SocketAddr) -> Option<SocketAddr> {
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let (host, port) = host_and_port(text)?;
    let ip = match host {
        "" => default.ip(),
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        host if host.eq_ignore_ascii_case("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().ok()?,
    };
    let port = match port {
        "" => default.port(),
        port => port.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

fn host_and_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = if port.is_empty() {
            port
        } else {
            port.strip_prefix(':')?
        };
        return Some((host, port));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, ""));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(("", text));
    }
    Some(text.rsplit_once(':').unwrap_or((text, "")))
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// RFC 1918, RFC 4193 and the link-local ranges. Shared carrier space (100.64.0.0/10) is not
/// private: other customers live there.
const PRIVATE: [Cidr; 6] = [
    Cidr::v4([10, 0, 0, 0], 8),
    Cidr::v4([172, 16, 0, 0], 12),
    Cidr::v4([192, 168, 0, 0], 16),
    Cidr::v4([169, 254, 0, 0], 16),
    Cidr::v6(0xfc00, 7),
    Cidr::v6(0xfe80, 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_only() {
        for (rule, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("192.168.1.6/31", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
        ] {
            let rule = Cidr::parse(rule).unwrap();
            assert!(rule.contains(ip(inside)), "{rule} {inside}");
            assert!(!rule.contains(ip(outside)), "{rule} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "1.2.3.4/+8",
            "pbx",
            "1.2.3.4/8/9",
        ] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_network_is_printed_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.168.1.7", "::1", "fd00::/8"] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn strangers_are_not_allowed_by_default() {
        let allows = |listener: &str, peer: &str| {
            default_allow(listener.parse().unwrap())
                .iter()
                .any(|cidr| cidr.contains(ip(peer)))
        };
        for listener in [
            "0.0.0.0:5058",
            "[::]:5058",
            "127.0.0.1:5058",
            "203.0.113.5:5058",
        ] {
            for peer in [
                "127.0.0.1",
                "::1",
                "10.1.2.3",
                "172.31.0.1",
                "192.168.1.1",
                "fd00::1",
            ] {
                assert!(allows(listener, peer), "{listener} {peer}");
            }
            for peer in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1"] {
                assert!(!allows(listener, peer), "{listener} {peer}");
            }
        }
        assert!(allows("203.0.113.5:5058", "203.0.113.5"));
        assert!(!allows("0.0.0.0:5058", "203.0.113.5"));
    }

    #[test]
    fn a_listener_in_all_its_spellings() {
        let default = "127.0.0.1:5058".parse().unwrap();
        for (text, wanted) in [
            ("127.0.0.1:5059", "127.0.0.1:5059"),
            ("192.168.1.7", "192.168.1.7:5058"),
            ("192.168.1.7:", "192.168.1.7:5058"),
            (":5059", "127.0.0.1:5059"),
            ("5059", "127.0.0.1:5059"),
            ("localhost:5059", "127.0.0.1:5059"),
            ("Localhost", "127.0.0.1:5058"),
            ("*:5059", "0.0.0.0:5059"),
            ("*", "0.0.0.0:5058"),
            ("0.0.0.0:5058", "0.0.0.0:5058"),
            ("[::1]:5059", "[::1]:5059"),
            ("[::1]", "[::1]:5058"),
            ("::1", "[::1]:5058"),
            ("[::]:0", "[::]:0"),
        ] {
            assert_eq!(
                listener(text, default),
                Some(wanted.parse().unwrap()),
                "{text}"
            );
        }
        for text in [
            "pbx.local:5058",
            "127.0.0.1:x",
            "127.0.0.1:65536",
            "[::1",
            "[::1]5058",
            "65536",
            "a b",
        ] {
            assert_eq!(listener(text, default), None, "{text}");
        }
    }
}
