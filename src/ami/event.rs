//! The events salara listens to.
//!
//! This file owns what an event says, as owned values. It must not know bytes on a wire or what
//! anyone does about an event.
//!
//! The surprising fact: "no value" is spelled `<unknown>` by new Asterisks, `unknown` by some and
//! not at all by old ones.

use super::Message;
use crate::value::is_nobody;

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
    /// A channel has come into being.
    Newchannel(Snapshot),
    /// A channel executes a line of the dialplan, or what stands for one.
    Newexten {
        /// The channel.
        channel: Snapshot,
        /// The application; empty when there is none.
        application: Box<str>,
    },
    /// A channel has ended.
    Hangup(Snapshot),
    /// A queue's member has answered.
    AgentConnect {
        /// The caller's channel.
        channel: Snapshot,
        /// The member's channel.
        member: Box<str>,
        /// Its extension: the queue.
        queue: Box<str>,
        /// Its state.
        state: i32,
    },
}

/// A channel as an event shows it. Its name may have been another's; its id has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: Box<str>,
    /// Its id.
    pub uniqueid: Box<str>,
    /// The id of the call it belongs to; empty before Asterisk 12.
    pub linkedid: Box<str>,
    /// The number of who is on it; `<unknown>` when Asterisk says so.
    pub caller: Box<str>,
    /// Where in the dialplan it is; `s` before it is anywhere.
    pub extension: Box<str>,
    /// Its state, 0 to 9.
    pub state: i32,
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
            b"Newchannel" => Some(Self::Newchannel(Snapshot::read(message))),
            b"Hangup" => Some(Self::Hangup(Snapshot::read(message))),
            b"Newexten" => Some(Self::Newexten {
                channel: Snapshot::read(message),
                application: message.text("Application").into(),
            }),
            b"AgentConnect" => Some(Self::AgentConnect {
                channel: Snapshot::read(message),
                member: message.text("DestChannel").into(),
                queue: message.text("DestExten").into(),
                state: number(message, "DestChannelState").unwrap_or(UNKNOWN_STATE),
            }),
            _ => None,
        }
    }
}

impl Snapshot {
    fn read(message: Message<'_>) -> Self {
        // Before Asterisk 12 a Newexten says `Extension` only.
        let extension = match message.get("Exten") {
            Some(extension) => String::from_utf8_lossy(extension),
            None => message.text("Extension"),
        };
        Self {
            name: message.text("Channel").into(),
            uniqueid: message.text("Uniqueid").into(),
            linkedid: message.text("Linkedid").into(),
            caller: message.text("CallerIDNum").into(),
            extension: extension.into(),
            state: number(message, "ChannelState").unwrap_or(UNKNOWN_STATE),
        }
    }

    /// What keeps the events of one call together.
    pub fn call(&self) -> &str {
        if self.linkedid.is_empty() {
            &self.uniqueid
        } else {
            &self.linkedid
        }
    }

    /// Whether Asterisk knows who is on it.
    pub fn has_known_caller(&self) -> bool {
        !is_nobody(&self.caller)
    }
}

/// A state Asterisk has no number for.
const UNKNOWN_STATE: i32 = -1;

