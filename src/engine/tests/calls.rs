//! Calls and messages: what is asked of Asterisk for them, and how their end is told.

use super::*;

const CALL: &str = r#"{"operator":"8003","phone":"000"}"#;
const TEXT: &str = r#"{"operator":"8003","phone":"8002","msg":"hello"}"#;
/// The id of the call that follows the first question.
const ID: &str = "salara-65f2a01c-3e9-2";

/// A client has asked for a call, and its operator is idle.
fn calling(lines: &str) -> (Play, Ask, String) {
    let mut play = Play::on(PJSIP, lines);
    play.post(CALL);
    play.answers("states", "lab-2");
    let (ask, asked) = play.asked();
    (play, ask, asked)
}

/// A call that is on its way.
fn called() -> (Play, Ask) {
    let (mut play, ask, _) = calling("");
    play.answer(ask, Ok(recorded("answered", "lab-2")));
    play.notes();
    play.replies.clear();
    (play, ask)
}

fn ended(action_id: &str, answered: bool, reason: i32) -> Event {
    Event::OriginateResponse(OriginateResponse {
        action_id: action_id.into(),
        uniqueid: if answered { action_id } else { "<unknown>" }.into(),
        channel: if answered {
            "PJSIP/8003-00000004"
        } else {
            "PJSIP/8003"
        }
        .into(),
        answered,
        reason,
    })
}

#[test]
fn a_call_rings_the_hint_s_device_and_its_reply_names_it() {
    let (mut play, _, asked) = calling("[event]\ntimeout_makecall=20\n");
    assert_eq!(
        asked,
        format!(
            "Originate Channel=PJSIP/8003 Context=alnik Exten=000 Priority=1 CallerID=8003 \
             Timeout=20000 ChannelId={ID} Async=true"
        )
    );
    let (_, reply) = play.reply();
    let wanted = Reply::state(0, "Idle")
        .with("Salara-ActionID", ID)
        .with("Salara-Channel", "PJSIP/8003")
        .with("Salara-Uniqueid", ID);
    assert_eq!(reply, wanted);
    assert_eq!(
        play.notes(),
        [format!("PJSIP/8003 [{ID}]: calling, then 000")]
    );
}

#[test]
fn a_call_to_a_hint_without_a_device_rings_the_extension_on_the_stack_there_is() {
    for (on, lines, channel) in [
        (CHAN_SIP, "", "SIP/8003"),
        (PJSIP, "", "PJSIP/8003"),
        (BOTH, "", "PJSIP/8003"),
        (NEITHER, "", "PJSIP/8003"),
        (PJSIP, "[general]\ntech=SIP\n", "SIP/8003"),
    ] {
        let mut play = Play::on(on, lines);
        play.post(CALL);
        // The hint is `Custom:d0000`.
        play.answers("16", "g007");
        let (_, asked) = play.asked();
        let wanted = format!("Originate Channel={channel} Context=");
        assert!(asked.starts_with(&wanted), "{asked}");
    }
}

#[test]
fn a_state_that_is_not_good_stops_a_call_and_a_message() {
    for (request, what) in [(CALL, "call"), (TEXT, "message")] {
        for (answer, state) in [
            ("lab-9", "InUse"),
            ("lab-3", "Unavailable"),
            ("lab-4", "Unknown"),
        ] {
            let mut play = Play::on(PJSIP, "[url]\ngood_status=0\n");
            play.post(request);
            play.answers("states", answer);
            assert_eq!(
                play.notes(),
                [format!("8003: no {what}, its state is {state}")]
            );
            let (_, reply) = play.reply();
            assert_eq!((&*reply.text, reply.facts.len()), (state, 0));
            assert!(play.is_quiet());
        }
    }
}

