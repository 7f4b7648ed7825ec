//! What an administrator sees of the CRM.

use std::time::{Duration, Instant};

use super::{done, refused};
use crate::support::crm::{Answer, Crm};
use crate::support::daemon::Salara;
use crate::support::events_ami::{EventsAmi, newexten};

const SOON: Duration = Duration::from_secs(10);

fn start(crm: &Crm, ami: &EventsAmi) -> Salara {
    let salara = Salara::start(&format!(
        "[event]\nverbose=1\nnewexten=3\n[url]\nrest_server=127.0.0.1:0\ndest_url_event={}\n\
         [ami]\nport={}\nsecret=x\n",
        crm.url("/event"),
        ami.port()
    ));
    salara.wait_connected();
    salara
}

#[test]
fn a_post_by_hand_shows_its_answer() {
    let crm = Crm::start(|_| Answer::json("{\"result\":0}"));
    let salara = start(&crm, &EventsAmi::start());
    assert_eq!(
        done(&salara, "send post json {\"a\": 1}"),
        "{\"result\":0}\nhttp status: 200\n"
    );
    assert_eq!(
        done(&salara, "send post text hello"),
        "{\"result\":0}\nhttp status: 200\n"
    );
    let json = done(&salara, "--json send post text hello");
    assert_eq!(json, "{\"answer\":\"{\\\"result\\\":0}\",\"http\":200}\n");
    let seen: Vec<_> = crm
        .requests()
        .iter()
        .map(|request| {
            (
                request.header("Content-Type").to_owned(),
                request.body.clone(),
            )
        })
        .collect();
    let pair = |kind: &str, body: &str| (kind.to_owned(), body.to_owned());
    assert_eq!(
        seen[..2],
        [
            pair("application/json", "{\"a\": 1}"),
            pair("text/plain", "hello")
        ]
    );
    crm.answer_with(|_| Answer::status(404, "who?"));
    assert_eq!(
        refused(&salara, "send post text hello"),
        "who?\nhttp status: 404\n"
    );
}

#[test]
fn a_sample_of_each_event_is_posted_and_each_answer_shown() {
    let crm = Crm::start(|request| {
        let is_agent = request.body.contains("AgentConnect");
        Answer::status(if is_agent { 500 } else { 200 }, "")
    });
    let salara = start(&crm, &EventsAmi::start());
    let told = refused(&salara, "test-event");
    assert_eq!(
        told,
        "Newchannel: 200\nNewexten: 200\nAgentConnect: 500\nHangup: 200\n"
    );
    let events: Vec<String> = crm
        .requests()
        .iter()
        .map(|request| {
            let json: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            json["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(events, ["Newchannel", "Newexten", "AgentConnect", "Hangup"]);
}

#[test]
fn what_failed_is_shown_and_goes_out_again() {
    let crm = Crm::start(|_| Answer::status(400, "no"));
    let ami = EventsAmi::start();
    let salara = start(&crm, &ami);
    ami.tell(&newexten(1, 1));
    salara.wait_log("refused an event for good");
    let shown = done(&salara, "show events");
    assert!(
        shown.contains("endpoint: taking events\nwaiting: 0\n"),
        "{shown}"
    );
    assert!(
        shown.contains("failed: 1\n  400 \"no\": {\"event\":\"Newexten\""),
        "{shown}"
    );
    crm.answer_with(|_| Answer::json("{}"));
    assert_eq!(done(&salara, "replay"), "events tried again: 1\n");
    let requests = crm.wait_for(2, SOON);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(
        requests[0].header("webhook-id"),
        requests[1].header("webhook-id")
    );
    assert!(done(&salara, "show events").contains("failed: 0\n"));
    assert_eq!(done(&salara, "replay"), "events tried again: 0\n");
}

#[test]
fn a_crm_that_was_gone_is_tried_again_after_a_reload() {
    let crm = Crm::start(|_| Answer::status(410, ""));
    let ami = EventsAmi::start();
    let salara = start(&crm, &ami);
    ami.tell(&newexten(1, 1));
    salara.wait_log("answered 410");
    assert!(done(&salara, "show events").contains("endpoint: gone (410), until a reload\n"));
    crm.answer_with(|_| Answer::json("{}"));
    done(&salara, "reload");
    assert!(done(&salara, "show events").contains("endpoint: taking events\n"));
    ami.tell(&newexten(2, 1));
    crm.wait_for(2, SOON);
}

#[test]
fn a_crm_that_moves_gets_what_waits_for_the_old_one() {
    let mut old = Crm::start(|_| Answer::json("{}"));
    let new = Crm::start(|_| Answer::json("{}"));
    let ami = EventsAmi::start();
    let salara = start(&old, &ami);
    old.go_down();
    for number in 1..=3 {
        ami.tell(&newexten(1, number));
    }
    salara.wait_log("the CRM does not take events");
    let since = Instant::now();
    while !done(&salara, "show events").contains("waiting: 3\n") {
        assert!(since.elapsed() < SOON);
    }
    let file = salara.dir().join("salara.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&old.url(""), &new.url(""))).unwrap();
    done(&salara, "reload");
    let bodies: Vec<String> = new
        .wait_for(3, SOON)
        .iter()
        .map(|r| r.body.clone())
        .collect();
    for (body, number) in bodies.iter().zip(1..) {
        assert!(
            body.contains(&format!("\"app\":\"{number}\"")),
            "{bodies:?}"
        );
    }
}
