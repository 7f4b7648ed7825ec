//! The engine against answers a real Asterisk gave, in a test's own time.

use std::time::Duration;

use super::*;
use crate::ami::event::OriginateResponse;
use crate::api;

mod calls;
mod incoming;
mod mirror;
mod recorded;
mod requests;

use recorded::recorded;

/// Asterisk 22 and 16 of the captures, and what an account may ask of neither or both.
const PJSIP: (bool, bool) = (false, true);
const CHAN_SIP: (bool, bool) = (true, false);
const BOTH: (bool, bool) = (true, true);
const NEITHER: (bool, bool) = (false, false);

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

/// An engine, its clients, the Asterisk it asks, and the clock of all.
struct Play {
    engine: Engine,
    config: Rc<Config>,
    now: Instant,
    clients: usize,
    asked: VecDeque<(Ask, Action)>,
    replies: VecDeque<(ConnId, Reply)>,
    questions: VecDeque<Question<ConnId>>,
    /// What AGI sessions were told; none when their calls were handed back.
    told: VecDeque<(ConnId, Option<agi::Command>)>,
    notes: Vec<String>,
}

impl Play {
    /// No link yet. The configuration is the default one, and these lines.
    fn begin(lines: &str) -> Self {
        let parsed = Config::parse(lines);
        assert!(!parsed.has_errors(), "{:?}", parsed.problems);
        let config = Rc::new(parsed.config);
        Self {
            engine: Engine::new(Rc::clone(&config), Instance::new(0x65f2_a01c, 1001)),
            config,
            now: start(),
            clients: 0,
            asked: VecDeque::new(),
            replies: VecDeque::new(),
            questions: VecDeque::new(),
            told: VecDeque::new(),
            notes: Vec::new(),
        }
    }

    /// A link to an Asterisk of these dialects.
    fn on(dialects: (bool, bool), lines: &str) -> Self {
        let mut play = Self::begin(lines);
        play.up(dialects);
        play
    }

    fn up(&mut self, (chan_sip, pjsip): (bool, bool)) {
        self.engine.handle_up(Facts {
            chan_sip,
            pjsip,
            ..Facts::default()
        });
        self.drain();
    }

    fn down(&mut self) {
        self.engine.handle_down();
        self.drain();
    }

    /// A client, each a new one, sends JSON.
    fn post(&mut self, json: &str) -> ConnId {
        let request = api::parse("/", json.as_bytes(), &self.config.keys).unwrap();
        self.clients += 1;
        let conn = ConnId {
            slot: self.clients,
            generation: 0,
        };
        self.engine.handle_request(conn, request, self.now);
        self.drain();
        conn
    }

    /// The one question that is open, as Asterisk reads it: `Status Channel=SIP/8003-1`.
    #[track_caller]
    fn asked(&mut self) -> (Ask, String) {
        assert_eq!(self.asked.len(), 1, "{:?}", self.asked);
        let (ask, action) = self.asked.pop_front().unwrap();
        (ask, spelled(&action))
    }

    fn answer(&mut self, ask: Ask, answer: Result<Response, ActionError>) {
        self.engine.handle_done(ask, answer, self.now);
        self.drain();
    }

    /// The one question that is open gets an answer of a capture.
    #[track_caller]
    fn answers(&mut self, capture: &str, action_id: &str) {
        let (ask, _) = self.asked();
        self.answer(ask, Ok(recorded(capture, action_id)));
    }

    fn happens(&mut self, event: Event) {
        self.engine.handle_event(event, self.now);
        self.drain();
    }

    /// The one reply that has been given since the last look.
    #[track_caller]
    fn reply(&mut self) -> (ConnId, Reply) {
        assert_eq!(self.replies.len(), 1, "{:?}", self.replies);
        self.replies.pop_front().unwrap()
    }

    fn is_quiet(&self) -> bool {
        self.asked.is_empty() && self.replies.is_empty() && self.notes.is_empty()
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Act(ask, action) => self.asked.push_back((ask, action)),
                Output::Reply(conn, reply) => self.replies.push_back((conn, reply)),
                Output::Post(post) => panic!("nobody wants {post:?}"),
                Output::LookUp(question) => self.questions.push_back(question),
                Output::Tell(conn, command) => self.told.push_back((conn, Some(command))),
                Output::HandBack(conn) => self.told.push_back((conn, None)),
                Output::Note(decision) => self.notes.push(decision.to_string()),
            }
        }
    }
}

/// An action's name and headers in one line, its ActionID left out.
fn spelled(action: &Action) -> String {
    let mut wire = Vec::new();
    action.encode("id", &mut wire).unwrap();
    let wire = String::from_utf8(wire).unwrap();
    let headers = wire
        .lines()
        .filter(|line| !line.is_empty() && *line != "ActionID: id");
    let headers: Vec<String> = headers
        .map(|line| line.replacen("Action: ", "", 1).replacen(": ", "=", 1))
        .collect();
    headers.join(" ")
}
