//! Which events Asterisk is asked for.
//!
//! This file owns what of the configuration has a use for which event. It must not know how they are
//! asked for.
//!
//! The surprising fact: to ask for fewer is most of what keeps a busy Asterisk cheap, because half of
//! all it has to say is the steps of the dialplan.

use crate::config::{CallLevel, Config, StateLevel};

/// The classes of events the configuration has a use for. `call` is always among them: it tells how
/// an originate ended and how hints change. `dialplan` is half of all Asterisk has to say.
pub(super) fn event_mask(config: &Config) -> String {
    let mut mask = "system,call".to_owned();
    if config.event.agentcon != StateLevel::Off {
        mask.push_str(",agent");
    }
    if config.event.newexten != StateLevel::Off {
        mask.push_str(",dialplan");
    }
    mask
}

/// The events among those classes that are of use: `call` has many more.
pub(super) fn event_names(config: &Config) -> Vec<&'static str> {
    let event = &config.event;
    let call_events = [("Newchannel", event.newchannel), ("Hangup", event.hangup)];
    let state_events = [
        ("Newexten", event.newexten),
        ("AgentConnect", event.agentcon),
    ];
    // The beginning and the end of a tracked call are wanted also where they are not posted.
    let tracked = event.watch_makecall || config.url.agi_server.is_some();
    let always = [
        "FullyBooted",
        "Shutdown",
        "Reload",
        "OriginateResponse",
        "ExtensionStatus",
    ];
    let calls = call_events
        .iter()
        .filter(|(_, level)| tracked || *level != CallLevel::Off)
        .map(|(name, _)| *name);
    let states = state_events
        .iter()
        .filter(|(_, level)| *level != StateLevel::Off)
        .map(|(name, _)| *name);
    always.into_iter().chain(calls).chain(states).collect()
}
