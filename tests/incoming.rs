//! Incoming calls on a real Asterisk: who is sent where, and what the phones see of it.

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

use std::time::Duration;

use support::asterisk::{Asterisk, Version};
use support::crm::{Answer, Crm};
use support::daemon::Salara;
use support::phone::{Behaviour, Call, OnRefer, Phone, Stage};

on_both! {
    a_caller_who_was_not_answered_dials_the_manager
    a_caller_who_was_answered_is_referred_to_the_manager
    a_caller_goes_on_at_the_manager_s_in_the_same_channel
    a_caller_of_a_crm_that_is_down_goes_by_route_and_then_by_default
    a_caller_without_a_place_goes_on_in_the_dialplan
}

/// A phone, an Asterisk, a CRM or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

fn conf(asterisk: &Asterisk, crm: &Crm, more: &str) -> String {
    format!(
        "[general]\ndefault=000\n[event]\nhangup=1\nnewchannel=1\n[url]\nagi_server=127.0.0.1:{}\n\
         dest_url={}\ndest_url_event={}\n{more}",
        asterisk.agi_port(),
        crm.url("/phone"),
        crm.url("/event")
    )
}

/// A CRM that names this extension for everybody.
fn crm(extension: &str) -> Crm {
    let answer = format!(r#"{{"personal_manager_internal_phone":"{extension}"}}"#);
    Crm::start(move |_| Answer::json(answer.clone()))
}

/// What the CRM was asked, and what it was told without the channel's name.
fn heard(crm: &Crm, count: usize) -> Vec<String> {
    let requests = crm.wait_for(count, SOON);
    let said = requests.iter().map(|request| {
        let json: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        match json["chan"].as_str() {
            Some(channel) => request.body.replace(channel, "CHAN"),
            None => format!("{} {} {}", request.method, request.path, request.body),
        }
    });
    said.collect()
}

fn manager(asterisk: &Asterisk) -> Phone {
    Phone::registered(asterisk, "8002", Behaviour::ANSWER)
}

/// Both talk; then the caller hangs up.
fn talk(call: &Call, manager: &Phone) {
    let rung = manager.incoming(SOON).expect("the manager's phone rings");
    assert!(call.wait(Stage::Answered, SOON), "{:?}", call.stages());
    call.hang_up();
    assert!(rung.wait(Stage::Ended, SOON));
}

const ASKED: &str = r#"POST /phone {"phone":"8003"}"#;
const ENDED: &str =
    r#"{"event":"Hangup","chan":"CHAN","caller":"8003","exten":"8002","state":"UP"}"#;

/// What the CRM hears of a call that came back from its transfer.
fn told(asterisk: &Asterisk) -> [String; 3] {
    // A new channel of the newer Asterisk rings already.
    let state = match asterisk.version() {
        Version::V16 => "DOWN",
        Version::V22 => "RING",
    };
    let began = format!(
        r#"{{"event":"Newchannel","chan":"CHAN","caller":"8003","exten":"8002","state":"{state}"}}"#
    );
    [ASKED.to_owned(), began, ENDED.to_owned()]
}

fn a_caller_who_was_not_answered_dials_the_manager(asterisk: Asterisk) {
    let crm = crm("8002");
    let salara = Salara::beside(&asterisk, &conf(&asterisk, &crm, ""));
    let manager = manager(&asterisk);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    caller.follow_redirects(true);
    let call = caller.call("5000");
    let again = call.followed_by(SOON).expect("the caller dials again");
    assert_eq!(call.code(), Some(302));
    talk(&again, &manager);
    assert_eq!(heard(&crm, 3), told(&asterisk));
    let line = salara.wait_log("transferred to 8002");
    assert!(
        line.contains("]: 8003: transferred to 8002 (crm)"),
        "{line}"
    );
}

fn a_caller_who_was_answered_is_referred_to_the_manager(asterisk: Asterisk) {
    let crm = crm("8002");
    let salara = Salara::beside(&asterisk, &conf(&asterisk, &crm, ""));
    let manager = manager(&asterisk);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    caller.on_refer(OnRefer::Follow);
    let call = caller.call("5001");
    let again = call.followed_by(SOON).expect("the caller dials again");
    talk(&again, &manager);
    assert!(call.referred_to().is_some_and(|to| to.contains("8002@")));
    assert_eq!(heard(&crm, 3), told(&asterisk));
    salara.wait_log("transferred to 8002 (crm)");
    // A phone that will not goes on where it is, and is told so.
    caller.on_refer(OnRefer::Decline);
    let call = caller.call("5001");
    assert!(call.wait(Stage::Ended, SOON));
    let line = salara.wait_log("FAILED, the dialplan goes on");
    assert!(
        line.contains("8002: Asterisk's Transfer says FAILURE"),
        "{line}"
    );
    asterisk.wait_log("went on: SUCCESS FAILED  (8002: Asterisk's Transfer says FAILURE)");
}

fn a_caller_goes_on_at_the_manager_s_in_the_same_channel(asterisk: Asterisk) {
    let crm = Crm::start(|_| {
        Answer::json(
            r#"{"personal_manager_internal_phone":8002,"callerid_name":"Иван","context":"alnik"}"#,
        )
    });
    let conf = conf(&asterisk, &crm, "[general]\ntransfer=goto\n");
    let salara = Salara::beside(&asterisk, &conf);
    let manager = manager(&asterisk);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let call = caller.call("5000");
    let rung = manager.incoming(SOON).expect("the manager's phone rings");
    assert_eq!(rung.name(), "Иван");
    assert!(call.wait(Stage::Answered, SOON));
    assert_eq!(call.redirected_to(), None);
    call.hang_up();
    assert!(rung.wait(Stage::Ended, SOON));
    assert_eq!(heard(&crm, 2), [ASKED, ENDED]);
    salara.wait_log("transferred to 8002 (crm)");
}

fn a_caller_of_a_crm_that_is_down_goes_by_route_and_then_by_default(asterisk: Asterisk) {
    let mut crm = crm("8002");
    crm.go_down();
    let salara = Salara::beside(&asterisk, &conf(&asterisk, &crm, "[route]\n8003:0000\n"));
    for (number, to, source) in [("8003", "0000", "route"), ("2222", "000", "default")] {
        let caller = Phone::registered(&asterisk, number, Behaviour::ANSWER);
        caller.follow_redirects(true);
        let call = caller.call("5000");
        let again = call.followed_by(SOON).expect("the caller dials again");
        assert!(again.wait(Stage::Answered, SOON), "{:?}", again.stages());
        again.hang_up();
        let line = salara.wait_log(&format!("transferred to {to} ("));
        let why = format!("{number}: transferred to {to} ({source}: the CRM: connection refused)");
        assert!(line.contains(&why), "{line}");
    }
}

fn a_caller_without_a_place_goes_on_in_the_dialplan(asterisk: Asterisk) {
    let crm = crm("8011");
    // 1234 has no hint.
    let conf = conf(
        &asterisk,
        &crm,
        "[general]\ndefault=1234\n[url]\ngood_status=0\n",
    );
    let salara = Salara::beside(&asterisk, &conf);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let call = caller.call("5000");
    assert!(call.wait(Stage::Ended, SOON));
    assert_eq!(call.redirected_to(), None);
    let why = "8011 is Unavailable; default 1234 is Unknown";
    salara.wait_log(&format!("NOTAVAILABLE, the dialplan goes on: {why}"));
    asterisk.wait_log(&format!("went on: SUCCESS NOTAVAILABLE  ({why})"));
}
