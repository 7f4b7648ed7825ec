//! All of salara but its sockets, in the place of the module.

use std::rc::Rc;
use std::time::Instant;

use salara::agi::{self, Command, Environment};
use salara::ami::OwnedMessage;
use salara::ami::action::Action;
use salara::ami::codec::{Decoder, Item};
use salara::ami::event::Event;
use salara::ami::instance::Instance;
use salara::ami::session::{Facts, Response};
use salara::channel::Post;
use salara::engine::{ConnId, Decision, Engine, Output};

use crate::lookup::look_up;
use crate::play::World;
use crate::recording::{Call, Incoming, Recording};

/// All of salara but its sockets, between a REST client, Asterisk and the CRM.
pub struct Whole<'a> {
    engine: Engine,
    recording: &'a Recording,
    is_local: bool,
    /// Where each caller was sent, and the words of the log.
    pub decided: Vec<(Option<String>, String)>,
}

impl<'a> Whole<'a> {
    pub fn new(recording: &'a Recording) -> Self {
        let config = Rc::new(recording.config.clone());
        Self {
            engine: Engine::new(config, Instance::new(1_795_376_511, 1)),
            recording,
            is_local: false,
            decided: Vec::new(),
        }
    }

    /// The state of a hint, as the module's console had it in the recordings.
    fn hint(&self, extension: &str) -> (i32, &'static str) {
        let has_1234 = self.recording.name.ends_with("-1234hint");
        match extension {
            "0000" | "000" | "00" | "0" | "710" | "711" | "8002" => (0, "Idle"),
            "1234" if has_1234 => (0, "Idle"),
            "8009" => (4, "Unavailable"),
            "8500" => (2, "Busy"),
            _ => (-1, "Unknown"),
        }
    }

    /// The dialplan does as it is told. A Local channel cannot be sent anywhere.
    fn obey(&mut self, conn: ConnId, command: &Command, now: Instant) {
        let answer = |value: Option<&str>| {
            agi::Event::Answer(agi::Answer {
                code: 200,
                result: Some(value.is_some().into()),
                value: value.map(Into::into),
            })
        };
        let event = match command {
            Command::Get(name) if &**name == "TRANSFERSTATUS" => match self.is_local {
                true => answer(Some("UNSUPPORTED")),
                false => agi::Event::Gone(agi::Gone::HungUp),
            },
            _ => answer(None),
        };
        self.engine.handle_agi(conn, event, now);
    }

    /// What is asked for; what is told is checked on the way.
    fn asked(&mut self, reply: &str) -> Option<(salara::ami::instance::Ask, Action)> {
        let mut asked = None;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Act(ask, action) => asked = Some((ask, action)),
                Output::Reply(_, told) => assert_eq!(told.body(), reply),
                Output::Post(_) | Output::Note(_) => {}
                output @ (Output::LookUp(_) | Output::Tell(..) | Output::HandBack(_)) => {
                    panic!("nobody calls in: {output:?}")
                }
            }
        }
        asked
    }
}

impl World for Whole<'_> {
    fn up(&mut self, version: &str) {
        self.engine.handle_up(Facts {
            ami_version: version.into(),
            asterisk_version: None,
            chan_sip: true,
            pjsip: false,
        });
    }

    fn call(&mut self, call: &Call, now: Instant) -> Option<String> {
        let conn = ConnId {
            slot: 0,
            generation: 0,
        };
        self.engine.handle_request(conn, call.request.clone(), now);
        let (ask, _) = self.asked(&call.reply)?;
        let state = format!(
            "Response: Success\r\nExten: {0}\r\nContext: alnik\r\nHint: SIP/{0}\r\nStatus: {1}\r\n\
             StatusText: {2}\r\n\r\n",
            call.operator, call.state, call.text
        );
        self.engine
            .handle_done(ask, Ok(response(&state, true)), now);
        let (ask, action) = self.asked(&call.reply)?;
        let Action::Originate(originate) = action else {
            panic!("{action:?}");
        };
        let answer = match call.leg {
            Some(_) => {
                "Response: Success\r\nMessage: Originate successfully queued\r\n\r\n".to_owned()
            }
            None => "Response: Error\r\nMessage: Originate failed\r\n\r\n".to_owned(),
        };
        let response = response(&answer, call.leg.is_some());
        self.engine.handle_done(ask, Ok(response), now);
        while self.engine.poll_output().is_some() {}
        Some(originate.channel_id.into())
    }

    fn incoming(&mut self, call: &Incoming, now: Instant) {
        let conn = ConnId {
            slot: 1,
            generation: self.decided.len(),
        };
        let (tech, _) = call.channel.split_once('/').unwrap();
        self.is_local = tech == "Local";
        // So AGI says that there is none.
        let caller = call.caller.replace("<unknown>", "");
        let facts = Environment {
            channel: call.channel.as_str().into(),
            uniqueid: call.uniqueid.as_str().into(),
            tech: tech.into(),
            caller: caller.into(),
            context: call.context.as_str().into(),
            extension: call.extension.as_str().into(),
        };
        let event = agi::Event::Call(Box::new(facts));
        self.engine.handle_agi(conn, event, now);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::LookUp(question) => {
                    assert_eq!(*question.caller, *call.caller);
                    let found = look_up(self.recording, call);
                    self.engine.handle_found(question.call, found, now);
                }
                Output::Act(ask, Action::ExtensionState { extension, context }) => {
                    assert_eq!(context.as_str(), "alnik");
                    let (state, text) = self.hint(extension.as_str());
                    let text = format!(
                        "Response: Success\r\nStatus: {state}\r\nStatusText: {text}\r\n\r\n"
                    );
                    self.engine.handle_done(ask, Ok(response(&text, true)), now);
                }
                Output::Tell(conn, command) => self.obey(conn, &command, now),
                Output::Note(decision) => {
                    let words = decision.to_string();
                    let Decision::Incoming { to, .. } = decision else {
                        panic!("{words}")
                    };
                    let to = to.map(|to| to.as_str().to_owned());
                    self.decided.push((to, words));
                }
                Output::HandBack(_) => {}
                output => panic!("{output:?}"),
            }
        }
        assert_eq!(self.decided.len(), conn.generation + 1);
    }

    fn event(&mut self, event: Event, now: Instant) -> Option<Post> {
        self.engine.handle_event(event, now);
        let mut posted = None;
        while let Some(output) = self.engine.poll_output() {
            if let Output::Post(post) = output {
                assert_eq!(posted.replace(post), None, "one event, two posts");
            }
        }
        posted
    }

    fn timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }
}

fn response(text: &str, success: bool) -> Response {
    let mut decoder = Decoder::new();
    decoder.push(b"Asterisk Call Manager/5.0.4\r\n");
    decoder.push(text.as_bytes());
    let mut head: Option<OwnedMessage> = None;
    while let Some(item) = decoder.next().unwrap() {
        if let Item::Message(message) = item {
            head = Some(message.to_owned());
        }
    }
    Response {
        success,
        head: head.unwrap(),
        items: Vec::new(),
        is_cut: false,
    }
}
