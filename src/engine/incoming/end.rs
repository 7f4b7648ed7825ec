//! How a call ends, for the dialplan and for the log.
//!
//! This file owns what both are told. It must not know how a place was found.
//!
//! The surprising fact: a session may end in the middle of a transfer, and then nobody can tell whether
//! the caller is there. The log says just that.

use std::time::Instant;

use super::{Incoming, Purpose, Stage};
use crate::agi::{Answer, Command, Environment, Gone};
use crate::engine::{ConnId, Decision, Engine, Fate, Output};
use crate::route::Place;

impl Engine {
    pub(super) fn agi_gone(&mut self, conn: ConnId, gone: Gone) {
        let Some(incoming) = self.incoming.remove(&conn) else {
            return;
        };
        let is_away = match incoming.told {
            // After a 302 there is no channel to be asked.
            Some(Purpose::Status) => gone != Gone::Silent,
            Some(Purpose::HangUp) => true,
            // Without a HANGUP it is not known how far it came.
            Some(Purpose::Transfer) => gone == Gone::HungUp,
            _ => false,
        };
        match incoming.leaving() {
            Some(place) if is_away => {
                self.note_end(&incoming, Fate::Transferred, Some(place), None);
            }
            place => {
                let end = (gone.to_string(), gone != Gone::HungUp);
                self.note_end(&incoming, Fate::Gone, place, Some(end));
            }
        }
    }

    /// salara has ended: of those whom it has not handed back it says so.
    pub fn handle_end(&mut self) {
        for (_, incoming) in std::mem::take(&mut self.incoming) {
            let end = Some(("salara has stopped".to_owned(), true));
            self.note_end(&incoming, Fate::Gone, incoming.leaving(), end);
        }
    }

    /// The dialplan goes on with the call.
    pub(super) fn stay(&mut self, conn: ConnId, fate: Fate) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        // Questions nobody waits for any more.
        incoming.commands.clear();
        incoming.until = None;
        let reason = incoming.search.reason(None);
        incoming.report(fate, "", &reason);
        incoming.stage = Stage::Staying(fate);
    }

    /// Asterisk did not do as told, and the channel is still there.
    pub(super) fn correct(&mut self, conn: ConnId, why: &str) {
        let Some(incoming) = self.incoming.get_mut(&conn) else {
            return;
        };
        if let Stage::Going(place) = &incoming.stage {
            let target = place.extension.as_str();
            if !incoming.is_goto {
                self.channels.not_transferred(&incoming.call.caller, target);
            }
            incoming.search.fail(&format!("{target}: {why}"));
        }
        self.stay(conn, Fate::Failed);
    }

    pub(super) fn hand_back(&mut self, conn: ConnId, now: Instant) {
        let Some(incoming) = self.incoming.remove(&conn) else {
            return;
        };
        self.outputs.push_back(Output::HandBack(conn));
        match &incoming.stage {
            Stage::Staying(fate) => self.note_end(&incoming, *fate, None, None),
            Stage::Going(_) if incoming.is_goto && incoming.is_over => {
                let end = (Gone::HungUp.to_string(), false);
                self.note_end(&incoming, Fate::Gone, None, Some(end));
            }
            Stage::Going(place) => {
                if incoming.is_goto {
                    let Environment {
                        channel,
                        uniqueid,
                        caller,
                        ..
                    } = &incoming.call;
                    let target = place.extension.as_str();
                    self.channels
                        .continued(uniqueid, channel, caller, target, now);
                }
                self.note_end(&incoming, Fate::Transferred, Some(place), None);
            }
            Stage::LookUp | Stage::Check | Stage::Chosen(_) => {}
        }
    }

    fn note_end(
        &mut self,
        incoming: &Incoming,
        fate: Fate,
        place: Option<&Place>,
        end: Option<(String, bool)>,
    ) {
        let (mut reason, is_trouble) =
            end.unwrap_or_else(|| (incoming.search.reason(place), false));
        for remark in incoming.search.remarks() {
            reason.push_str("; ");
            reason.push_str(remark);
        }
        let Environment {
            channel,
            uniqueid,
            caller,
            ..
        } = &incoming.call;
        self.note(Decision::Incoming {
            channel: channel.clone(),
            uniqueid: uniqueid.clone(),
            caller: caller.clone(),
            fate,
            to: place.map(|place| place.extension.clone()),
            reason: reason.into(),
            is_trouble: is_trouble || incoming.search.is_trouble(),
        });
    }
}

impl Incoming {
    /// The place it is being transferred to, while nobody knows whether it is there.
    fn leaving(&self) -> Option<&Place> {
        let is_under_way = matches!(
            self.told,
            Some(Purpose::Transfer | Purpose::Status | Purpose::HangUp)
        );
        match &self.stage {
            Stage::Going(place) if is_under_way => Some(place),
            _ => None,
        }
    }

    /// Tells the dialplan what has become of the call, the result last: who sees it may go by the
    /// others.
    pub(super) fn report(&mut self, fate: Fate, dest: &str, reason: &str) {
        let mut set = |name: &str, value: &str| {
            let (name, value) = (name.into(), value.into());
            self.commands
                .push_back((Purpose::Tell, Command::Set { name, value }));
        };
        if !matches!(self.stage, Stage::Going(_)) {
            if let Some(name) = self.search.caller_name() {
                set("CALLERID(name)", name);
            }
            for variable in self.search.variables() {
                set(&variable.name, &variable.value);
            }
        }
        set("SALARA_DEST", dest);
        set("SALARA_REASON", &harmless(reason));
        set("SALARA_RESULT", fate.as_str());
    }
}

/// Asterisk's refusal of a command.
pub(super) fn refused(what: &str, answer: &Answer) -> String {
    match answer.result.filter(|_| answer.is_good()) {
        Some(result) => format!("Asterisk's {what} fails with {result}"),
        None => format!("Asterisk answers {} to {what}", answer.code),
    }
}

/// A reason as the dialplan may evaluate it.
fn harmless(reason: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || " _-+.:;/@#*'()".contains(c);
    reason
        .chars()
        .take(200)
        .map(|c| if keep(c) { c } else { ' ' })
        .collect()
}
