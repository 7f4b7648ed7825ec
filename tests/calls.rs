//! salara beside a real Asterisk: the five requests, seen from REST, from Asterisk and from the
//! phones. Each test runs on 22 with PJSIP and on 16 with chan_sip.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use support::ami::bridged;
use support::asterisk::Asterisk;
use support::daemon::Salara;
use support::phone::{Behaviour, Phone, Stage};
use support::rest;

on_both! {
    a_call_rings_the_operator_then_the_phone
    a_call_nobody_answers_is_told_in_the_log
    a_call_to_an_operator_whose_state_is_not_good_is_not_made
    a_text_reaches_the_operator_s_phone_whole
    extensions_tell_their_state
    peers_tell_their_status
    channels_tell_their_state
    forms_and_query_strings_do_what_json_does
    asterisk_may_go_and_come_back
    an_account_that_may_not_says_what_it_lacks
}

/// A phone, an Asterisk or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

fn a_call_rings_the_operator_then_the_phone(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let phone = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let mut ami = asterisk.ami();

    let asked = Instant::now();
    let reply = salara.post(r#"{"operator":"8003","phone":"8001"}"#);
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"result":0,"text":"Idle"}"#)
    );
    assert_eq!(reply.header("Content-Type"), "application/json");
    assert_eq!(
        reply.header("Salara-Channel"),
        format!("{}/8003", asterisk.tech())
    );
    let uniqueid = reply.header("Salara-Uniqueid").to_owned();
    assert!(uniqueid.starts_with("salara-"), "{uniqueid}");

    let first = operator.incoming(SOON).expect("the operator's phone rings");
    let second = phone.incoming(SOON).expect("the phone rings");
    assert!(second.wait(Stage::Answered, SOON));
    // The reply does not wait for the phones, and the phone not before the operator has answered.
    let at = |call: &support::phone::Call, stage| {
        call.stages()
            .iter()
            .find(|(s, _)| *s == stage)
            .map(|(_, at)| *at)
            .unwrap()
    };
    assert!(at(&first, Stage::Answered) <= at(&second, Stage::Calling));
    assert!(at(&first, Stage::Calling) >= asked);
    assert_eq!(second.number(), "8003", "the phone shows who calls");

    let channels = ami
        .wait_channels(SOON, |channels| bridged(channels, "8003", "8001"))
        .expect("Asterisk has bridged the two");
    assert!(
        channels.iter().any(|channel| channel.uniqueid == uniqueid),
        "{channels:?}"
    );
    salara.wait_log(&format!("[{uniqueid}]: calling, then 8001"));
    salara.wait_log(&format!("[{uniqueid}]: answered"));

    rest::wait_body(
        salara.addr(),
        r#"{"exten":"8003"}"#,
        r#"{"result":1,"text":"InUse"}"#,
    );
    let busy = salara.post(r#"{"operator":"8003","phone":"8001"}"#);
    assert_eq!(busy.body, r#"{"result":1,"text":"InUse"}"#);
    assert_eq!(
        busy.header("Salara-Uniqueid"),
        "",
        "a call in a call was not made"
    );
    first.hang_up();
    assert!(second.wait(Stage::Ended, SOON));
}

fn a_call_nobody_answers_is_told_in_the_log(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "[event]\ntimeout_makecall=1\n");
    let operator = Phone::registered(&asterisk, "8003", Behaviour::Ring);
    for (behaviour, why) in [
        (Behaviour::Ring, "no answer"),
        (
            Behaviour::BUSY,
            if asterisk.tech() == "SIP" {
                "busy"
            } else {
                "no device took it"
            },
        ),
    ] {
        operator.set_behaviour(behaviour);
        rest::wait_body(
            salara.addr(),
            r#"{"exten":"8003"}"#,
            r#"{"result":0,"text":"Idle"}"#,
        );
        let reply = salara.post(r#"{"operator":"8003","phone":"0000"}"#);
        let uniqueid = reply.header("Salara-Uniqueid");
        let line = salara.wait_log(&format!("[{uniqueid}]: not answered"));
        assert!(line.contains(why), "{line}");
    }
    // 8009 has a hint, and nobody has ever registered there: 4 is in good_status, so it is tried.
    let reply = salara.post(r#"{"operator":"8009","phone":"0000"}"#);
    assert_eq!(reply.body, r#"{"result":4,"text":"Unavailable"}"#);
    salara.wait_log(&format!(
        "[{}]: not answered",
        reply.header("Salara-Uniqueid")
    ));
}

fn a_call_to_an_operator_whose_state_is_not_good_is_not_made(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "[url]\ngood_status=0\n");
    let mut ami = asterisk.ami();
    for (operator, body) in [
        ("8009", r#"{"result":4,"text":"Unavailable"}"#),
        ("9999", r#"{"result":-1,"text":"Unknown"}"#),
    ] {
        ami.mark();
        let reply = salara.post(&format!(r#"{{"operator":"{operator}","phone":"0000"}}"#));
        assert_eq!((reply.status, reply.body.as_str()), (200, body));
        assert_eq!(reply.header("Salara-Uniqueid"), "");
        salara.wait_log(&format!("{operator}: no call, its state is"));
        assert!(
            !ami.events()
                .iter()
                .any(|event| event.is("OriginateResponse"))
        );
        let refused = salara.post(&format!(
            r#"{{"operator":"{operator}","phone":"8001","msg":"hi"}}"#
        ));
        assert_eq!((refused.status, refused.body.as_str()), (200, body));
        salara.wait_log(&format!("{operator}: no message, its state is"));
    }
}

fn a_text_reaches_the_operator_s_phone_whole(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let long = "m".repeat(1000);
    let texts = [
        "Message text",
        "Привет \"мир\" <b>",
        "line1\nline2\r\nX-Header: 1",
        "a\r\n\r\nAction: Ping\r\n",
        "a:b;c,d\\e%20f",
        "  two blanks first",
        long.as_str(),
    ];
    for (count, text) in texts.iter().enumerate() {
        let json = serde_json::json!({"operator": "8003", "phone": "8002", "msg": text});
        let reply = salara.post(&json.to_string());
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, r#"{"result":0,"text":"Idle"}"#)
        );
        let inbox = phone.wait_inbox(count + 1, SOON);
        assert_eq!(inbox[count].body, *text);
        assert!(inbox[count].from.contains("8002"), "{}", inbox[count].from);
    }
    let named = r#"{"operator":"8003","phone":"\"Boss\" <sip:boss@example.com>","msg":"hi"}"#;
    assert_eq!(salara.post(named).status, 200);
    let inbox = phone.wait_inbox(texts.len() + 1, SOON);
    let from = &inbox.last().unwrap().from;
    assert!(from.contains("Boss") && from.contains("boss"), "{from}");

    let too_long =
        serde_json::json!({"operator": "8003", "phone": "8002", "msg": "m".repeat(1001)});
    let reply = salara.post(&too_long.to_string());
    assert_eq!(reply.status, 413);
    assert_eq!(
        reply.header("Salara-Error"),
        "msg: is 1001 bytes long; at most 1000 fit"
    );
    assert_eq!(phone.inbox().len(), texts.len() + 1);
}

fn extensions_tell_their_state(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let phone = Phone::registered(&asterisk, "8003", Behaviour::Ring);
    let caller = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    for (json, body) in [
        (r#"{"exten":"8003"}"#, r#"{"result":0,"text":"Idle"}"#),
        (r#"{"exten":8003}"#, r#"{"result":0,"text":"Idle"}"#),
        (r#"{"exten":"0000"}"#, r#"{"result":0,"text":"Idle"}"#),
        (
            r#"{"exten":"8009"}"#,
            r#"{"result":4,"text":"Unavailable"}"#,
        ),
        (
            r#"{"exten":"8011"}"#,
            r#"{"result":4,"text":"Unavailable"}"#,
        ),
        (r#"{"exten":"1234"}"#, r#"{"result":-1,"text":"Unknown"}"#),
        (r#"{"exten":""}"#, r#"{"result":-1,"text":"Unknown"}"#),
        (
            r#"{"exten":"SIP/8003"}"#,
            r#"{"result":-1,"text":"Unknown"}"#,
        ),
        (r#"{"exten":"80\"03"}"#, r#"{"result":-1,"text":"Unknown"}"#),
        (r#"{"exten":"абв"}"#, r#"{"result":-1,"text":"Unknown"}"#),
        (
            r#"{"exten":"8003","context":"nosuch"}"#,
            r#"{"result":-1,"text":"Unknown"}"#,
        ),
        (
            r#"{"exten":"8003","context":""}"#,
            r#"{"result":0,"text":"Idle"}"#,
        ),
    ] {
        assert_eq!(salara.post(json).body, body, "{json}");
    }
    let state = |body: &str| rest::wait_body(salara.addr(), r#"{"exten":"8003"}"#, body);
    let call = caller.call("8003");
    state(r#"{"result":8,"text":"Ringing"}"#);
    phone.incoming(SOON).expect("it rings").answer();
    assert!(call.wait(Stage::Answered, SOON));
    state(r#"{"result":1,"text":"InUse"}"#);
    call.hang_up();
    state(r#"{"result":0,"text":"Idle"}"#);

    // 8002 has one line: in a call it is not in use but busy.
    let one_line = Phone::registered(&asterisk, "8002", Behaviour::ANSWER);
    let call = caller.call("8002");
    assert!(call.wait(Stage::Answered, SOON));
    let busy = r#"{"result":2,"text":"Busy"}"#;
    rest::wait_body(salara.addr(), r#"{"exten":"8002"}"#, busy);
    let reply = salara.post(r#"{"operator":"8002","phone":"0000"}"#);
    assert_eq!(
        (reply.body.as_str(), reply.header("Salara-Uniqueid")),
        (busy, "")
    );
    drop(one_line);
}

fn peers_tell_their_status(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let _unqualified = Phone::registered(&asterisk, "1111", Behaviour::ANSWER);
    for (peer, body) in [
        ("8003", r#"{"result":0,"text":"Reachable"}"#),
        ("SIP/8003", r#"{"result":0,"text":"Reachable"}"#),
        ("PJSIP/8003", r#"{"result":0,"text":"Reachable"}"#),
        ("8009", r#"{"result":0,"text":"Unknown"}"#),
        ("1111", r#"{"result":0,"text":"Unmonitored"}"#),
        ("8010", r#"{"result":0,"text":"Unmonitored"}"#),
        ("9999", r#"{"result":-1,"text":"Error"}"#),
        ("DAHDI/1", r#"{"result":-1,"text":"Error"}"#),
        ("", r#"{"result":-1,"text":"Error"}"#),
    ] {
        let reply = salara.post(&format!(r#"{{"peer":"{peer}"}}"#));
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{peer}");
    }
    phone.answer_options(false);
    let gone = r#"{"result":0,"text":"Unreachable"}"#;
    rest::wait_body(salara.addr(), r#"{"peer":"8003"}"#, gone);
}

fn channels_tell_their_state(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let module = Salara::beside(&asterisk, "[compat]\nchannel_reply=module\n");
    let callee = Phone::registered(&asterisk, "8003", Behaviour::Ring);
    let caller = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    let call = caller.call("8003");
    let incoming = callee.incoming(SOON).expect("it rings");
    let channels = ami
        .wait_channels(SOON, |channels| channels.len() == 2)
        .unwrap();
    let name = |phone| {
        channels
            .iter()
            .find(|c| c.is_of(phone))
            .unwrap()
            .name
            .clone()
    };
    let (ringing, dialling) = (name("8003"), name("8001"));
    let ask = |salara: &Salara, name: &str| salara.post(&format!(r#"{{"chan":"{name}"}}"#)).body;

    let wait = |name: &str, body| {
        rest::wait_body(salara.addr(), &format!(r#"{{"chan":"{name}"}}"#), body);
    };
    wait(&ringing, r#"{"result":0,"text":"Ringing (5)"}"#);
    assert_eq!(ask(&salara, &dialling), r#"{"result":0,"text":"Ring (4)"}"#);
    assert_eq!(ask(&module, &ringing), r#"{"result":5,"text":"RINGING"}"#);
    assert_eq!(ask(&module, &dialling), r#"{"result":4,"text":"RING"}"#);
    incoming.answer();
    assert!(call.wait(Stage::Answered, SOON));
    wait(&ringing, r#"{"result":0,"text":"Up (6)"}"#);
    assert_eq!(
        ask(&salara, &ringing.to_lowercase()),
        r#"{"result":0,"text":"Up (6)"}"#
    );
    assert_eq!(ask(&module, &ringing), r#"{"result":6,"text":"UP"}"#);
    let absent = r#"{"result":-1,"text":"Channel not present"}"#;
    let peer = format!("{}/8003", asterisk.tech());
    for none in [peer.as_str(), asterisk.tech(), "nosuch", "", "x/y-00000001"] {
        assert_eq!(ask(&salara, none), absent, "{none}");
    }
    call.hang_up();
    wait(&ringing, absent);
}

fn forms_and_query_strings_do_what_json_does(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let idle = r#"{"result":0,"text":"Idle"}"#;
    let get = "GET /operator=8003&phone=8002&msg=a%20b%26c HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(rest::exchange(salara.addr(), get.as_bytes()).body, idle);
    let form = "operator=8003&phone=8002&msg=%D0%BC%D0%B8%D1%80+%2B";
    let post = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(rest::exchange(salara.addr(), post.as_bytes()).body, idle);
    let inbox = phone.wait_inbox(2, SOON);
    assert_eq!(inbox[0].body, "a b&c");
    assert_eq!(inbox[1].body, "мир +");
    let call = "GET /?operator=8003&phone=000 HTTP/1.0\r\n\r\n";
    assert_eq!(rest::exchange(salara.addr(), call.as_bytes()).body, idle);
    let incoming = phone.incoming(SOON).expect("the operator's phone rings");
    assert!(incoming.wait(Stage::Answered, SOON));
    assert!(incoming.wait(Stage::Ended, SOON));
}

fn asterisk_may_go_and_come_back(mut asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "");
    let idle = r#"{"result":0,"text":"Idle"}"#;
    assert_eq!(salara.post(r#"{"exten":"0000"}"#).body, idle);
    for gracefully in [false, true] {
        let seen = salara.log().len();
        if gracefully {
            asterisk.stop_gracefully();
        } else {
            asterisk.kill();
        }
        let (seen, _) = salara.wait_log_after(seen, "connection lost");
        let down = salara.post(r#"{"exten":"0000"}"#);
        assert_eq!(
            (down.status, down.body.as_str()),
            (503, r#"{"result":-2,"text":"Error"}"#)
        );
        assert_eq!(down.header("Salara-Error"), "Asterisk is not reachable");
        asterisk.start_again();
        let booted = Instant::now();
        let (_, line) = salara.wait_log_after(seen, "connected to Asterisk");
        // What there is to ask about peers is known only when the modules are loaded.
        let stack = if asterisk.tech() == "SIP" {
            ", chan_sip"
        } else {
            ", PJSIP"
        };
        assert!(line.ends_with(stack), "{line}");
        assert!(
            booted.elapsed() < Duration::from_secs(2),
            "{:?}",
            booted.elapsed()
        );
        assert_eq!(salara.post(r#"{"exten":"0000"}"#).body, idle);
    }
}

fn an_account_that_may_not_says_what_it_lacks(asterisk: Asterisk) {
    let salara = Salara::beside(&asterisk, "[ami]\nuser=lowpriv\n");
    assert_eq!(
        salara.post(r#"{"exten":"0000"}"#).body,
        r#"{"result":0,"text":"Idle"}"#
    );
    let _phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    assert_eq!(
        salara.post(r#"{"operator":"8003","phone":"0000"}"#).status,
        200
    );
    salara.wait_log("Asterisk refuses Originate: the account needs write=originate");
    let reply = salara.post(r#"{"operator":"8003","phone":"0000","msg":"hi"}"#);
    assert_eq!(reply.status, 200);
    salara.wait_log("Asterisk refuses MessageSend: the account needs write=message");
    let reply = salara.post(r#"{"peer":"8003"}"#);
    assert_eq!(reply.status, 503);
    assert!(
        reply
            .header("Salara-Error")
            .contains("it needs write=system"),
        "{reply:?}"
    );
}
