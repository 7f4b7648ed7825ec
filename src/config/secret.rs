//! What must not be printed: passwords, tokens, signing keys, and the user part of a URL.
//!
//! It must not know what a secret opens. The surprising fact: most secrets leak through `Debug`,
//! so that is where they are hidden, not at each call.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The bytes it signs with: those in base64 behind `whsec_`, else the text's own. `None` when
    /// there are none.
    pub fn signing_key(&self) -> Option<Cow<'_, [u8]>> {
        let key = match self.0.strip_prefix("whsec_") {
            Some(encoded) => Cow::Owned(BASE64.decode(encoded).ok()?),
            None => Cow::Borrowed(self.0.as_bytes()),
        };
        (!key.is_empty()).then_some(key)
    }
}

/// Services hand secrets out with and without the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL as it may be logged: `http://user:word@crm/?key=x` becomes `http://***@crm/?key=***`. Many a
/// CRM has its token there.
pub fn printable_url(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Cow::Borrowed(url);
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if user.is_empty() && query.is_empty() {
        return Cow::Borrowed(url);
    }
    let user = if user.is_empty() { "" } else { "***@" };
    let mut printable = format!("{scheme}://{user}{host}{path}");
    for (number, field) in query
        .split('&')
        .filter(|field| !field.is_empty())
        .enumerate()
    {
        printable.push(if number == 0 { '?' } else { '&' });
        match field.split_once('=') {
            Some((name, "")) => printable.push_str(&format!("{name}=")),
            Some((name, _)) => printable.push_str(&format!("{name}=***")),
            None => printable.push_str("***"),
        }
    }
    Cow::Owned(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_signing_secret_is_base64_behind_whsec_and_else_itself() {
        let key = |text| Secret::new(text).signing_key().map(Cow::into_owned);
        assert_eq!(key("whsec_bmV3"), Some(b"new".to_vec()));
        assert_eq!(key("whsec_b2xkZXI="), Some(b"older".to_vec()));
        assert_eq!(key("whsec_b2xkZXI"), Some(b"older".to_vec()));
        assert_eq!(key("bmV3"), Some(b"bmV3".to_vec()));
        for bad in ["", "whsec_", "whsec_a", "whsec_b2xk!", "whsec_==="] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_user_and_the_values_of_a_url_are_not_printed() {
        for (url, printed) in [
            ("http://crm/phone", "http://crm/phone"),
            ("http://a:b@crm/phone", "http://***@crm/phone"),
            ("https://a:b@c@crm:3000", "https://***@crm:3000"),
            ("http://crm/?from=a@b", "http://crm/?from=***"),
            (
                "https://crm/x?api_key=hush&phone=",
                "https://crm/x?api_key=***&phone=",
            ),
            ("http://a:b@crm?hush", "http://***@crm?***"),
            ("http://crm/in?phone=", "http://crm/in?phone="),
            ("http://crm/in?", "http://crm/in?"),
            ("crm/phone", "crm/phone"),
        ] {
            assert_eq!(printable_url(url), printed);
        }
    }
}
