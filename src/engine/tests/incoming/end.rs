//! The end of a transfer: what is said of a caller who is gone, and of one who is still there.

use super::*;

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
