//! A file as it may be shown.
//!
//! This file owns what is hidden of it. It must not know who looks.
//!
//! The surprising fact: comments are shown whole, a secret in one included. It counts nowhere, and
//! who commented it out will want to see that.

use super::ini::{self, Says};
use super::printable_url;

/// Keys whose values nobody sees.
const SECRETS: [&str; 3] = ["secret", "rest_token", "signing_secret"];

/// A key in other letters counts nowhere, but its value may well be the one that does elsewhere.
fn is_secret(key: &str) -> bool {
    SECRETS
        .iter()
        .any(|secret| key.eq_ignore_ascii_case(secret))
}

/// The text, with `***` where a secret is.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    let mut entries = ini::lines(text).peekable();
    for (index, line) in text.lines().enumerate() {
        let entry = entries.next_if(|entry| entry.number == index + 1);
        match entry.map(|entry| entry.says) {
            Some(Says::Setting { key, value }) if is_secret(key) && !value.is_empty() => {
                shown.push_str(key);
                shown.push_str("=***");
            }
            Some(Says::Setting { key, value }) if printable_url(value) != value => {
                shown.push_str(key);
                shown.push('=');
                shown.push_str(&printable_url(value));
            }
            _ => shown.push_str(line),
        }
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else_is() {
        let text = "[ami]\r\nsecret = a b ; x\n;secret=old\nsecret=\nrest_token=t\n\n\
                    dest_url=http://u:w@crm/x ; y\ndest_url=http://crm/x ; y\nsigning_secret=a b";
        let shown = "[ami]\nsecret=***\n;secret=old\nsecret=\nrest_token=***\n\n\
                     dest_url=http://***@crm/x\ndest_url=http://crm/x ; y\nsigning_secret=***\n";
        assert_eq!(printable(text), shown);
    }

    #[test]
    fn a_secret_whose_key_is_in_capitals_is_hidden_too() {
        assert_eq!(
            printable("REST_TOKEN=tokB\nSecret = x"),
            "REST_TOKEN=***\nSecret=***\n"
        );
    }
}
