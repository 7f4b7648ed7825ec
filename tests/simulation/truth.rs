//! What a reply may say: what Asterisk said.

use std::time::Duration;

use salara::ami::event::Event;
use salara::ami::state::hint_text;
use salara::api::Reply;
use salara::engine::Decision;

use super::asterisk::Truth;
use super::{Waiting, World};

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
        let id = format!("salara-65f2a01c-3e9-{}", question.0);
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
                let ended = self.calls.insert(uniqueid.clone(), true);
                assert_eq!(ended, Some(false), "ONE_END: {decision}");
            }
            _ => {}
        }
    }
}
