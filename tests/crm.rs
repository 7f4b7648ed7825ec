//! The CRM as it may behave: no event is lost, each call's arrive in their order, and REST clients
//! notice nothing.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

mod support;

#[path = "crm/load.rs"]
mod load;
#[path = "crm/office.rs"]
mod office;
#[cfg(not(feature = "tls"))]
#[path = "crm/plain.rs"]
mod plain;
#[path = "crm/signed.rs"]
mod signed;
#[cfg(feature = "tls")]
#[path = "crm/tls.rs"]
mod tls;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls_front;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use office::Office;
use support::crm::{Answer, Crm, Request};

/// The first requests are answered like this, all others well.
fn first(count: usize, answer: Answer) -> Office {
    Office::open(move |number, _| (number < count).then(|| answer.clone()))
}

#[test]
fn a_crm_that_is_down_gets_all_when_it_comes_back() {
    let mut office = Office::open(|_, _| None);
    office.tell(3, 0..2);
    office.wait_taken(6, office::SOON);
    office.wait_idle();
    office.crm.go_down();
    office.tell(3, 2..5);
    office
        .salara
        .wait_log("the CRM does not take events: connection refused; trying on");
    let is_long = std::env::var_os("SALARA_LONG").is_some();
    sleep(Duration::from_secs(if is_long { 10 } else { 2 }));
    office.tell(3, 5..6);
    office.crm.come_up();
    let office = office.assert_all(3, 6);
    office.salara.wait_log("the CRM takes events again");
    assert_eq!(office.said("does not take events"), 1, "it is said once");
}

#[test]
fn a_crm_that_resets_connections_gets_all() {
    let office = first(5, Answer::reset());
    office.tell(3, 0..5);
    let office = office.assert_all(3, 5);
    office
        .salara
        .wait_log("the CRM does not take events: the connection ended before an answer; trying on");
}

#[test]
fn a_crm_that_closes_without_an_answer_gets_all() {
    let office = first(5, Answer::close());
    office.tell(3, 0..5);
    office.assert_all(3, 5);
}

#[test]
fn a_crm_that_fails_gets_all_when_it_has_recovered() {
    for status in [500, 503, 408, 425] {
        let office = first(4, Answer::status(status, "not now"));
        office.tell(3, 0..4);
        office.assert_all(3, 4);
    }
}

