//! What salara asks of Asterisk.
//!
//! This file owns how an action is spelled on the wire and refuses what must not get there. It must
//! not know who asks, or why.
//!
//! The surprising fact: a line over 1024 bytes makes Asterisk drop the whole action, and a line
//! feed in a value adds a header to it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::value::{Body, Name, Number, Sender};

/// Asterisk reads 1024 bytes of a line, its end included (`get_input` in `manager.c`).
const MAX_LINE: usize = 1022;

/// An action, with all it needs but its ActionID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Asks for the number an MD5 login hashes.
    Challenge,
    /// Logs in.
    Login {
        /// The account.
        user: Box<str>,
        /// How it proves itself.
        proof: Proof,
        /// The classes of events wanted, such as `system,call`.
        events: Box<str>,
    },
    /// Asks for a sign of life.
    Ping,
    /// Asks which actions there are.
    ListCommands,
    /// Asks to be told of these events only.
    Filter {
        /// A pattern for the text of an event.
        pattern: Box<str>,
    },
    /// Asks for Asterisk's version.
    CoreSettings,
    /// Asks for the state of an extension's hint.
    ExtensionState {
        /// The extension.
        extension: Name,
        /// Its context.
        context: Name,
    },
    /// Calls a device and, when it answers, sends it to an extension of the dialplan.
    Originate(Originate),
    /// Sends a text to a device.
    MessageSend {
        /// Where to, with its technology's prefix: `sip:8003`, `pjsip:8003`.
        to: Box<str>,
        /// Who it is from.
        from: Sender,
        /// The text.
        body: Body,
    },
    /// Asks for a chan_sip peer.
    SipPeerStatus {
        /// The peer's name.
        peer: Name,
    },
    /// Asks for a PJSIP endpoint.
    PjsipShowEndpoint {
        /// The endpoint's name.
        endpoint: Name,
    },
    /// Asks for all channels.
    CoreShowChannels,
    /// Asks for a channel.
    Status {
        /// The channel's full name.
        channel: Name,
    },
    /// Does what is typed in Asterisk's console.
    Command {
        /// What is typed.
        command: Box<str>,
    },
}

/// How a login proves itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The secret itself.
    Plain(Box<str>),
    /// The hex MD5 of challenge and secret.
    Md5(Box<str>),
}

/// A call to set up; always asynchronous, or the session would wait until someone answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Originate {
    /// The device that rings first, such as `PJSIP/8003`.
    pub channel: Box<str>,
    /// The id the channel gets (Asterisk 12 and later; older ones ignore it).
    pub channel_id: Box<str>,
    /// The dialplan context it is sent to.
    pub context: Name,
    /// The extension it is sent to.
    pub extension: Number,
    /// The caller id both parties see.
    pub caller_id: Number,
    /// How long the device rings; zero leaves it to Asterisk.
    pub timeout: Duration,
}

/// Why an action was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadHeader {
    key: &'static str,
    why: &'static str,
}

