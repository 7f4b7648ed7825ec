//! Calls that go on in their own channel.

use super::*;

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
