//! Events of real calls on a real Asterisk, as a CRM gets them.

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

mod support;

use std::time::Duration;

use support::asterisk::{self, Asterisk, Version};
use support::crm::{Answer, Crm};
use support::daemon::Salara;
use support::phone::{Behaviour, Phone, Stage};

/// The same test for both versions.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod v16 {
            $(#[test] fn $test() { super::on(super::Version::V16, super::$test); })*
        }
        mod v22 {
            $(#[test] fn $test() { super::on(super::Version::V22, super::$test); })*
        }
    };
}

on_both! {
    a_tracked_call_is_told_from_its_channel_to_its_end
    a_crm_that_comes_back_gets_what_it_missed
}

/// A phone, an Asterisk, a CRM or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

fn on(version: Version, test: fn(Asterisk)) {
    if !asterisk::missing(version) {
        test(Asterisk::start(version));
    }
}

fn conf(crm: &Crm) -> String {
    format!(
        "[event]\nwatch_makecall=1\nhangup=1\nnewchannel=1\nnewexten=1\nagentcon=1\n[url]\n\
         dest_url_event={}\n",
        crm.url("/event")
    )
}

/// What the CRM got, without the channel's name.
fn told(crm: &Crm, count: usize) -> Vec<String> {
    let requests = crm.wait_for(count, SOON);
    let bodies = requests.iter().map(|request| request.body.clone());
    bodies
        .map(|body| {
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            body.replace(json["chan"].as_str().unwrap(), "CHAN")
        })
        .collect()
}

fn a_tracked_call_is_told_from_its_channel_to_its_end(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::json("{}"));
    let salara = Salara::beside(&asterisk, &conf(&crm));
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    assert_eq!(
        salara.post(r#"{"operator":"8003","phone":"000"}"#).status,
        200
    );
    let call = operator.incoming(SOON).expect("the operator's phone rings");
    assert!(call.wait(Stage::Ended, SOON));
    assert_eq!(
        told(&crm, 5),
        [
            r#"{"event":"Newchannel","chan":"CHAN","caller":"8003","exten":"000","state":"DOWN"}"#,
            r#"{"event":"Newexten","chan":"CHAN","caller":"8003","exten":"000","state":"UP","app":"Answer"}"#,
            r#"{"event":"Newexten","chan":"CHAN","caller":"8003","exten":"000","state":"UP","app":"Wait"}"#,
            r#"{"event":"Newexten","chan":"CHAN","caller":"8003","exten":"000","state":"UP","app":"Hangup"}"#,
            r#"{"event":"Hangup","chan":"CHAN","caller":"8003","exten":"000","state":"UP"}"#,
        ]
    );
    let requests = crm.requests();
    let first = &requests[0];
    assert_eq!(
        (first.method.as_str(), first.path.as_str()),
        ("POST", "/event")
    );
    assert_eq!(first.header("Content-Type"), "application/json");
    assert_eq!(first.header("User-Agent"), "salara/4.0.0");
    let ids: std::collections::HashSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    assert_eq!(crm.connections(), 1, "the connection is kept");
}

fn a_crm_that_comes_back_gets_what_it_missed(asterisk: Asterisk) {
    let mut crm = Crm::start(|_| Answer::json("{}"));
    let salara = Salara::beside(&asterisk, &conf(&crm));
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    crm.go_down();
    assert_eq!(
        salara.post(r#"{"operator":"8003","phone":"000"}"#).status,
        200
    );
    let call = operator.incoming(SOON).expect("the operator's phone rings");
    assert!(call.wait(Stage::Ended, SOON));
    salara.wait_log("the CRM does not take events");
    crm.come_up();
    let told = told(&crm, 5);
    assert!(
        told[0].contains("Newchannel") && told[4].contains("Hangup"),
        "{told:?}"
    );
    salara.wait_log("the CRM takes events again");
}
