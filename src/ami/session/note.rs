//! What the log says of the link.
//!
//! This file owns the words. It must not know when they are said.
//!
//! The surprising fact: Asterisk answers a wrong secret, an unknown user and a forbidden address
//! with the same sentence, so the log names all three.

use std::time::Duration;

use super::Facts;

/// A change of the link, in the words of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// No connection, or no usable one, and why. Said when the reason changes.
    Unreachable(String),
    /// The account was refused. Said at each attempt: someone has to act.
    Rejected {
        /// What Asterisk said.
        message: String,
        /// When it will be tried again.
        retry_in: Duration,
    },
    /// The secret went out as it is. Said once.
    InClear,
    /// The link is up.
    Connected(Facts),
    /// The link was up and is gone, and why.
    Lost(String),
    /// Something on the wire was passed over, and what.
    PassedOver(String),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "not connected: {why}; trying on"),
            Self::Rejected { message, retry_in } => write!(
                f,
                "Asterisk refuses the account: {message:?}; check user and secret, and permit in \
                 manager.conf. Next try in {} s",
                retry_in.as_secs()
            ),
            Self::Connected(facts) => {
                let version = facts
                    .asterisk_version
                    .as_deref()
                    .unwrap_or("of unknown version");
                write!(
                    f,
                    "connected to Asterisk {version}, AMI {}",
                    facts.ami_version
                )?;
                match (facts.chan_sip, facts.pjsip) {
                    (true, true) => write!(f, ", chan_sip and PJSIP"),
                    (true, false) => write!(f, ", chan_sip"),
                    (false, true) => write!(f, ", PJSIP"),
                    (false, false) => write!(f, ", peers cannot be asked for: no write=system?"),
                }
            }
            Self::InClear => write!(
                f,
                "the secret travels in clear: whoever answers refused the MD5 challenge"
            ),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::PassedOver(what) => f.write_str(what),
        }
    }
}