#[test]
fn a_call_s_end_is_told_once() {
    let answered = format!("PJSIP/8003-00000004 [{ID}]: answered");
    let failed = |why: &str| format!("PJSIP/8003 [{ID}]: not answered: {why}");
    for (how, reason, wanted) in [
        (true, 4, answered),
        (
            false,
            0,
            failed("no device took it: refused, not registered, or unknown"),
        ),
        (false, 1, failed("hung up")),
        (false, 3, failed("no answer")),
        (false, 5, failed("busy")),
        (false, 8, failed("congestion")),
    ] {
        let (mut play, _) = called();
        play.happens(ended(ID, how, reason));
        assert_eq!(play.notes(), [wanted]);
        play.happens(ended(ID, how, reason));
        play.happens(ended(ID, !how, reason));
        assert!(play.is_quiet());
        assert_eq!(play.engine.poll_timeout(), None);
    }
}

#[test]
fn a_call_s_end_may_overtake_the_answer_to_its_action() {
    let (mut play, ask, _) = calling("");
    play.notes();
    play.replies.clear();
    play.happens(ended(ID, false, 0));
    assert_eq!(play.notes().len(), 1);
    play.answer(ask, Ok(recorded("answered", "lab-2")));
    assert!(play.is_quiet());
}

#[test]
fn a_call_asterisk_refuses_has_ended() {
    for (answer, why) in [
        (
            Ok(recorded("no extension", "lab-2")),
            "Extension does not exist.",
        ),
        (Err(ActionError::Timeout), "Asterisk did not answer in time"),
        (Err(ActionError::LinkDown), "Asterisk is not reachable"),
    ] {
        let (mut play, ask, _) = calling("");
        play.notes();
        play.replies.clear();
        play.answer(ask, answer);
        assert_eq!(
            play.notes(),
            [format!("PJSIP/8003 [{ID}]: not answered: {why}")]
        );
        // The reply was given before; what Asterisk says later is no news.
        play.happens(ended(ID, true, 4));
        assert!(play.is_quiet());
    }
}

#[test]
fn an_account_that_may_not_originate_is_told_what_it_lacks() {
    let (mut play, ask, _) = calling("");
    play.notes();
    play.answer(ask, Ok(recorded("denied", "lab-2")));
    assert_eq!(
        play.notes(),
        [
            "Asterisk refuses Originate: the account needs write=originate in manager.conf",
            &format!("PJSIP/8003 [{ID}]: not answered: the AMI account may not do this"),
        ]
    );
}

#[test]
fn another_s_call_is_not_told() {
    let (mut play, _) = called();
    for stranger in [
        "",
        "another-2",
        "salara-65f2a01c-3e8-2",
        "salara-65f2a01c-3e9-1",
        "salara-65f2a01c-3e9-3",
    ] {
        play.happens(ended(stranger, true, 4));
        play.happens(ended(stranger, false, 5));
    }
    assert!(play.is_quiet());
    play.happens(ended(ID, true, 4));
    assert_eq!(play.notes().len(), 1);
}

#[test]
fn a_call_as_asterisk_22_ends_it_is_told() {
    let recorded = recorded::events("answered", |event| {
        matches!(event, Event::OriginateResponse(_))
    });
    let [Event::OriginateResponse(response)] = &recorded[..] else {
        panic!("{recorded:?}")
    };
    let (mut play, _) = called();
    // Recorded without a ChannelId of ours.
    play.happens(Event::OriginateResponse(OriginateResponse {
        action_id: ID.into(),
        ..response.clone()
    }));
    assert_eq!(
        play.notes(),
        ["PJSIP/8003-00000004 [1795375970.4]: answered"]
    );
}

#[test]
fn a_call_whose_end_never_comes_is_forgotten() {
    let (mut play, _, _) = calling("[event]\ntimeout_makecall=20\n");
    play.notes();
    let forget_at = play.now + Duration::from_secs(20 + 60);
    assert_eq!(play.engine.poll_timeout(), Some(forget_at));
    play.engine
        .handle_timeout(forget_at - Duration::from_millis(1));
    assert_eq!(play.engine.poll_timeout(), Some(forget_at));
    play.engine.handle_timeout(forget_at);
    assert_eq!(play.engine.poll_timeout(), None);
    play.happens(ended(ID, true, 4));
    assert!(play.notes().is_empty());
}

