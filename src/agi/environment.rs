//! What Asterisk tells of a call before anything is said about it.
//!
//! This file owns the `agi_*` lines. It must not know what becomes of the call.
//!
//! The surprising fact: a caller without a number has one here, `unknown`. No number is spelled so,
//! and so nothing is lost by reading it as none.

use crate::value::is_nobody;

/// The facts of a call that somebody will ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The channel's name.
    pub channel: Box<str>,
    /// The channel's id.
    pub uniqueid: Box<str>,
    /// The channel's technology.
    pub tech: Box<str>,
    /// Who calls; empty when that is not known.
    pub caller: Box<str>,
    /// The context of the dialplan's line.
    pub context: Box<str>,
    /// The extension of the dialplan's line.
    pub extension: Box<str>,
}

impl Environment {
    /// Takes a line; false when it is none of these.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.strip_prefix("agi_").and_then(|line| {
            line.split_once(": ")
                .or_else(|| Some((line.strip_suffix(':')?, "")))
        }) else {
            return false;
        };
        let place = match key {
            "channel" => &mut self.channel,
            "uniqueid" => &mut self.uniqueid,
            "type" => &mut self.tech,
            "callerid" => &mut self.caller,
            "context" => &mut self.context,
            "extension" => &mut self.extension,
            _ => return true,
        };
        *place = value.into();
        if key == "callerid" && is_nobody(value) {
            self.caller = "".into();
        }
        true
    }

    pub(super) fn is_whole(&self) -> bool {
        !self.channel.is_empty() && !self.uniqueid.is_empty()
    }
}
