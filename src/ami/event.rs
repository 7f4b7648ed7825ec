//! The events salara listens to.
//!
//! This file owns what an event says, as owned values. It must not know bytes on a wire or what
//! anyone does about an event.
//!
//! The surprising fact: "no value" is spelled `<unknown>` by new Asterisks, `unknown` by some and
//! not at all by old ones.

use super::Message;

/// An event of Asterisk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Asterisk has loaded all its modules.
    FullyBooted,
    /// Asterisk stops or restarts.
    Shutdown {
        /// It means to come back.
        restart: bool,
    },
    /// A module was reloaded: hints may have changed.
    Reload,
    /// The outcome of an asynchronous `Originate`.
    OriginateResponse(OriginateResponse),
    /// The state of a hint has changed.
    ExtensionStatus(ExtensionStatus),
}

/// How an `Originate` ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginateResponse {
    /// The ActionID of the `Originate`.
    pub action_id: Box<str>,
    /// The channel's id: ours, if we gave it one.
    pub uniqueid: Box<str>,
    /// The channel, or the device that was asked for.
    pub channel: Box<str>,
    /// Whether the first leg was answered.
    pub answered: bool,
    /// An `AST_CONTROL_*` number of `frame.h`: 0 failure, 1 hung up, 3 ringing, 4 answered, 5 busy,
    /// 8 congestion.
    pub reason: i32,
}

/// A hint's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionStatus {
    /// The extension.
    pub extension: Box<str>,
    /// Its context.
    pub context: Box<str>,
    /// Its state: −2 removed, −1 no hint, 0 idle, else a sum of bits.
    pub status: i32,
}

impl Event {
    /// Reads an event; `None` when it is none salara listens to.
    pub fn parse(message: Message<'_>) -> Option<Self> {
        match message.event()? {
            b"FullyBooted" => Some(Self::FullyBooted),
            b"Shutdown" => Some(Self::Shutdown {
                restart: message.is("Restart", "True"),
            }),
            b"Reload" => Some(Self::Reload),
            b"OriginateResponse" => Some(Self::OriginateResponse(OriginateResponse {
                action_id: message.text("ActionID").into(),
                uniqueid: message.text("Uniqueid").into(),
                channel: message.text("Channel").into(),
                answered: message.is("Response", "Success"),
                reason: number(message, "Reason").unwrap_or(0),
            })),
            b"ExtensionStatus" => Some(Self::ExtensionStatus(ExtensionStatus {
                extension: message.text("Exten").into(),
                context: message.text("Context").into(),
                status: number(message, "Status")?,
            })),
            _ => None,
        }
    }
}

/// The value of a header as a number.
pub fn number(message: Message<'_>, key: &str) -> Option<i32> {
    message.text(key).trim().parse().ok()
}
