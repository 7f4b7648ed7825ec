//! What a reply may say: what Asterisk said. And what it tells that the CRM has to get.

use std::time::{Duration, Instant};

use salara::ami::action::Originate;
use salara::ami::event::Event;
use salara::ami::state::hint_text;
use salara::api::Reply;
use salara::engine::Decision;

use super::asterisk::Truth;
use super::calls::{Kind, Record, Told};
use super::{Waiting, World};

/// A call whose channel never came is forgotten after this: its ringing time and a minute.
const FORGOTTEN: Duration = Duration::from_secs(70);

/// A channel that salara may know of.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    record: Record,
    since: Instant,
    /// Nothing has happened since that may have ended the record.
    is_sure: bool,
    /// Its beginning was told.
    is_there: bool,
}

impl World {
    pub(super) fn learn(&mut self, event: &Event) {
        match event {
            Event::ExtensionStatus(status) => {
                if let Some(hint) = self.hints.get_mut(&*status.extension) {
                    *hint = (status.status, hint_text(status.status).into(), self.now);
                }
            }
            Event::Reload => self.hints.clear(),
            _ => {}
        }
    }

    pub(super) fn check_reply(&mut self, waiting: &Waiting, reply: &Reply) {
        let request = &waiting.request;
        if reply.status != 200 {
            assert_eq!(reply.status, 503, "{request}: {reply:?}");
            return assert!(reply.error.is_some(), "{request}: without a reason");
        }
        let told = (reply.result, reply.text.to_string());
        let Some(question) = waiting.question else {
            let (state, text, at) = self.hints.get(&waiting.extension).expect("TRUE: a guess");
            assert_eq!(told, (*state, text.clone()), "TRUE: {request}");
            let age = self.now - *at;
            return assert!(age < Duration::from_secs(1), "TRUE: {request} {age:?} ago");
        };
        let id = self.instance.action_id(question);
        let truth = self.asterisk.truth(&id).expect("TRUE: no such answer");
        let wanted = match truth.clone() {
            Truth::Hint(state, text) => {
                if request.contains("exten") {
                    let hint = (state, text.clone(), self.now);
                    self.hints.insert(waiting.extension.clone(), hint);
                }
                (state, text)
            }
            Truth::Peer(Some(status)) => (0, status),
            Truth::Peer(None) => (-1, "Error".to_owned()),
            Truth::Channel(Some(text)) => (0, format!("{text} (6)")),
            Truth::Channel(None) => (-1, "Channel not present".to_owned()),
            other @ (Truth::Denied | Truth::Done(_)) => panic!("TRUE: {told:?} for {other:?}"),
        };
        assert_eq!(told, wanted, "TRUE: {request}");
    }

    pub(super) fn check_note(&mut self, decision: &Decision) {
        match decision {
            Decision::Calling { uniqueid, .. } => {
                let known = self.calls.insert(uniqueid.clone(), false);
                assert_eq!(known, None, "ONE_END: {uniqueid} begins twice");
            }
            Decision::Answered { uniqueid, .. } | Decision::Failed { uniqueid, .. } => {
                if matches!(decision, Decision::Failed { .. }) {
                    self.failed(uniqueid);
                }
                let ended = self.calls.insert(uniqueid.clone(), true);
                assert_eq!(ended, Some(false), "ONE_END: {decision}");
            }
            _ => {}
        }
    }

    /// salara sets a call up.
    pub(super) fn track(&mut self, call: &Originate) {
        if !self.config.event.watch_makecall || self.facts.ami_version.starts_with("1.") {
            return;
        }
        let tracked = Tracked {
            record: Record {
                operator: call.caller_id.as_str().to_owned(),
                phone: call.extension.as_str().to_owned(),
            },
            since: self.now,
            is_sure: true,
            is_there: false,
        };
        self.tracked.insert(call.channel_id.to_string(), tracked);
    }

    /// The link is lost: any channel may have ended unheard.
    pub(super) fn doubt_all(&mut self) {
        self.tracked
            .values_mut()
            .for_each(|tracked| tracked.is_sure = false);
    }

    /// A call that got no channel is tracked no more.
    fn failed(&mut self, id: &str) {
        if self
            .tracked
            .get(id)
            .is_some_and(|tracked| !tracked.is_there)
        {
            self.tracked.remove(id);
        }
    }

    /// The posts that an event may make: one, or none; and either where it is not known whether
    /// salara still knows the channel.
    pub(super) fn wanted(&mut self, told: &Told) -> Vec<Option<String>> {
        let begins_ours = told.kind == Kind::Newchannel && told.extension == "s";
        if begins_ours && self.config.event.watch_makecall {
            // An old Asterisk does not give it the id it was wished: it may be any of that operator.
            let any = Tracked {
                record: Record {
                    operator: told.caller.clone(),
                    phone: "000".to_owned(),
                },
                since: self.now,
                is_sure: false,
                is_there: false,
            };
            self.tracked.entry(told.uniqueid.clone()).or_insert(any);
        }
        let levels = &self.config.event;
        let unknown = told.post(levels, None);
        let Some(tracked) = self.tracked.get(&told.uniqueid) else {
            return vec![unknown];
        };
        let known = told.post(levels, Some(&tracked.record));
        let is_recent = self.now - tracked.since < FORGOTTEN;
        if tracked.is_sure && (tracked.is_there || is_recent) {
            return vec![known];
        }
        vec![known, unknown]
    }

    /// Whether nothing would be posted of a channel that is not tracked.
    pub(super) fn is_tracked_only(&self, told: &Told) -> bool {
        told.post(&self.config.event, None).is_none()
    }

    /// An event was told whole.
    pub(super) fn heard(&mut self, told: &Told) {
        match told.kind {
            Kind::Newchannel => {
                if let Some(tracked) = self.tracked.get_mut(&told.uniqueid) {
                    tracked.is_there = true;
                }
            }
            Kind::Hangup => {
                self.tracked.remove(&told.uniqueid);
                self.lines.remove(&told.uniqueid);
            }
            Kind::Newexten | Kind::AgentConnect => {}
        }
    }
}
