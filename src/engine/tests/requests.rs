//! The five requests and what is replied to each, on both dialects.

use super::*;

/// How many blocks `requests.txt` has.
const ROWS: usize = 51;

#[test]
fn every_request_is_replied_to_as_its_answer_says() {
    let blocks = include_str!("requests.txt").split("\n\n");
    let blocks = blocks.map(|block| block.lines().filter(|line| !line.starts_with('#')));
    let mut count = 0;
    for mut block in blocks {
        let Some(request) = block.next() else {
            continue;
        };
        let lines: Vec<&str> = block.map(str::trim).collect();
        let (reply, questions) = lines.split_last().unwrap();
        replied(request, questions, reply);
        count += 1;
    }
    assert_eq!(count, ROWS);
}

#[track_caller]
fn replied(request: &str, questions: &[&str], wanted: &str) {
    let (on, json) = request.split_once(' ').unwrap();
    let (dialects, lines) = match on {
        "chan_sip" => (CHAN_SIP, ""),
        "pjsip" => (PJSIP, ""),
        "both" => (BOTH, ""),
        "neither" => (NEITHER, ""),
        "module" => (PJSIP, "[compat]\nchannel_reply=module\n"),
        _ => panic!("{on:?} is no Asterisk"),
    };
    let mut play = Play::on(dialects, &format!("[url]\ngood_status=0,4\n{lines}"));
    let conn = play.post(json);
    for question in questions {
        let (action, answer) = question.split_once(" | ").unwrap();
        let (capture, action_id) = answer.split_once(' ').unwrap();
        assert!(
            play.replies.is_empty(),
            "{request}: replied before {question}"
        );
        let (ask, asked) = play.asked();
        assert_eq!(asked, action, "{request}");
        play.answer(ask, Ok(recorded(capture, action_id)));
    }
    let (to, reply) = play.reply();
    assert_eq!(to, conn, "{request}");
    assert_eq!(
        format!("{} {}", reply.status, reply.body()),
        wanted,
        "{request}"
    );
}

/// All five requests.
const REQUESTS: [&str; 5] = [
    r#"{"operator":"8003","phone":"000"}"#,
    r#"{"operator":"8003","phone":"8002","msg":"hello"}"#,
    r#"{"exten":"8003"}"#,
    r#"{"peer":"8003"}"#,
    r#"{"chan":"SIP/8003-00000007"}"#,
];

#[test]
fn without_a_link_every_request_is_told_so_at_once() {
    for request in REQUESTS {
        let mut before = Play::begin("");
        let mut after = Play::on(BOTH, "");
        after.down();
        for play in [&mut before, &mut after] {
            let conn = play.post(request);
            let wanted = Reply::error(503, "Asterisk is not reachable");
            assert_eq!(play.reply(), (conn, wanted));
            assert!(play.is_quiet());
        }
    }
}

#[test]
fn every_request_without_an_answer_is_told_why() {
    for request in REQUESTS {
        for (error, status, why) in [
            (ActionError::LinkDown, 503, "Asterisk is not reachable"),
            (ActionError::Timeout, 503, "Asterisk did not answer in time"),
            (
                ActionError::Busy,
                503,
                "too many questions to Asterisk are unanswered",
            ),
            (
                ActionError::Refused,
                400,
                "a value may not be sent to Asterisk",
            ),
        ] {
            let mut play = Play::on(BOTH, "");
            let conn = play.post(request);
            let (ask, _) = play.asked();
            play.answer(ask, Err(error));
            assert_eq!(play.reply(), (conn, Reply::error(status, why)));
            assert!(play.is_quiet());
            // Whatever comes later is nobody's.
            play.answer(ask, Err(error));
            play.answer(ask, Ok(recorded("states", "lab-2")));
            assert!(play.is_quiet());
        }
    }
}

#[test]
fn an_account_that_may_not_is_told_what_it_lacks_and_the_log_once_a_link() {
    for (request, action, needs) in [
        (REQUESTS[0], "ExtensionState", "call or reporting"),
        (REQUESTS[1], "ExtensionState", "call or reporting"),
        (REQUESTS[2], "ExtensionState", "call or reporting"),
        (REQUESTS[3], "PJSIPShowEndpoint", "system"),
        (r#"{"peer":"SIP/8003"}"#, "SIPpeerstatus", "system"),
        (REQUESTS[4], "Status", "system, call or reporting"),
    ] {
        let mut play = Play::on(BOTH, "");
        let why = format!("the AMI account may not {action}: it needs write={needs}");
        let log =
            format!("Asterisk refuses {action}: the account needs write={needs} in manager.conf");
        for notes in [vec![log.clone()], vec![]] {
            let conn = play.post(request);
            play.answers("denied", "lab-2");
            assert_eq!(play.reply(), (conn, Reply::error(503, why.clone())));
            assert_eq!(play.notes(), notes);
        }
        // Another link may be another account's.
        play.down();
        play.up(BOTH);
        play.post(request);
        play.answers("denied", "lab-2");
        assert_eq!(play.notes(), [log]);
    }
}

#[test]
fn no_more_is_taken_on_than_asterisk_keeps_up_with() {
    let mut play = Play::on(PJSIP, "");
    let conns: Vec<ConnId> = (0..200).map(|_| play.post(REQUESTS[4])).collect();
    assert_eq!((play.asked.len(), play.replies.len()), (200, 0));
    let one_more = play.post(REQUESTS[3]);
    let busy = Reply::error(503, "too many questions to Asterisk are unanswered");
    assert_eq!(play.reply(), (one_more, busy));
    // One answer makes room for one request.
    let (ask, _) = play.asked.pop_front().unwrap();
    play.answer(ask, Err(ActionError::Timeout));
    assert_eq!(play.reply().0, conns[0]);
    play.post(REQUESTS[3]);
    assert!(play.replies.is_empty());
    play.post(REQUESTS[3]);
    assert_eq!(play.reply().1.status, 503);
    // And all that were taken on are answered, each once, to who asked.
    let mut answered = Vec::new();
    while let Some((ask, _)) = play.asked.pop_front() {
        play.answer(ask, Err(ActionError::LinkDown));
        answered.push(play.reply().0);
    }
    assert_eq!(answered[..199], conns[1..]);
    assert_eq!(answered.len(), 200);
}

#[test]
fn every_question_has_a_number_of_its_own() {
    let mut play = Play::on(BOTH, "");
    for _ in 0..20 {
        for request in REQUESTS {
            play.post(request);
        }
    }
    let mut asks: Vec<Ask> = play.asked.iter().map(|(ask, _)| *ask).collect();
    asks.sort();
    asks.dedup();
    assert_eq!(asks.len(), 100);
}
