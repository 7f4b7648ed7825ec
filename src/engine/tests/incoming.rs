//! Incoming calls: what the CRM, Asterisk and the dialplan are asked and told, in which order.

use super::*;
use crate::agi::{Answer, Command, Environment, Event as Agi, Gone};
use crate::ami::codec::{Decoder, Item};
use crate::crm::Said;

const CONN: ConnId = ConnId {
    slot: 7,
    generation: 1,
};
const FOUND: &str = r#"{"personal_manager_internal_phone":"8002"}"#;
const URI: &str = "GET CHANNEL(pjsip,request_uri)";
const ASK: &str = "ExtensionState Exten=8002 Context=alnik";
const TRANSFER: &str = "EXEC Transfer PJSIP/sip:8002@127.0.0.1:15060";

fn facts() -> Environment {
    Environment {
        channel: "PJSIP/trunk-00000008".into(),
        uniqueid: "1795377242.8".into(),
        tech: "PJSIP".into(),
        caller: "79161234567".into(),
        context: "alnik".into(),
        extension: "5000".into(),
    }
}

fn said(status: u16, body: &str) -> Result<Said, String> {
    let body = body.as_bytes().to_vec();
    Ok(Said { status, body })
}

fn answer(code: u16, result: i32, value: Option<&str>) -> Agi {
    Agi::Answer(Answer {
        code,
        result: Some(result),
        value: value.map(Into::into),
    })
}