#[test]
fn a_forgotten_call_without_a_channel_is_tracked_no_more() {
    let tracked = "[event]\ntimeout_makecall=20\nwatch_makecall=1\n";
    let (mut play, _, _) = calling(tracked);
    assert!(!play.engine.channels.is_empty());
    play.engine
        .handle_timeout(play.now + Duration::from_secs(20 + 60));
    assert!(play.engine.channels.is_empty());
}

#[test]
fn of_too_many_calls_the_oldest_is_forgotten() {
    let mut play = Play::on(PJSIP, "");
    let mut calls = Vec::new();
    let (idle, queued) = (recorded("states", "lab-2"), recorded("answered", "lab-2"));
    for _ in 0..1_001 {
        play.post(CALL);
        let (ask, _) = play.asked();
        play.answer(ask, Ok(idle.clone()));
        let (ask, _) = play.asked();
        play.answer(ask, Ok(queued.clone()));
        calls.push(format!("salara-65f2a01c-3e9-{}", ask.0));
    }
    play.notes();
    play.replies.clear();
    play.happens(ended(&calls[0], true, 4));
    assert!(play.is_quiet());
    for call in &calls[1..] {
        play.happens(ended(call, true, 4));
    }
    assert_eq!(play.notes().len(), 1_000);
}

#[test]
fn a_text_goes_to_the_hint_s_device() {
    for (on, lines, capture, answer, to) in [
        (PJSIP, "", "states", "lab-2", "pjsip:8003"),
        (CHAN_SIP, "", "16", "g004", "sip:8003"),
        // What the hint says counts more than what Asterisk can.
        (CHAN_SIP, "", "states", "lab-2", "pjsip:8003"),
        // A hint without a device.
        (PJSIP, "", "16", "g007", "pjsip:8003"),
        (CHAN_SIP, "", "16", "g007", "sip:8003"),
        (PJSIP, "[general]\ntech=SIP\n", "16", "g007", "sip:8003"),
    ] {
        let mut play = Play::on(on, lines);
        play.post(TEXT);
        play.answers(capture, answer);
        let (_, asked) = play.asked();
        assert_eq!(asked, format!("MessageSend To={to} From=8002 Body=hello"));
        let (_, reply) = play.reply();
        assert_eq!(reply, Reply::state(0, "Idle").with("Salara-ActionID", ID));
    }
}

#[test]
fn what_became_of_a_text_is_told() {
    let refused = ActionError::Timeout.to_string();
    for (answer, notes) in [
        (
            Ok(recorded("messages", "lab-2")),
            vec!["pjsip:8003: message handed to Asterisk".to_owned()],
        ),
        (
            Ok(recorded("messages", "lab-8")),
            vec!["pjsip:8003: message not sent: Message failed to send.".into()],
        ),
        (
            Ok(recorded("messages", "lab-6")),
            vec!["pjsip:8003: message not sent: Message technology not found.".into()],
        ),
        (
            Err(ActionError::Timeout),
            vec![format!("pjsip:8003: message not sent: {refused}")],
        ),
        (
            Ok(recorded("denied", "lab-6")),
            vec![
                "Asterisk refuses MessageSend: the account needs write=message in manager.conf"
                    .into(),
                "pjsip:8003: message not sent: the AMI account may not do this".into(),
            ],
        ),
    ] {
        let mut play = Play::on(PJSIP, "");
        play.post(TEXT);
        play.answers("states", "lab-2");
        play.replies.clear();
        let (ask, _) = play.asked();
        play.answer(ask, answer);
        assert_eq!(play.notes(), notes);
        assert!(play.is_quiet());
    }
}
