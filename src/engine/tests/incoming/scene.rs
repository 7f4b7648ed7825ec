//! A call and those who have a part in it: the dialplan, the CRM, Asterisk.

use super::super::*;
use crate::agi::{Answer, Command, Environment, Event as Agi};
use crate::ami::codec::{Decoder, Item};
use crate::crm::Said;

pub(super) const CONN: ConnId = ConnId {
    slot: 7,
    generation: 1,
};
pub(super) const FOUND: &str = r#"{"personal_manager_internal_phone":"8002"}"#;
pub(super) const URI: &str = "GET CHANNEL(pjsip,request_uri)";
pub(super) const ASK: &str = "ExtensionState Exten=8002 Context=alnik";
pub(super) const TRANSFER: &str = "EXEC Transfer PJSIP/sip:8002@127.0.0.1:15060";

pub(super) fn facts() -> Environment {
    Environment {
        channel: "PJSIP/trunk-00000008".into(),
        uniqueid: "1795377242.8".into(),
        tech: "PJSIP".into(),
        caller: "79161234567".into(),
        context: "alnik".into(),
        extension: "5000".into(),
    }
}

pub(super) fn said(status: u16, body: &str) -> Result<Said, String> {
    let body = body.as_bytes().to_vec();
    Ok(Said { status, body })
}

pub(super) fn answer(code: u16, result: i32, value: Option<&str>) -> Agi {
    Agi::Answer(Answer {
        code,
        result: Some(result),
        value: value.map(Into::into),
    })
}

/// Asterisk's answer to the question for a hint.
pub(super) fn hint(status: i32, text: &str) -> Response {
    let mut decoder = Decoder::new();
    let lines = format!(
        "Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nStatus: {status}\r\nStatusText: {text}\r\n\r\n"
    );
    decoder.push(lines.as_bytes());
    assert!(matches!(decoder.next(), Ok(Some(Item::Banner(_)))));
    let Ok(Some(Item::Message(message))) = decoder.next() else {
        panic!("{lines}")
    };
    Response {
        success: true,
        head: message.to_owned(),
        items: Vec::new(),
        is_cut: false,
    }
}

pub(super) fn spell(command: &Command) -> String {
    match command {
        Command::Set { name, value } => format!("SET {name}={value}"),
        Command::Get(name) => format!("GET {name}"),
        Command::Exec {
            application,
            argument,
        } => format!("EXEC {application} {argument}"),
        Command::Context(context) => format!("CONTEXT {context}"),
        Command::Extension(extension) => format!("EXTENSION {extension}"),
        Command::First => "PRIORITY 1".to_owned(),
        Command::HangUp => "HANGUP".to_owned(),
    }
}

impl Play {
    pub(super) fn hears(&mut self, event: Agi) {
        self.engine.handle_agi(CONN, event, self.now);
        self.drain();
    }

    pub(super) fn finds(&mut self, found: Result<Said, String>) {
        self.engine.handle_found(CONN, found, self.now);
        self.drain();
    }

    pub(super) fn passes(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    /// The one command that is open; `end` when the call was handed back.
    #[track_caller]
    pub(super) fn told(&mut self) -> String {
        assert_eq!(self.told.len(), 1, "{:?}", self.told);
        let (conn, command) = self.told.pop_front().unwrap();
        assert_eq!(conn, CONN);
        command.map_or_else(|| "end".to_owned(), |command| spell(&command))
    }

    /// The one command that is open is done; what it was.
    #[track_caller]
    pub(super) fn done(&mut self) -> String {
        let told = self.told();
        if told != "end" {
            self.hears(answer(200, 1, None));
        }
        told
    }

    /// All commands up to this one, which stays open, or to the end.
    #[track_caller]
    pub(super) fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while !self.told.is_empty() {
            let (_, next) = self.told.front().unwrap();
            if next.as_ref().is_some_and(|next| spell(next) == last) {
                return all;
            }
            all.push(self.done());
        }
        all
    }

    /// The one question that is open is answered so.
    #[track_caller]
    pub(super) fn state(&mut self, question: &str, status: i32, text: &str) {
        let (ask, asked) = self.asked();
        assert_eq!(asked, question);
        self.answer(ask, Ok(hint(status, text)));
    }

    pub(super) fn tracked(&self) -> Vec<(&str, &str, &str)> {
        let records = self.engine.channels.records();
        records
            .map(|(id, record)| (id, &*record.caller, &*record.extension))
            .collect()
    }
}

/// A call has come in, its phone's address is known, and the CRM is asked.
pub(super) fn called(lines: &str) -> Play {
    let mut play = Play::on(PJSIP, lines);
    play.hears(Agi::Call(Box::new(facts())));
    if play.told() == URI {
        let uri = "sip:5000@127.0.0.1:15060";
        play.hears(answer(200, 1, Some(uri)));
    }
    play
}

/// Another channel begins.
pub(super) fn newchannel(id: &str, caller: &str, extension: &str) -> Event {
    Event::Newchannel(crate::ami::event::Snapshot {
        name: "PJSIP/trunk-00000009".into(),
        uniqueid: id.into(),
        linkedid: id.into(),
        caller: caller.into(),
        extension: extension.into(),
        state: 4,
    })
}