impl Action {
    /// The action's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Challenge => "Challenge",
            Self::Login { .. } => "Login",
            Self::Ping => "Ping",
            Self::ListCommands => "ListCommands",
            Self::Filter { .. } => "Filter",
            Self::CoreSettings => "CoreSettings",
            Self::CoreShowChannels => "CoreShowChannels",
            Self::ExtensionState { .. } => "ExtensionState",
            Self::Originate(_) => "Originate",
            Self::MessageSend { .. } => "MessageSend",
            Self::SipPeerStatus { .. } => "SIPpeerstatus",
            Self::PjsipShowEndpoint { .. } => "PJSIPShowEndpoint",
            Self::Status { .. } => "Status",
            Self::Command { .. } => "Command",
        }
    }

    /// The event that ends the answer, where it is a list.
    pub fn list_end(&self) -> Option<&'static str> {
        match self {
            Self::SipPeerStatus { .. } => Some("SIPpeerstatusComplete"),
            Self::PjsipShowEndpoint { .. } => Some("EndpointDetailComplete"),
            Self::CoreShowChannels => Some("CoreShowChannelsComplete"),
            Self::Status { .. } => Some("StatusComplete"),
            Self::Challenge
            | Self::Login { .. }
            | Self::Ping
            | Self::ListCommands
            | Self::Filter { .. }
            | Self::CoreSettings
            | Self::ExtensionState { .. }
            | Self::Originate(_)
            | Self::MessageSend { .. }
            | Self::Command { .. } => None,
        }
    }

    /// Appends the action to `out`, or nothing at all when a value may not be sent.
    pub fn encode(&self, action_id: &str, out: &mut Vec<u8>) -> Result<(), BadHeader> {
        let before = out.len();
        let written = self.write(action_id, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn write(&self, action_id: &str, out: &mut Vec<u8>) -> Result<(), BadHeader> {
        header(out, "Action", self.name())?;
        header(out, "ActionID", action_id)?;
        match self {
            Self::Challenge => header(out, "AuthType", "MD5")?,
            Self::Login {
                user,
                proof,
                events,
            } => {
                header(out, "Username", user)?;
                match proof {
                    Proof::Plain(secret) => header(out, "Secret", secret)?,
                    Proof::Md5(key) => {
                        header(out, "AuthType", "MD5")?;
                        header(out, "Key", key)?;
                    }
                }
                header(out, "Events", events)?;
            }
            Self::Ping | Self::ListCommands | Self::CoreSettings | Self::CoreShowChannels => {}
            Self::Filter { pattern } => {
                header(out, "Operation", "Add")?;
                header(out, "Filter", pattern)?;
            }
            Self::ExtensionState { extension, context } => {
                header(out, "Exten", extension.as_str())?;
                header(out, "Context", context.as_str())?;
            }
            Self::Originate(call) => {
                header(out, "Channel", &call.channel)?;
                header(out, "Context", call.context.as_str())?;
                header(out, "Exten", call.extension.as_str())?;
                header(out, "Priority", "1")?;
                header(out, "CallerID", call.caller_id.as_str())?;
                if !call.timeout.is_zero() {
                    header(out, "Timeout", &call.timeout.as_millis().to_string())?;
                }
                header(out, "ChannelId", &call.channel_id)?;
                header(out, "Async", "true")?;
            }
            Self::MessageSend { to, from, body } => {
                header(out, "To", to)?;
                header(out, "From", from.as_str())?;
                match body {
                    Body::Plain(text) => header(out, "Body", text)?,
                    Body::Base64(text) => header(out, "Base64Body", &STANDARD.encode(&**text))?,
                }
            }
            Self::SipPeerStatus { peer } => header(out, "Peer", peer.as_str())?,
            Self::PjsipShowEndpoint { endpoint } => header(out, "Endpoint", endpoint.as_str())?,
            Self::Status { channel } => header(out, "Channel", channel.as_str())?,
            Self::Command { command } => header(out, "Command", command)?,
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

impl Proof {
    /// Answers a challenge.
    pub fn md5(challenge: &[u8], secret: &str) -> Self {
        let mut hashed = challenge.to_vec();
        hashed.extend_from_slice(secret.as_bytes());
        Self::Md5(format!("{:x}", md5::compute(hashed)).into())
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(***)",
            Self::Md5(_) => "Md5(***)",
        })
    }
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

impl std::error::Error for BadHeader {}

fn header(out: &mut Vec<u8>, key: &'static str, value: &str) -> Result<(), BadHeader> {
    if value.chars().any(char::is_control) {
        return Err(BadHeader {
            key,
            why: "holds a control character",
        });
    }
    if key.len() + 2 + value.len() > MAX_LINE {
        return Err(BadHeader {
            key,
            why: "does not fit Asterisk's line of 1024 bytes",
        });
    }
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(action: &Action) -> String {
        let mut out = Vec::new();
        action.encode("id-1", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn actions_are_spelled_as_asterisk_reads_them() {
        assert_eq!(
            wire(&Action::Ping),
            "Action: Ping\r\nActionID: id-1\r\n\r\n"
        );
        let call = Originate {
            channel: "PJSIP/8003".into(),
            channel_id: "id-1".into(),
            context: Name::new("alnik").unwrap(),
            extension: Number::new("0000").unwrap(),
            caller_id: Number::new("8003").unwrap(),
            timeout: Duration::from_secs(20),
        };
        assert_eq!(
            wire(&Action::Originate(call.clone())),
            "Action: Originate\r\nActionID: id-1\r\nChannel: PJSIP/8003\r\nContext: alnik\r\n\
             Exten: 0000\r\nPriority: 1\r\nCallerID: 8003\r\nTimeout: 20000\r\nChannelId: id-1\r\n\
             Async: true\r\n\r\n"
        );
        let unhurried = Originate {
            timeout: Duration::ZERO,
            ..call
        };
        assert!(!wire(&Action::Originate(unhurried)).contains("Timeout"));
    }

    #[test]
    fn a_text_of_several_lines_travels_in_base64() {
        let send = |text| {
            wire(&Action::MessageSend {
                to: "sip:8003".into(),
                from: Sender::new("8002").unwrap(),
                body: Body::new(text).unwrap(),
            })
        };
        assert!(send("Message text").ends_with("From: 8002\r\nBody: Message text\r\n\r\n"));
        assert!(send("a\r\nb").ends_with("From: 8002\r\nBase64Body: YQ0KYg==\r\n\r\n"));
        let longest = "ж".repeat(crate::value::MAX_BASE64 / 2);
        assert!(send(&longest).lines().all(|line| line.len() <= MAX_LINE));
        assert!(
            send(&"m".repeat(crate::value::MAX_PLAIN))
                .lines()
                .all(|l| l.len() <= MAX_LINE)
        );
    }

    #[test]
    fn nothing_that_would_add_a_header_or_break_a_line_is_written() {
        for (user, wanted) in [
            (
                "salara\r\nSecret: x".to_owned(),
                "Username: holds a control character",
            ),
            (
                "u".repeat(1100),
                "Username: does not fit Asterisk's line of 1024 bytes",
            ),
        ] {
            let mut out = b"before".to_vec();
            let login = Action::Login {
                user: user.into(),
                proof: Proof::Plain("s".into()),
                events: "system".into(),
            };
            let refused = login.encode("id-1", &mut out).unwrap_err();
            assert_eq!(refused.to_string(), wanted);
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn a_challenge_is_answered_as_asterisk_computes_it() {
        // A login a real Asterisk 22 accepted.
        let Proof::Md5(key) = Proof::md5(b"13828689", "secret22") else {
            panic!()
        };
        assert_eq!(&*key, "59e1d23427681cf55666ea9c687c1d0d");
        assert_eq!(format!("{:?}", Proof::Plain("geheim".into())), "Plain(***)");
    }
}
