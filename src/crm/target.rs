//! The CRM's URL, taken apart: where a post goes, and who it says it is.
//!
//! It must not know posts. The surprising fact: a password in a URL is percent-encoded there and is
//! not in the header it travels in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Secret, WebAddress};

/// An address to post to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Without a user.
    pub(super) url: Box<str>,
    /// `Authorization`, if the URL names a user.
    pub(super) authorization: Option<Secret>,
}

impl Target {
    /// Takes `http://user:word@crm/events` apart.
    pub fn new(url: &str) -> Self {
        Self::split(url).unwrap_or_else(|| Self {
            url: url.into(),
            authorization: None,
        })
    }

    fn split(url: &str) -> Option<Self> {
        let user = WebAddress::new(url).ok()?.user?;
        let mut credentials = decode(user.as_bytes());
        if !user.contains(':') {
            credentials.push(b':');
        }
        Some(Self {
            url: url.replacen(&format!("{user}@"), "", 1).into(),
            authorization: Some(Secret::new(format!(
                "Basic {}",
                STANDARD.encode(credentials)
            ))),
        })
    }

    /// Whether TLS is wanted.
    pub fn is_https(&self) -> bool {
        self.url
            .get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

/// Decodes `%41`; a `%` before anything else is kept.
fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let (byte, later) = match (first, rest) {
            (b'%', [high, low, later @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, later),
                _ => (b'%', rest),
            },
            (byte, _) => (*byte, rest),
        };
        decoded.push(byte);
        text = later;
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_travels_in_a_header() {
        for (url, plain, credentials) in [
            ("http://crm/event", "http://crm/event", None),
            ("http://crm/?from=a@b", "http://crm/?from=a@b", None),
            ("http://a:b@crm/event", "http://crm/event", Some("a:b")),
            ("https://a@crm:3000", "https://crm:3000", Some("a:")),
            (
                "http://a:b%40%3a%zz%@crm?x",
                "http://crm?x",
                Some("a:b@:%zz%"),
            ),
            ("http://a:b@c@[::1]:80/", "http://[::1]:80/", Some("a:b@c")),
        ] {
            let target = Target::new(url);
            assert_eq!(&*target.url, plain);
            let header = credentials.map(|text| format!("Basic {}", STANDARD.encode(text)));
            assert_eq!(
                target.authorization.as_ref().map(Secret::expose),
                header.as_deref(),
                "{url}"
            );
        }
        assert!(!format!("{:?}", Target::new("http://a:b@crm")).contains("YTpi"));
        assert!(Target::new("HTTPS://crm").is_https() && !Target::new("http://crm").is_https());
    }
}