/// The value of a header as a number.
pub fn number(message: Message<'_>, key: &str) -> Option<i32> {
    message.text(key).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Decoder, Item};
    use super::*;

    /// Reads an event as it stands on the wire, its lines without their ends.
    fn event(lines: &[&str]) -> Option<Event> {
        let mut decoder = Decoder::new();
        let packet = format!(
            "Asterisk Call Manager/11.0.0\r\n{}\r\n\r\n",
            lines.join("\r\n")
        );
        decoder.push(packet.as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(Item::Banner(_)))));
        match decoder.next() {
            Ok(Some(Item::Message(message))) => Event::parse(message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn asterisk_tells_of_its_own_life() {
        let booted = ["Event: FullyBooted", "Status: Fully Booted"];
        assert_eq!(event(&booted), Some(Event::FullyBooted));
        for (value, restart) in [
            ("True", true),
            ("False", false),
            ("true", true),
            ("", false),
        ] {
            let line = format!("Restart: {value}");
            let lines = ["Event: Shutdown", "Shutdown: Cleanly", &line];
            assert_eq!(event(&lines), Some(Event::Shutdown { restart }));
        }
        let reload = ["Event: Reload", "Module: All", "Status: 0"];
        assert_eq!(event(&reload), Some(Event::Reload));
    }

    #[test]
    fn an_outcome_is_read_whatever_is_missing_in_it() {
        let answered = event(&[
            "Event: OriginateResponse",
            "ActionID: salara-1-1-7",
            "Response: Success",
            "Channel: PJSIP/8003-00000004",
            "Reason: 4",
            "Uniqueid: 1795375970.4",
        ]);
        let wanted = OriginateResponse {
            action_id: "salara-1-1-7".into(),
            uniqueid: "1795375970.4".into(),
            channel: "PJSIP/8003-00000004".into(),
            answered: true,
            reason: 4,
        };
        assert_eq!(answered, Some(Event::OriginateResponse(wanted)));
        let nothing = OriginateResponse {
            action_id: "".into(),
            uniqueid: "".into(),
            channel: "".into(),
            answered: false,
            reason: 0,
        };
        for lines in [
            ["Event: OriginateResponse", "Response: Failure"],
            ["Event: OriginateResponse", "Reason: <unknown>"],
        ] {
            assert_eq!(
                event(&lines),
                Some(Event::OriginateResponse(nothing.clone()))
            );
        }
    }

    #[test]
    fn a_hint_s_change_has_a_state_or_is_none() {
        for (line, status) in [
            ("Status: 0", Some(0)),
            ("Status: 9", Some(9)),
            ("Status: -2", Some(-2)),
            ("Status: ", None),
            ("StatusText: Idle", None),
        ] {
            let lines = [
                "Event: ExtensionStatus",
                "Exten: 8003",
                "Context: alnik",
                line,
            ];
            let wanted = status.map(|status| {
                Event::ExtensionStatus(ExtensionStatus {
                    extension: "8003".into(),
                    context: "alnik".into(),
                    status,
                })
            });
            assert_eq!(event(&lines), wanted, "{line}");
        }
    }

    #[test]
    fn a_channel_is_shown_alike_by_old_and_new() {
        // Asterisk 22, then 1.8.
        let new = event(&[
            "Event: Newexten",
            "Channel: PJSIP/8003-0000001b",
            "ChannelState: 4",
            "CallerIDNum: 8003",
            "Exten: 2222",
            "Uniqueid: 1795376115.63",
            "Linkedid: 1795376115.60",
            "Extension: 2222",
            "Application: Dial",
        ]);
        let old = event(&[
            "Event: Newexten",
            "Channel: SIP/8003-0000001b",
            "Extension: 2222",
            "Application: Dial",
            "Uniqueid: 1795376115.63",
        ]);
        for (event, call, known, state) in [
            (new, "1795376115.60", true, 4),
            (old, "1795376115.63", false, UNKNOWN_STATE),
        ] {
            let Some(Event::Newexten {
                channel,
                application,
            }) = event
            else {
                panic!("{event:?}")
            };
            assert_eq!((&*channel.extension, &*application), ("2222", "Dial"));
            assert_eq!((channel.call(), channel.state), (call, state));
            assert_eq!(channel.has_known_caller(), known);
        }
    }

    #[test]
    fn other_events_and_responses_are_none() {
        for lines in [
            ["Event: VarSet", "Variable: x"],
            ["Event: Newstate", "Channel: SIP/1"],
            ["Response: Success", "Event: Reload"],
            ["Foo: bar", "Event: Reload"],
        ] {
            assert_eq!(event(&lines), None, "{lines:?}");
        }
    }
}
