//! What the log says of calls and messages.
//!
//! This file owns the words. It must not know how a decision is come to.
//!
//! The surprising fact: every line about a channel carries its id, because names repeat.

use std::fmt;

use crate::value::Number;

/// What was decided about a call or a message, or happened to one; a line of the log each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A call was handed to Asterisk.
    Calling {
        /// The device that rings.
        device: Box<str>,
        /// Who is called then.
        phone: Number,
        /// The channel's id.
        uniqueid: Box<str>,
    },
    /// Nothing was done, because of the operator's state.
    NotGood {
        /// What was asked for: `call` or `message`.
        what: &'static str,
        /// The operator.
        operator: Box<str>,
        /// The state's name.
        state: Box<str>,
    },
    /// The operator answered, and is connected to the phone.
    Answered {
        /// The operator's channel.
        channel: Box<str>,
        /// The channel's id.
        uniqueid: Box<str>,
    },
    /// The call did not come about.
    Failed {
        /// Who was asked for.
        device: Box<str>,
        /// The channel's id.
        uniqueid: Box<str>,
        /// Why, in words.
        why: Box<str>,
    },
    /// The link was lost before it was told how a call went on.
    Unknown {
        /// The device that rang.
        device: Box<str>,
        /// The channel's id.
        uniqueid: Box<str>,
    },
    /// A message was handed to Asterisk.
    Sent {
        /// Where to.
        to: Box<str>,
    },
    /// Asterisk could not send a message.
    NotSent {
        /// Where to.
        to: Box<str>,
        /// Asterisk's words.
        why: Box<str>,
    },
    /// An incoming call was decided about.
    Incoming {
        /// The caller's channel.
        channel: Box<str>,
        /// The channel's id.
        uniqueid: Box<str>,
        /// Who calls; empty when that is not known.
        caller: Box<str>,
        /// What became of the call.
        fate: Fate,
        /// Where it went, if anywhere.
        to: Option<Number>,
        /// Why.
        reason: Box<str>,
        /// Whether something is not as it should be.
        is_trouble: bool,
    },
    /// Tracked channels ended while there was no link.
    Ended {
        /// How many.
        count: usize,
    },
    /// The account may not do this. Said once for each action and link.
    Denied {
        /// The action.
        action: &'static str,
        /// The write classes of which it needs one.
        needs: &'static str,
    },
}

/// What became of an incoming call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was sent on.
    Transferred,
    /// There is no place for it that may be disturbed.
    NotAvailable,
    /// Asterisk refused to send it on.
    Failed,
    /// It could not be found out whether there is one.
    Error,
    /// It ended before anything was decided.
    Gone,
}

impl Fate {
    /// As the dialplan reads it in `SALARA_RESULT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transferred => "TRANSFERRED",
            Self::NotAvailable => "NOTAVAILABLE",
            Self::Failed => "FAILED",
            Self::Error => "ERROR",
            Self::Gone => "GONE",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calling {
                device,
                phone,
                uniqueid,
            } => {
                write!(f, "{device} [{uniqueid}]: calling, then {}", phone.as_str())
            }
            Self::NotGood {
                what,
                operator,
                state,
            } => {
                write!(f, "{operator}: no {what}, its state is {state}")
            }
            Self::Answered { channel, uniqueid } => write!(f, "{channel} [{uniqueid}]: answered"),
            Self::Failed {
                device,
                uniqueid,
                why,
            } => {
                write!(f, "{device} [{uniqueid}]: not answered: {why}")
            }
            Self::Unknown { device, uniqueid } => {
                write!(
                    f,
                    "{device} [{uniqueid}]: the link went before its answer was told"
                )
            }
            Self::Sent { to } => write!(f, "{to}: message handed to Asterisk"),
            Self::NotSent { to, why } => write!(f, "{to}: message not sent: {why}"),
            Self::Incoming {
                channel,
                uniqueid,
                caller,
                fate,
                to,
                reason,
                ..
            } => {
                let caller = match &**caller {
                    "" => "nobody",
                    caller => caller,
                };
                write!(f, "{channel} [{uniqueid}]: {caller}: ")?;
                match (fate, to) {
                    (Fate::Transferred, Some(to)) => {
                        write!(f, "transferred to {} ({reason})", to.as_str())
                    }
                    (Fate::Gone, Some(to)) => {
                        write!(f, "{reason} during its transfer to {}", to.as_str())
                    }
                    (Fate::Gone, None) => write!(f, "{reason} before it was transferred"),
                    _ => write!(f, "{}, the dialplan goes on: {reason}", fate.as_str()),
                }
            }
            Self::Ended { count } => {
                write!(f, "{count} tracked channels ended while there was no link")
            }
            Self::Denied { action, needs } => write!(
                f,
                "Asterisk refuses {action}: the account needs write={needs} in manager.conf"
            ),
        }
    }
}
