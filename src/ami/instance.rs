//! The name one run of salara gives its actions and channels.
//!
//! This file owns how an ActionID and a ChannelId are spelled. It must not know the clock or the
//! process: `main` passes in what makes this run unlike others.
//!
//! The surprising fact: Asterisk sends an `OriginateResponse` with its ActionID to every manager
//! session, so two salaras beside one Asterisk must never spell theirs alike.

use std::fmt;

/// The engine's own number for something it asked of Asterisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ask(pub u32);

/// This run's prefix, such as `salara-65f2a01c-3e9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(Box<str>);

impl Instance {
    /// Names a run by when it began (Unix seconds) and a number no other run has.
    pub fn new(started: u64, random: u32) -> Self {
        Self(format!("salara-{started:x}-{random:x}").into())
    }

    /// The ActionID of an ask. It is also the ChannelId of the call, when the ask is a call.
    pub fn action_id(&self, ask: Ask) -> String {
        format!("{self}-{}", ask.0)
    }

    /// The ask an ActionID or a ChannelId names, if it is one of ours.
    pub fn ask(&self, id: &[u8]) -> Option<Ask> {
        let number = id.strip_prefix(self.0.as_bytes())?.strip_prefix(b"-")?;
        std::str::from_utf8(number).ok()?.parse().ok().map(Ask)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_its_ask_and_no_other_run_s() {
        let ours = Instance::new(0x65f2_a01c, 1001);
        let id = ours.action_id(Ask(7));
        assert_eq!(id, "salara-65f2a01c-3e9-7");
        assert_eq!(ours.ask(id.as_bytes()), Some(Ask(7)));
        assert_eq!(ours.ask(b"salara-65f2a01c-3e8-7"), None);
        assert_eq!(ours.ask(b"salara-65f2a01c-3e9-"), None);
        assert_eq!(ours.ask(b"salara-65f2a01c-3e9-x"), None);
        assert_eq!(ours.ask(b"1700000000.42"), None);
    }
}
