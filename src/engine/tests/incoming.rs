//! Incoming calls: what the CRM, Asterisk and the dialplan are asked and told, in which order.

use super::*;
use crate::agi::{Event as Agi, Gone};
use crate::engine::job::MAX_JOBS;

mod end;
mod goto;
mod scene;

use scene::*;

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