/// Asterisk's answer to the question for a hint.
fn hint(status: i32, text: &str) -> Response {
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

fn spell(command: &Command) -> String {
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
    fn hears(&mut self, event: Agi) {
        self.engine.handle_agi(CONN, event, self.now);
        self.drain();
    }

    fn finds(&mut self, found: Result<Said, String>) {
        self.engine.handle_found(CONN, found, self.now);
        self.drain();
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    /// The one command that is open; `end` when the call was handed back.
    #[track_caller]
    fn told(&mut self) -> String {
        assert_eq!(self.told.len(), 1, "{:?}", self.told);
        let (conn, command) = self.told.pop_front().unwrap();
        assert_eq!(conn, CONN);
        command.map_or_else(|| "end".to_owned(), |command| spell(&command))
    }

    /// The one command that is open is done; what it was.
    #[track_caller]
    fn done(&mut self) -> String {
        let told = self.told();
        if told != "end" {
            self.hears(answer(200, 1, None));
        }
        told
    }

    /// All commands up to this one, which stays open, or to the end.
    #[track_caller]
    fn until(&mut self, last: &str) -> Vec<String> {
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
    fn state(&mut self, question: &str, status: i32, text: &str) {
        let (ask, asked) = self.asked();
        assert_eq!(asked, question);
        self.answer(ask, Ok(hint(status, text)));
    }

    fn tracked(&self) -> Vec<(&str, &str, &str)> {
        let records = self.engine.channels.records();
        records
            .map(|(id, record)| (id, &*record.caller, &*record.extension))
            .collect()
    }
}

/// A call has come in, its phone's address is known, and the CRM is asked.
fn called(lines: &str) -> Play {
    let mut play = Play::on(PJSIP, lines);
    play.hears(Agi::Call(Box::new(facts())));
    if play.told() == URI {
        let uri = "sip:5000@127.0.0.1:15060";
        play.hears(answer(200, 1, Some(uri)));
    }
    play
}

/// Another channel begins.
fn newchannel(id: &str, caller: &str, extension: &str) -> Event {
    Event::Newchannel(crate::ami::event::Snapshot {
        name: "PJSIP/trunk-00000009".into(),
        uniqueid: id.into(),
        linkedid: id.into(),
        caller: caller.into(),
        extension: extension.into(),
        state: 4,
    })
}

#[test]
fn a_call_is_looked_up_checked_and_transferred() {
    let mut play = called("");
    let question = play.questions.pop_front().unwrap();
    assert_eq!((question.call, &*question.caller), (CONN, "79161234567"));
    assert_eq!(question.until, play.now + Duration::from_secs(3));
    assert!(play.is_quiet() && play.told.is_empty());
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    assert_eq!(
        play.until(TRANSFER),
        [
            "SET SALARA_DEST=8002",
            "SET SALARA_REASON=crm",
            "SET SALARA_RESULT=TRANSFERRED",
            "SET TRANSFERSTATUS=",
        ]
    );
    // The caller may be back before Asterisk says that it is gone.
    play.happens(newchannel("1795377242.9", "79161234567", "8002"));
    assert_eq!(play.tracked(), [("1795377242.9", "79161234567", "8002")]);
    assert_eq!(play.done(), TRANSFER);
    assert_eq!(play.told(), "GET TRANSFERSTATUS");
    assert_eq!(play.notes(), [""; 0]);
    play.hears(Agi::Gone(Gone::HungUp));
    assert_eq!(
        play.notes(),
        ["PJSIP/trunk-00000008 [1795377242.8]: 79161234567: transferred to 8002 (crm)"]
    );
    assert!(play.told.is_empty() && play.engine.incoming.is_empty());
}

#[test]
fn a_channel_that_outlives_its_transfer_is_hung_up() {
    for is_answered in [true, false] {
        let mut play = called("");
        play.finds(said(200, FOUND));
        play.state(ASK, 0, "Idle");
        play.until("GET TRANSFERSTATUS");
        play.told();
        play.hears(answer(200, 1, Some("SUCCESS")));
        assert_eq!(play.told(), "HANGUP");
        match is_answered {
            true => {
                play.hears(answer(200, 1, None));
                assert_eq!(play.told(), "end");
            }
            false => play.hears(Agi::Gone(Gone::HungUp)),
        }
        assert!(play.notes()[0].ends_with("transferred to 8002 (crm)"));
        assert!(play.told.is_empty() && play.engine.incoming.is_empty());
    }
}

#[test]
fn a_session_that_closes_during_the_transfer_is_said_to_have_done_so() {
    // With AGISIGHUP=no there is no HANGUP after a 302.
    for (gone, why) in [
        (Gone::Closed, "Asterisk closed the AGI session"),
        (Gone::Silent, "Asterisk does not answer over AGI"),
    ] {
        let mut play = called("");
        play.finds(said(200, FOUND));
        play.state(ASK, 0, "Idle");
        play.until(TRANSFER);
        play.told();
        play.hears(Agi::Gone(gone));
        let note = play.notes().remove(0);
        let wanted = format!("79161234567: {why} during its transfer to 8002");
        assert!(note.ends_with(&wanted), "{note}");
        // It may be there.
        play.happens(newchannel("1.9", "79161234567", "8002"));
        assert_eq!(play.tracked().len(), 1);
    }
}

#[test]
fn who_waits_for_asterisk_s_answer_when_salara_stops_is_told_so_and_noted() {
    let stopping = |told: Vec<String>| {
        assert_eq!(
            told,
            [
                "SET SALARA_DEST=",
                "SET SALARA_REASON=salara is stopping",
                "SET SALARA_RESULT=ERROR",
                "end"
            ]
        );
    };
    // The address is asked for, and not answered yet; then it is not asked for any more.
    let mut play = Play::on(PJSIP, "");
    play.hears(Agi::Call(Box::new(facts())));
    assert_eq!(play.told(), URI);
    play.engine.handle_stop(play.now);
    play.drain();
    assert!(play.told.is_empty());
    play.hears(answer(200, 0, None));
    stopping(play.until(""));
    // Who comes in this moment is not asked about.
    let mut play = Play::on(PJSIP, "");
    play.engine.handle_stop(play.now);
    play.hears(Agi::Call(Box::new(facts())));
    assert!(play.questions.is_empty());
    stopping(play.until(""));
    // The end comes before Asterisk answers.
    for (steps, note) in [
        (0, "salara has stopped before it was transferred"),
        (9, "salara has stopped during its transfer to 8002"),
    ] {
        let mut play = called("");
        if steps > 0 {
            play.finds(said(200, FOUND));
            play.state(ASK, 0, "Idle");
            play.until(TRANSFER);
        } else {
            play = Play::on(PJSIP, "");
            play.hears(Agi::Call(Box::new(facts())));
        }
        play.engine.handle_stop(play.now);
        play.engine.handle_end();
        play.drain();
        let notes = play.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].ends_with(note), "{notes:?}");
        assert!(play.engine.incoming.is_empty());
    }
}

#[test]
fn what_asterisk_refuses_is_corrected_and_not_tracked() {
    let why = [
        ("FAILURE", "8002: Asterisk's Transfer says FAILURE"),
        ("UNSUPPORTED", "8002: Asterisk's Transfer says UNSUPPORTED"),
    ];
    for (status, why) in why {
        let mut play = called("");
        play.finds(said(200, FOUND));
        play.state(ASK, 0, "Idle");
        play.until("GET TRANSFERSTATUS");
        play.told();
        play.hears(answer(200, 1, Some(status)));
        assert_eq!(
            play.until(""),
            [
                "SET SALARA_DEST=",
                &format!("SET SALARA_REASON={why}"),
                "SET SALARA_RESULT=FAILED",
                "end",
            ]
        );
        let note = play.notes().remove(0);
        assert!(
            note.ends_with(&format!("FAILED, the dialplan goes on: {why}")),
            "{note}"
        );
        play.happens(newchannel("1.9", "79161234567", "8002"));
        assert_eq!(play.tracked(), []);
    }
}

#[test]
fn a_caller_whose_transfer_was_refused_is_not_hung_up() {
    for (exec, status, why) in [
        (
            answer(510, 0, None),
            None,
            "Asterisk answers 510 to Transfer",
        ),
        (
            answer(511, 0, None),
            None,
            "Asterisk answers 511 to Transfer",
        ),
        (
            answer(520, 0, None),
            None,
            "Asterisk answers 520 to Transfer",
        ),
        (
            answer(200, -1, None),
            None,
            "Asterisk's Transfer fails with -1",
        ),
        (
            answer(200, -2, None),
            None,
            "Asterisk has no application Transfer",
        ),
        (
            answer(200, 0, None),
            Some(answer(200, 0, None)),
            "Asterisk does not say whether it was transferred",
        ),
        (
            answer(200, 0, None),
            Some(answer(200, 1, Some(""))),
            "Asterisk does not say whether it was transferred",
        ),
        (
            answer(200, 0, None),
            Some(answer(510, 0, None)),
            "Asterisk does not say whether it was transferred",
        ),
    ] {
        let mut play = called("");
        play.finds(said(200, FOUND));
        play.state(ASK, 0, "Idle");
        play.until(TRANSFER);
        play.told();
        play.hears(exec);
        if let Some(status) = status {
            assert_eq!(play.told(), "GET TRANSFERSTATUS");
            play.hears(status);
        }
        let told = play.until("");
        assert_eq!(told[2..], ["SET SALARA_RESULT=FAILED", "end"], "{why}");
        let note = play.notes().remove(0);
        let wanted = format!("FAILED, the dialplan goes on: 8002: {why}");
        assert!(note.ends_with(&wanted), "{note}");
        play.happens(newchannel("1.9", "79161234567", "8002"));
        assert_eq!(play.tracked(), [], "{why}");
    }
}

#[test]
fn a_call_goes_on_in_its_channel_and_is_tracked_at_once() {
    let mut play = Play::on(PJSIP, "[general]\ntransfer=goto\n");
    play.hears(Agi::Call(Box::new(facts())));
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    assert_eq!(
        play.until(""),
        [
            "GET DIALPLAN_EXISTS(alnik,8002,1)",
            "SET SALARA_DEST=8002",
            "SET SALARA_REASON=crm",
            "SET SALARA_RESULT=TRANSFERRED",
            "CONTEXT alnik",
            "EXTENSION 8002",
            "PRIORITY 1",
            "end",
        ]
    );
    assert_eq!(play.tracked(), [("1795377242.8", "79161234567", "8002")]);
    assert!(play.notes()[0].ends_with("transferred to 8002 (crm)"));
    // What is not in the dialplan would end in silence.
    let mut play = Play::on(PJSIP, "[general]\ntransfer=goto\n");
    play.hears(Agi::Call(Box::new(facts())));
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    play.told();
    play.hears(answer(200, 1, Some("0")));
    let told = play.until("");
    assert_eq!(told.last().unwrap(), "end");
    assert!(
        told.contains(&"SET SALARA_RESULT=NOTAVAILABLE".to_owned()),
        "{told:?}"
    );
    assert!(play.notes()[0].ends_with("there is no extension 8002 in alnik"));
    assert_eq!(play.tracked(), []);
}

/// A call that is to go on in its channel, up to this command, which is open.
fn going(last: &str) -> Play {
    let mut play = Play::on(PJSIP, "[general]\ntransfer=goto\n");
    play.hears(Agi::Call(Box::new(facts())));
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    play.until(last);
    assert_eq!(play.told(), last);
    play
}

fn hangup(id: &str) -> Event {
    let Event::Newchannel(channel) = newchannel(id, "79161234567", "8002") else {
        unreachable!()
    };
    Event::Hangup(channel)
}

#[test]
fn a_call_that_asterisk_did_not_let_go_on_there_stays_where_it_was() {
    for step in ["CONTEXT alnik", "EXTENSION 8002", "PRIORITY 1"] {
        for code in [510, 511, 520] {
            let mut play = going(step);
            play.hears(answer(code, 0, None));
            assert_eq!(
                play.until(""),
                [
                    "SET SALARA_DEST=",
                    &format!("SET SALARA_REASON=8002: Asterisk answers {code} to goto"),
                    "SET SALARA_RESULT=FAILED",
                    "CONTEXT alnik",
                    "EXTENSION 5000",
                    "end",
                ]
            );
            let note = play.notes().remove(0);
            assert!(note.contains("FAILED, the dialplan goes on"), "{note}");
            assert_eq!(play.tracked(), [], "{step}");
        }
    }
}

#[test]
fn a_call_that_goes_on_is_tracked_no_longer_than_its_channel_lives() {
    // Its end is told before the last answer is read.
    let mut play = going("PRIORITY 1");
    play.happens(hangup("1795377242.8"));
    play.hears(answer(200, 0, None));
    assert_eq!(play.told(), "end");
    assert_eq!(play.tracked(), []);
    assert!(play.notes()[0].ends_with("the caller hung up before it was transferred"));
    // It hangs up while it is told where to go.
    for step in [
        "SET SALARA_RESULT=TRANSFERRED",
        "CONTEXT alnik",
        "PRIORITY 1",
    ] {
        let mut play = going(step);
        play.hears(Agi::Gone(Gone::HungUp));
        play.happens(hangup("1795377242.8"));
        assert_eq!(play.tracked(), [], "{step}");
    }
    // Another's end is another's.
    let mut play = going("PRIORITY 1");
    play.happens(hangup("1795377242.7"));
    play.hears(answer(200, 0, None));
    assert_eq!(play.tracked().len(), 1);
    play.happens(hangup("1795377242.8"));
    assert_eq!(play.tracked(), []);
}

#[test]
fn a_state_that_is_not_good_leads_to_the_route_and_then_to_the_dialplan() {
    let mut play = called("[route]\n79161234567:0000\n");
    play.finds(said(200, FOUND));
    play.state(ASK, 1, "InUse");
    play.state("ExtensionState Exten=0000 Context=alnik", 2, "Busy");
    assert_eq!(
        play.until(""),
        [
            "SET SALARA_DEST=",
            "SET SALARA_REASON=8002 is InUse; route 0000 is Busy",
            "SET SALARA_RESULT=NOTAVAILABLE",
            "end",
        ]
    );
    let note = play.notes().remove(0);
    assert!(
        note.contains("NOTAVAILABLE, the dialplan goes on: 8002 is InUse"),
        "{note}"
    );
}

#[test]
fn without_asterisk_s_word_the_dialplan_goes_on_with_an_error() {
    let errors = |play: &mut Play, why: &str| {
        let told = play.until("");
        assert_eq!(
            told[1..],
            [
                &format!("SET SALARA_REASON={why}"),
                "SET SALARA_RESULT=ERROR",
                "end"
            ]
        );
        assert!(
            play.notes()
                .concat()
                .contains(&format!("ERROR, the dialplan goes on: {why}"))
        );
    };
    // No link.
    let mut play = called("");
    play.down();
    play.finds(said(200, FOUND));
    errors(&mut play, "Asterisk's AMI is not reachable");
    // The link is lost while the question is on its way.
    let mut play = called("");
    play.finds(said(200, FOUND));
    let (ask, _) = play.asked();
    play.answer(ask, Err(ActionError::LinkDown));
    let told = play.until("");
    assert!(
        told.contains(&"SET SALARA_RESULT=ERROR".to_owned()),
        "{told:?}"
    );
    // The account may not ask.
    let mut play = called("");
    play.finds(said(200, FOUND));
    let (ask, _) = play.asked();
    let denied = recorded("denied", "lab-2");
    assert!(!denied.success);
    play.answer(ask, Ok(denied));
    assert!(
        play.until("")
            .contains(&"SET SALARA_RESULT=ERROR".to_owned())
    );
    assert!(play.notes()[0].contains("Asterisk refuses ExtensionState"));
    // It does not answer.
    let mut play = called("");
    play.finds(said(200, FOUND));
    play.passes(Duration::from_secs(4));
    errors(&mut play, "Asterisk does not answer in time");
    // salara ends.
    let mut play = called("");
    play.engine.handle_stop(play.now);
    play.drain();
    errors(&mut play, "salara is stopping");
}

#[test]
fn no_caller_waits_longer_than_the_crm_may_take_and_a_second() {
    let mut play = called("[general]\ncurlopt_timeout=2\n[route]\n79161234567:0000\n");
    let began = play.now;
    // The client that asks says it at the second; only its silence is waited out.
    assert!(play.engine.poll_timeout().unwrap() > began + Duration::from_secs(2));
    play.now = play.engine.poll_timeout().unwrap();
    play.passes(Duration::ZERO);
    let (_, asked) = play.asked();
    assert_eq!(asked, "ExtensionState Exten=0000 Context=alnik");
    assert_eq!(
        play.engine.poll_timeout(),
        Some(began + Duration::from_secs(3))
    );
    // A late answer of the CRM changes nothing.
    play.finds(said(200, FOUND));
    assert!(play.asked.is_empty() && play.told.is_empty());
}

#[test]
fn a_caller_who_hangs_up_ends_it_at_each_step() {
    let steps: [fn(&mut Play); 5] = [
        |_| {},
        |play| play.finds(said(200, FOUND)),
        |play| {
            play.finds(said(200, FOUND));
            play.state(ASK, 0, "Idle");
        },
        |play| {
            play.finds(said(200, FOUND));
            play.state(ASK, 0, "Idle");
            play.done();
        },
        |play| play.finds(Err("down".to_owned())),
    ];
    for step in steps {
        let mut play = called("");
        step(&mut play);
        play.hears(Agi::Gone(Gone::HungUp));
        let notes = play.notes();
        assert!(
            notes[0].ends_with("the caller hung up before it was transferred"),
            "{notes:?}"
        );
        assert!(play.engine.incoming.is_empty());
        play.told.clear();
        // What comes late finds nobody.
        play.finds(said(200, FOUND));
        while let Some((ask, _)) = play.asked.pop_front() {
            play.answer(ask, Ok(hint(0, "Idle")));
        }
        play.passes(Duration::from_secs(10));
        assert!(play.told.is_empty() && play.is_quiet());
        assert_eq!(play.tracked(), []);
    }
}

#[test]
fn who_has_no_number_is_not_asked_about() {
    let mut play = Play::on(PJSIP, "[general]\ndefault=710\n");
    let mut facts = facts();
    facts.caller = "".into();
    play.hears(Agi::Call(Box::new(facts)));
    assert!(play.questions.is_empty());
    assert_eq!(play.told(), URI);
    // Asterisk's answers come in any order.
    play.state("ExtensionState Exten=710 Context=alnik", 0, "Idle");
    assert!(play.told.is_empty());
    play.hears(answer(200, 0, None));
    assert_eq!(play.told(), "GET SIPDOMAIN");
    play.hears(answer(200, 1, Some("pbx.example.com")));
    let transfer = "EXEC Transfer PJSIP/sip:710@pbx.example.com";
    assert_eq!(
        play.until(transfer)[1],
        "SET SALARA_REASON=default: the caller has no number"
    );
}

#[test]
fn a_redirect_that_would_lead_nowhere_is_not_sent() {
    let mut play = Play::on(PJSIP, "");
    play.hears(Agi::Call(Box::new(facts())));
    play.told();
    play.hears(answer(520, 0, None));
    play.told();
    play.hears(answer(200, 0, None));
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    let told = play.until("");
    assert_eq!(told[2..], ["SET SALARA_RESULT=FAILED", "end"]);
    assert!(play.notes()[0].ends_with("the address the caller has dialled is not known"));
}

#[test]
fn chan_sip_is_told_a_name_and_asked_nothing() {
    let mut play = Play::on(CHAN_SIP, "");
    let mut facts = facts();
    facts.tech = "SIP".into();
    play.hears(Agi::Call(Box::new(facts)));
    assert!(play.told.is_empty());
    play.finds(said(200, FOUND));
    play.state(ASK, 0, "Idle");
    assert_eq!(play.until("EXEC Transfer SIP/8002").len(), 4);
}

#[test]
fn what_the_crm_says_of_the_caller_reaches_the_dialplan() {
    let mut play = called("");
    play.finds(said(
        500,
        r#"{"personal_manager_internal_phone":"8002","callerid_name":"Client",
        "variables":{"CRM_CLIENT":"77"}}"#,
    ));
    play.state(ASK, 0, "Idle");
    assert_eq!(
        play.until(TRANSFER)[..2],
        ["SET CALLERID(name)=Client", "SET CRM_CLIENT=77"]
    );
    play.hears(Agi::Gone(Gone::HungUp));
    let note = play.notes().remove(0);
    assert!(
        note.contains("the CRM answered 500, and its answer was taken") || note.contains("hung up")
    );
}

#[test]
fn callers_do_not_crowd_out_requests() {
    let mut play = Play::on(PJSIP, "[general]\ndefault=710\n");
    for slot in 0..MAX_JOBS + 1 {
        let conn = ConnId {
            slot,
            generation: 9,
        };
        let mut facts = facts();
        facts.caller = "".into();
        play.engine
            .handle_agi(conn, Agi::Call(Box::new(facts)), play.now);
    }
    play.drain();
    assert_eq!(play.asked.len(), MAX_JOBS + 1);
    play.asked.clear();
    play.post(r#"{"exten":"8003"}"#);
    assert!(play.replies.is_empty());
    assert_eq!(play.asked().1, "ExtensionState Exten=8003 Context=alnik");
}
