//! What carries outputs between the machines, as the reactor does.

use salara::ami::action::Action;
use salara::ami::session;
use salara::engine::{self, ConnId};

use super::{MAX_REQUESTS, World, place};

impl World {
    /// Moves outputs between the machines until none is left. What the engine wants meanwhile is
    /// for `cause`, or for the one whose answer it has just been given.
    pub(super) fn drain(&mut self, cause: Option<ConnId>) {
        let mut cause = cause;
        for _ in 0..10_000 {
            if let Some(output) = self.engine.poll_output() {
                self.engine_wants(output, cause);
            } else if let Some(output) = self.session.poll_output() {
                cause = self.session_wants(output);
            } else {
                return self.check();
            }
        }
        panic!("DRAINED: outputs without an end");
    }

    pub(super) fn check(&self) {
        let unwritten = self.session.outgoing().len();
        assert!(unwritten <= 64 * 1024, "BOUNDED: {unwritten} bytes");
        assert!(
            self.waiting.len() <= MAX_REQUESTS,
            "BOUNDED: {}",
            self.waiting.len()
        );
        assert!(
            self.asked.len() <= 256,
            "BOUNDED: {} questions",
            self.asked.len()
        );
        assert_eq!(self.session.is_up(), self.is_up, "ALTERNATES: who is up?");
        if !self.asterisk.is_connected() {
            assert_eq!(unwritten, 0, "ALTERNATES: written to nobody");
        }
    }

    pub(super) fn engine_wants(&mut self, output: engine::Output, cause: Option<ConnId>) {
        match output {
            engine::Output::Act(ask, action) => {
                assert!(
                    self.ever_asked.insert(ask),
                    "ONE_ANSWER: {ask:?} is asked twice"
                );
                // What follows a reply belongs to nobody any more.
                let conn = cause.filter(|conn| self.waiting.contains_key(&place(*conn)));
                let follows_up =
                    matches!(action, Action::Originate(_) | Action::MessageSend { .. });
                let conn = conn.filter(|_| !follows_up);
                if let Some(waiting) = conn.and_then(|conn| self.waiting.get_mut(&place(conn))) {
                    waiting.question = Some(ask);
                }
                self.asked.insert(ask, (conn, self.now));
                if let Action::Originate(call) = &action {
                    self.track(call);
                }
                self.session.ask(ask, &action, self.now);
            }
            engine::Output::Reply(conn, reply) => {
                let waiting = self.waiting.remove(&place(conn));
                let waiting = waiting.unwrap_or_else(|| panic!("ONE_REPLY: {reply:?} to nobody"));
                assert_eq!(Some(conn), cause, "ONE_REPLY: {reply:?} to another");
                self.replies += 1;
                self.check_reply(&waiting, &reply);
            }
            engine::Output::Post(post) => self.posted.push_back(post),
            engine::Output::Note(decision) => self.check_note(&decision),
            output @ (engine::Output::LookUp(_)
            | engine::Output::Tell(..)
            | engine::Output::HandBack(_)) => panic!("nobody calls in: {output:?}"),
        }
    }

    /// Hands an output of the session on. Tells whose answer it is.
    pub(super) fn session_wants(&mut self, output: session::Output) -> Option<ConnId> {
        match output {
            session::Output::Connect => self.begin_connect(),
            session::Output::Disconnect => {
                assert!(
                    self.asterisk.is_connected() || self.connecting.is_some(),
                    "ALTERNATES: disconnects twice"
                );
                self.asterisk.hang_up();
                self.connecting = None;
            }
            session::Output::Up(facts) => {
                if self.is_up {
                    // A late FullyBooted: more may have been found out, and nothing is taken back.
                    let before = &self.facts;
                    assert_ne!(facts, *before, "ALTERNATES: up twice");
                    assert!(
                        facts.chan_sip || !before.chan_sip,
                        "ALTERNATES: chan_sip lost"
                    );
                    assert!(facts.pjsip || !before.pjsip, "ALTERNATES: PJSIP lost");
                }
                self.is_up = true;
                self.facts = facts.clone();
                self.engine.handle_up(facts);
            }
            session::Output::Down => {
                assert!(self.is_up, "ALTERNATES: down twice");
                self.is_up = false;
                self.hints.clear();
                self.doubt_all();
                self.engine.handle_down();
            }
            session::Output::Event(event) => {
                self.learn(&event);
                self.engine.handle_event(event, self.now);
            }
            session::Output::Done(ask, result) => {
                let asked = self.asked.remove(&ask);
                let (conn, _) = asked.unwrap_or_else(|| panic!("ONE_ANSWER: {ask:?} again"));
                self.engine.handle_done(ask, result, self.now);
                return conn;
            }
            session::Output::Note(_) => {}
        }
        None
    }
}
