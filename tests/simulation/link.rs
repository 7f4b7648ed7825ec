//! The connection between Asterisk and the session.

use std::time::Duration;

use salara::ami::session::Credentials;
use salara::config::Secret;

use super::asterisk::Said;
use super::seen::What;
use super::{Outcome, World};

impl World {
    /// Asterisk says something; an event of a channel makes the post that it has to.
    pub(super) fn hear(&mut self, said: &Said) {
        let wanted = said.told.as_ref().map(|told| self.wanted(told));
        self.deliver(&said.bytes);
        // An event that was cut off by the end of the connection need not have been understood.
        let is_whole = self.asterisk.is_connected();
        let posted = self.posted.pop_front();
        assert!(self.posted.is_empty(), "FAITHFUL: {:?} too", self.posted);
        let Some((told, wanted)) = said.told.as_ref().zip(wanted) else {
            return assert_eq!(posted, None, "FAITHFUL: for no event");
        };
        let body = posted.as_ref().map(|post| &*post.body);
        let is_wanted = wanted.iter().any(|wanted| wanted.as_deref() == body);
        let is_cut = !is_whole && body.is_none();
        assert!(
            is_wanted || is_cut,
            "FAITHFUL: {body:?} and not {wanted:?} of {told:?}"
        );
        if let Some(post) = posted {
            let line = self.lines.entry(told.uniqueid.clone());
            let line = line.or_insert_with(|| told.call().into());
            assert_eq!(post.call, *line, "FAITHFUL: in another line");
            if self.is_tracked_only(told) {
                self.posts.seen.note(What::Tracked, 1);
            }
            self.posts.push(post, self.now);
        }
        if is_whole {
            self.heard(told);
        }
    }

    fn deliver(&mut self, mut bytes: &[u8]) {
        // A flood byte by byte would take the time of many worlds.
        let most = if bytes.len() > 500 {
            4_096
        } else {
            self.random.one_of(&[1, 7, 30, 100, 4_096])
        };
        while !bytes.is_empty() && self.asterisk.is_connected() {
            let length = (1 + self.random.below(most)).min(bytes.len());
            let (segment, rest) = bytes.split_at(length);
            self.session.handle_bytes(segment, self.now);
            self.drain(None);
            bytes = rest;
        }
    }

    pub(super) fn write(&mut self) {
        while !self.session.outgoing().is_empty() {
            let most = self.session.outgoing().len();
            let count = most - self.random.one_of(&[0, 0, most / 2]);
            let written = self.session.outgoing()[..count].to_vec();
            self.session.sent(count);
            self.asterisk.read(&written, self.now);
        }
    }

    pub(super) fn begin_connect(&mut self) {
        assert!(!self.asterisk.is_connected(), "ALTERNATES: connects twice");
        assert!(self.connecting.is_none(), "ALTERNATES: connects twice");
        let outcome = match self.random.below(10) {
            _ if self.is_healthy => Outcome::Connected,
            0 => Outcome::Refused { near: false },
            1 => Outcome::Refused { near: true },
            2 => {
                self.connecting = Some(None);
                return;
            }
            _ => Outcome::Connected,
        };
        let at = self.now + Duration::from_millis(self.random.below(50) as u64);
        self.connecting = Some(Some((at, outcome)));
    }

    pub(super) fn finish_connect(&mut self) {
        let Some(Some((at, outcome))) = self.connecting else {
            return;
        };
        if at > self.now {
            return;
        }
        self.connecting = None;
        match outcome {
            Outcome::Connected => {
                self.asterisk.connect(self.is_healthy, self.now);
                let credentials = Credentials {
                    user: "salara".into(),
                    secret: Secret::new("secret22"),
                };
                self.session.handle_connected(credentials, self.now);
                assert!(
                    self.session.outgoing().is_empty(),
                    "ALTERNATES: speaks first"
                );
            }
            Outcome::Refused { near } => {
                self.session.handle_disconnected("refused", near, self.now);
            }
        }
        self.drain(None);
    }

    pub(super) fn lose_connection(&mut self) {
        self.asterisk.hang_up();
        self.session
            .handle_disconnected("Asterisk closed it", false, self.now);
        self.drain(None);
        assert!(!self.is_up, "ALTERNATES: up without a connection");
    }
}
