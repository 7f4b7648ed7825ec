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

#[macro_use]
mod support;

use std::time::Duration;

use support::asterisk::Asterisk;
use support::crm::{Answer, Crm};
use support::daemon::Salara;
use support::phone::{Behaviour, Phone, Stage};

on_both! {
    a_tracked_call_is_told_from_its_channel_to_its_end
    a_crm_that_comes_back_gets_what_it_missed
    a_queue_s_agent_is_told
    all_calls_are_told_at_the_highest_levels
    asterisk_sends_only_what_is_of_use
}

/// A phone, an Asterisk, a CRM or salara is given so long for what takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

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

fn a_queue_s_agent_is_told(asterisk: Asterisk) {
    for (queue, levels) in [
        ("710", "agentcon=1\nhangup=0"),
        ("711", "agentcon=3\nhangup=0"),
    ] {
        let crm = Crm::start(|_| Answer::json("{}"));
        let only = format!("[event]\nnewchannel=0\nnewexten=0\n{levels}\n");
        let salara = Salara::beside(&asterisk, &format!("{}{only}", conf(&crm)));
        let agent = Phone::registered(&asterisk, "2222", Behaviour::ANSWER);
        let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
        let call = format!(r#"{{"operator":"8003","phone":"{queue}"}}"#);
        assert_eq!(salara.post(&call).status, 200);
        let asked = agent.incoming(SOON).expect("the agent's phone rings");
        assert!(asked.wait(Stage::Answered, SOON));
        assert_eq!(
            told(&crm, 1),
            [format!(
                r#"{{"event":"AgentConnect","chan":"CHAN","caller":"8003","queue":"{queue}","state":"UP","agent":"2222"}}"#
            )]
        );
        operator.hang_up();
        assert!(asked.wait(Stage::Ended, SOON));
    }
}

fn all_calls_are_told_at_the_highest_levels(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::json("{}"));
    let all =
        "[event]\nwatch_makecall=0\nnewchannel=2\nhangup=2\nnewexten=3\n[delivery]\nparallel=1\n";
    let _salara = Salara::beside(&asterisk, &format!("{}{all}", conf(&crm)));
    let _callee = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let call = caller.call("8001");
    assert!(call.wait(Stage::Answered, SOON));
    call.hang_up();
    let ends = |body: &str| body.contains(r#""Hangup""#);
    let requests = crm.wait_until(SOON, |requests| {
        requests
            .iter()
            .filter(|request| ends(&request.body))
            .count()
            == 2
    });
    let told = told(&crm, requests.len());
    let of_caller: Vec<&String> = told
        .iter()
        .filter(|body| body.contains(r#""caller":"8003""#))
        .collect();
    // chan_pjsip knows the state when it tells of the channel, chan_sip a moment later.
    let state = if asterisk.tech() == "SIP" {
        "DOWN"
    } else {
        "RING"
    };
    let newchannel = format!(
        r#"{{"event":"Newchannel","chan":"CHAN","caller":"8003","exten":"8001","state":"{state}"}}"#
    );
    assert_eq!(
        of_caller,
        [
            newchannel.as_str(),
            r#"{"event":"Newexten","chan":"CHAN","caller":"8003","exten":"8001","state":"RING","app":"Dial"}"#,
            r#"{"event":"Hangup","chan":"CHAN","caller":"8003","exten":"8001","state":"UP"}"#,
        ],
        "{told:?}"
    );
    // The called phone's channel is where its caller wants to be: nowhere of its own.
    let of_callee = told
        .iter()
        .find(|body| body.contains("Newchannel") && body.contains("8001\",\"exten\":\"s"));
    assert!(of_callee.is_some(), "{told:?}");
}

fn asterisk_sends_only_what_is_of_use(asterisk: Asterisk) {
    let crm = Crm::start(|_| Answer::json("{}"));
    let conf = format!("{}[event]\nverbose=3\n", conf(&crm));
    let salara = Salara::beside(&asterisk, &conf);
    // The link is up before the filter is answered, and what happens in between is told unfiltered.
    let asked = salara.wait_log("> Filter ");
    let id = asked.rsplit(' ').next().unwrap();
    let filtered = salara.wait_log(&format!("Response: Success, ActionID: {id}"));
    let operator = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    assert_eq!(
        salara.post(r#"{"operator":"8003","phone":"000"}"#).status,
        200
    );
    let call = operator.incoming(SOON).expect("the operator's phone rings");
    assert!(call.wait(Stage::Ended, SOON));
    assert_eq!(told(&crm, 5).len(), 5);
    // The CRM may have it before the log is read.
    salara.wait_log("< Event: Hangup");
    let log = salara.log();
    let events: Vec<&str> = log
        .iter()
        .skip_while(|line| **line != filtered)
        .filter_map(|line| line.split("< Event: ").nth(1)?.split(',').next())
        .collect();
    assert!(
        events.contains(&"Newexten") && events.contains(&"Hangup"),
        "{events:?}"
    );
    let useless = [
        "Newstate",
        "DialBegin",
        "VarSet",
        "HangupRequest",
        "DeviceStateChange",
    ];
    assert!(
        !events.iter().any(|event| useless.contains(event)),
        "{events:?}"
    );
}
