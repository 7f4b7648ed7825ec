//! The signature of a post, as Standard Webhooks 1.0.0 has it.
//!
//! This file owns what is signed and how that is spelled. It must not know where secrets come from
//! or when a post is made.
//!
//! The surprising fact: there may be two signatures. While a secret is changed both are sent, and
//! the CRM is content with the one it can check.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{Context, HMAC_SHA256, Key};

use crate::config::Secret;

/// Signs posts, if there is anything to sign with.
#[derive(Clone, Default)]
pub struct Signer {
    keys: Vec<Key>,
}

impl Signer {
    /// Signs with each of these.
    pub fn new(secrets: &[Secret]) -> Self {
        let keys = secrets.iter().filter_map(Secret::signing_key);
        Self {
            keys: keys.map(|key| Key::new(HMAC_SHA256, &key)).collect(),
        }
    }

    /// `webhook-signature` of a post; `None` when there is nothing to sign with.
    pub fn sign(&self, id: &str, timestamp: &str, body: &str) -> Option<String> {
        let mut signatures = String::new();
        for key in &self.keys {
            let mut mac = Context::with_key(key);
            for part in [id, ".", timestamp, ".", body] {
                mac.update(part.as_bytes());
            }
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str("v1,");
            STANDARD.encode_string(mac.sign(), &mut signatures);
        }
        (!signatures.is_empty()).then_some(signatures)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the libraries of Standard Webhooks are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn sign(secrets: &[&str]) -> Option<String> {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        Signer::new(&secrets).sign(ID, TIMESTAMP, BODY)
    }

    #[test]
    fn the_known_answer_is_given() {
        assert_eq!(sign(&[SECRET]).unwrap(), SIGNATURE);
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        // The other is RFC 4231's way of an own key: plain text, also one longer than a block.
        let long = "k".repeat(100);
        let both = sign(&[&long, SECRET]).unwrap();
        let alone = sign(&[&long]).unwrap();
        assert_eq!(both, format!("{alone} {SIGNATURE}"));
        assert_ne!(alone, SIGNATURE);
    }

    #[test]
    fn without_a_secret_there_is_no_signature_and_no_secret_is_printed() {
        assert_eq!(sign(&[]), None);
        let signer = Signer::new(&[Secret::new(SECRET)]);
        assert_eq!(format!("{signer:?}"), "Signer(1 keys)");
    }
}