#[test]
fn a_crm_that_asks_for_a_pause_gets_it() {
    let office = first(1, Answer::status(429, "slowly").header("Retry-After", "1"));
    office.tell(1, 0..3);
    let office = office.assert_all(1, 3);
    let requests = office.crm.requests();
    let pause = requests[1].at - requests[0].at;
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
    assert_eq!(
        requests[0].header("webhook-id"),
        requests[1].header("webhook-id")
    );
    office
        .salara
        .wait_log(r#"the CRM does not take events: 429 "slowly"; trying on"#);
}

#[test]
fn an_event_the_crm_refuses_is_told_once_and_the_others_go_on() {
    let office = Office::open(|_, request| {
        let refused = request.body.contains(r#""app":"1""#);
        refused.then(|| Answer::status(400, "I want no 1"))
    });
    office.tell(2, 0..4);
    let office = office.assert_taken(2, &["0", "2", "3"].map(str::to_owned));
    for call in ["0", "1"] {
        let line = format!(
            "the CRM refused an event for good: 400 \"I want no 1\": {{\"event\":\"Newexten\",\
             \"chan\":\"SIP/{call}-0000000{call}\",\"caller\":\"{call}\",\"exten\":\"710\",\
             \"state\":\"UP\",\"app\":\"1\"}}"
        );
        assert_eq!(office.said(&line), 1, "{line}");
    }
    assert_eq!(office.crm.requests().len(), 8, "none is tried again");
}

#[test]
fn a_crm_that_says_it_is_gone_is_left_alone() {
    let office = first(usize::MAX, Answer::status(410, ""));
    office.tell(1, 0..3);
    office.salara.wait_log("the CRM answered 410 to an event");
    office.tell(2, 3..5);
    sleep(Duration::from_secs(2));
    assert_eq!(office.crm.requests().len(), 1);
}

#[test]
fn a_slow_crm_gets_each_event_once() {
    let office = Office::open_with(
        |crm| crm.url("/event"),
        "[general]\ncurlopt_timeout=5\n",
        |_, _| None,
    );
    office.crm.answer_with({
        let slow = AtomicUsize::new(0);
        move |_| {
            let number = slow.fetch_add(1, Ordering::Relaxed);
            let delay = if number < 3 { 2_000 } else { 0 };
            Answer::json("{}").after(Duration::from_millis(delay))
        }
    });
    office.tell(3, 0..3);
    let requests = office.crm.wait_for(9, office::SOON);
    let ids: HashSet<&str> = requests.iter().map(|r| r.header("webhook-id")).collect();
    assert_eq!((ids.len(), requests.len()), (9, 9));
    assert_eq!(office.said("does not take events"), 0);
}

#[test]
fn a_crm_that_is_too_slow_gets_its_events_again() {
    let late = Answer::json("{}").after(Duration::from_millis(1_500));
    let office = first(2, late);
    office.tell(2, 0..3);
    let office = office.assert_all(2, 3);
    office.salara.wait_log(
        "the CRM does not take events: no answer within 1 s (curlopt_timeout); trying on",
    );
}

#[test]
fn a_crm_that_never_answers_gets_its_events_again() {
    let office = first(2, Answer::never());
    office.tell(2, 0..3);
    office.assert_all(2, 3);
}

#[test]
fn a_crm_that_never_reads_gets_all_when_it_does() {
    let mut office = Office::open(|_, _| None);
    office.crm.go_down();
    // The kernel takes connections and bytes for it, and it looks at neither.
    let deaf = office.crm.listen();
    office.tell(6, 0..50);
    office.salara.wait_log("no answer within 1 s");
    drop(deaf);
    office.crm.come_up();
    office.assert_all(6, 50);
}

#[test]
fn connections_that_end_between_events_lose_none() {
    for delay in [0, 5] {
        let answer = Answer::json("{}").then_close_after(Duration::from_millis(delay));
        let office = Office::open(|_, _| None);
        office.crm.answer_with(move |_| answer.clone());
        for number in 0..20 {
            office.tell(4, number..=number);
            sleep(Duration::from_millis(delay));
        }
        assert_eq!(distinct(&office, 80), 80, "{delay} ms");
        assert_eq!(office.said("does not take events"), 0);
    }
}

#[test]
fn a_connection_that_ends_under_an_event_is_replaced_at_once() {
    let seen = Mutex::new(HashSet::new());
    // As when the CRM gives a connection up in the moment it is used again.
    let office = Office::open(move |_, request| {
        let is_new = seen.lock().unwrap().insert(request.connection);
        (!is_new).then(Answer::reset)
    });
    office.tell(8, 0..20);
    let office = office.assert_all(8, 20);
    assert_eq!(office.said("does not take events"), 0);
}

#[test]
fn a_post_that_is_lost_on_a_new_connection_waits_like_any_other() {
    let office = first(1, Answer::close());
    office.tell(1, 0..1);
    let office = office.assert_all(1, 1);
    office
        .salara
        .wait_log("the CRM does not take events: the connection ended before an answer; trying on");
}

/// Waits until so many different events have come; how many there are then.
fn distinct(office: &Office, count: usize) -> usize {
    let bodies = |requests: &[Request]| {
        let bodies: HashSet<&str> = requests.iter().map(|r| r.body.as_str()).collect();
        bodies.len()
    };
    let requests = office
        .crm
        .wait_until(office::SOON, |requests| bodies(requests) >= count);
    bodies(&requests)
}

#[test]
fn a_crm_that_does_not_speak_http_gets_all_when_it_does() {
    for garbage in ["SIP/2.0 200 OK\r\n\r\n", "\0\u{1}\u{2}", "<html>\r\n\r\n"] {
        let office = first(2, Answer::raw(garbage));
        office.tell(2, 0..3);
        let office = office.assert_all(2, 3);
        office.salara.wait_log("the CRM does not take events: ");
    }
}

#[test]
fn a_long_or_strange_answer_is_an_answer() {
    let long = "y".repeat(300);
    for (answer, connections) in [
        (Answer::status(200, &*long), 2),
        (Answer::status(204, ""), 2),
        (Answer::status(201, &*long).in_chunks(), 2),
        (Answer::status(200, ""), 2),
        // Too long to be read to its end, so its connection is given up.
        (Answer::status(200, "y".repeat(10 << 20)), 6),
        // The status is here, and all the rest does not matter.
        (
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nyes"),
            6,
        ),
        (Answer::raw("HTTP/1.0 200 OK\r\n\r\nyes"), 6),
    ] {
        let office = Office::open(|_, _| None);
        office.crm.answer_with(move |_| answer.clone());
        office.tell(2, 0..3);
        let requests = office.crm.wait_for(6, office::SOON);
        sleep(Duration::from_millis(200));
        assert_eq!(office.crm.requests().len(), requests.len(), "once each");
        assert_eq!(office.said("does not take events"), 0);
        assert!(
            office.crm.connections() <= connections,
            "{} connections",
            office.crm.connections()
        );
    }
}

#[test]
fn a_redirect_is_not_followed_and_told() {
    let moved = Answer::status(302, "").header("Location", "https://u:hunter2@crm.example/login");
    let office = first(1, moved);
    office.tell(1, 0..3);
    let office = office.assert_all(1, 3);
    office.salara.wait_log(
        "the CRM does not take events: it answers 302, a redirect to \
         https://***@crm.example/login, which is not followed: correct dest_url_event; trying on",
    );
    assert!(office.crm.requests().iter().all(|r| r.path == "/event"));
}

#[test]
fn connections_are_kept() {
    let office = Office::open(|_, _| None);
    office.tell(10, 0..30);
    let office = office.assert_all(10, 30);
    let connections = office.crm.connections();
    assert!(connections <= 4, "{connections} connections for 300 posts");
}

#[test]
fn a_user_in_the_url_is_sent_as_basic_auth_and_never_logged() {
    let url = |crm: &Crm| format!("http://desk:hunt%40er2@{}/event", crm.addr());
    let office = Office::open_with(url, "[event]\nverbose=3\n", |_, _| None);
    office.tell(1, 0..2);
    let office = office.assert_all(1, 2);
    let requests = office.crm.requests();
    let sent = requests[0].header("Authorization");
    assert_eq!(sent, "Basic ZGVzazpodW50QGVyMg==");
    office.crm.answer_with(|_| Answer::status(500, ""));
    office.tell(1, 2..3);
    office.crm.wait_for(3, office::SOON);
    let log = office.salara.log().join("\n");
    assert!(log.contains("events go to http://***@127.0.0.1"), "{log}");
    for secret in ["desk", "hunt", "ZGVzazp"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
