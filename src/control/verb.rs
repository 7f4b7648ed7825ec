//! What an administrator may ask for.
//!
//! This file owns the words. It must not know how they come or what is done about them.
//!
//! The surprising fact: they are the commands the old module had in Asterisk's console, word for
//! word, so that fingers and scripts need not learn anew.

use crate::api;
use crate::config::Verbosity;
use crate::config::edit::Edit;
use crate::value::{BadValue, Body, Name, Number, Sender};

/// A request of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// What runs here, and how it is set.
    ShowInfo,
    /// The configuration file.
    ShowConf,
    /// The routing table.
    ShowRoute,
    /// The tracked calls.
    ShowChanRecords,
    /// The events on their way to the CRM.
    ShowEvents,
    /// Change the file, and what is in force.
    Edit(Edit),
    /// Forget a tracked call.
    DelChanRecord {
        /// Its channel.
        channel: String,
        /// Its caller.
        caller: String,
    },
    /// What a REST client may ask too.
    Ask(api::Request),
    /// A command of Asterisk's console.
    SendCommand(String),
    /// A post to the CRM.
    SendPost {
        /// What it is said to be.
        kind: PostKind,
        /// What it says.
        body: String,
    },
    /// Failed events again.
    Replay,
    /// A sample of each event to the CRM.
    TestEvent,
    /// The file anew.
    Reload,
}

/// What a post is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostKind {
    /// `application/json`
    Json,
    /// `text/plain`
    Text,
}

impl PostKind {
    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain",
        }
    }
}

/// The verbs, for people and for a shell that completes them: `<…>` is theirs to fill in, the last
/// one to the end of the line.
pub const USAGE: &str = "\
show info
show conf
show route
show chan_records
show events
set verbose off|on|debug|dump
set route <caller> <called>
del route <caller>
del chan_record <chan> <caller>
get status extension|peer|channel <name>
send msg <from> <to> <text>
send command <command>
send post json|text <body>
replay
test-event
reload
";

impl Verb {
    /// Reads words; an error says what is wanted.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let list: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match list.as_slice() {
            ["show", "info"] => Self::ShowInfo,
            ["show", "conf"] => Self::ShowConf,
            ["show", "route"] => Self::ShowRoute,
            ["show", "chan_records"] => Self::ShowChanRecords,
            ["show", "events"] => Self::ShowEvents,
            ["set", "verbose", word] => {
                let mut levels = Verbosity::ALL.into_iter();
                let level = levels.find(|level| level.word() == *word);
                Self::Edit(Edit::Verbose(level.ok_or_else(|| unknown(words))?))
            }
            ["set", "route", caller, called] => Self::Edit(Edit::AddRoute {
                caller: route_caller(caller)?,
                called: valid("called", called, Number::new)?,
            }),
            ["del", "route", caller] => Self::Edit(Edit::DelRoute {
                caller: route_caller(caller)?,
            }),
            ["del", "chan_record", channel, caller] => Self::DelChanRecord {
                channel: (*channel).to_owned(),
                caller: (*caller).to_owned(),
            },
            [
                "get",
                "status",
                kind @ ("extension" | "peer" | "channel"),
                name,
            ] => {
                let name = valid("name", name, Name::new)?;
                Self::Ask(match *kind {
                    "extension" => api::Request::Extension {
                        extension: name,
                        context: None,
                    },
                    "peer" => api::Request::Peer { peer: name },
                    _ => api::Request::Channel { channel: name },
                })
            }
            ["send", "msg", from, to, text @ ..] if !text.is_empty() => {
                Self::Ask(api::Request::Message {
                    operator: valid("to", to, Name::new)?,
                    phone: valid("from", from, Sender::new)?,
                    body: valid("text", &text.join(" "), Body::new)?,
                    context: None,
                })
            }
            ["send", "command", command @ ..] if !command.is_empty() => {
                let command = command.join(" ");
                if let Some(bad) = command.chars().find(|c| c.is_control()) {
                    return Err(format!("command: {}", BadValue::Control(bad)));
                }
                Self::SendCommand(command)
            }
            ["send", "post", kind @ ("json" | "text"), body @ ..] if !body.is_empty() => {
                let kind = match *kind {
                    "json" => PostKind::Json,
                    _ => PostKind::Text,
                };
                let body = body.join(" ");
                Self::SendPost { kind, body }
            }
            ["replay"] => Self::Replay,
            ["test-event"] => Self::TestEvent,
            ["reload"] => Self::Reload,
            _ => return Err(unknown(words)),
        })
    }
}

/// The old console's words, and what there is for those who got the first one right.
fn unknown(words: &[String]) -> String {
    let mut text = format!("No such command 'salara {}'", words.join(" "));
    let first = words.first().map_or("", String::as_str);
    let near = USAGE
        .lines()
        .filter(|line| line.split(' ').next() == Some(first));
    for (index, line) in near.enumerate() {
        text.push_str(if index == 0 { "; there is\n" } else { "\n" });
        text.push_str("  salara ");
        text.push_str(line);
    }
    text
}

fn route_caller(caller: &str) -> Result<Number, String> {
    if caller.starts_with('#') {
        return Err("caller: what begins with # is a comment in the file".to_owned());
    }
    valid("caller", caller, Number::new)
}

fn valid<T>(what: &str, text: &str, check: fn(&str) -> Result<T, BadValue>) -> Result<T, String> {
    check(text).map_err(|bad| format!("{what}: {bad}"))
}
