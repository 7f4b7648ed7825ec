//! A look-up as it is on the wire: salara's own client asks, and the recorded bytes answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use salara::crm::client::Endpoint;
use salara::crm::lookup::Lookups;
use salara::crm::target::Target;
use salara::crm::{Found, Question};

use crate::recording::{Incoming, Recording};
use crate::support::crm::{Answer, Crm};

/// What is given up after so long would have been here in milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// Asks about a caller at the recording's URL, moved to a CRM that says what was recorded, and holds
/// the question against the recorded one.
pub fn look_up(recording: &Recording, call: &Incoming) -> Found {
    let answer = call.asked.as_ref().map(|asked| asked.answer.clone());
    let is_up = answer.is_some();
    let answer = answer.unwrap_or_default();
    let mut crm = Crm::start(move |_| Answer::raw(answer.clone()));
    if !is_up {
        crm.go_down();
    }
    let url = &*recording.config.url.dest_url;
    let path = url.split_once("://127.0.0.1:3000").unwrap().1;
    let endpoint = Endpoint {
        key: "dest_url",
        target: Target::new(&crm.url(path)),
        timeout: SOON,
        verify: false,
        ca: None,
    };
    let mut poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
    let lookups = Lookups::new(endpoint, waker);
    let question = Question {
        call: (),
        caller: call.caller.as_str().into(),
        until: Instant::now() + SOON,
    };
    lookups.ask(question).unwrap();
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(2 * SOON)).unwrap();
    let ((), found) = lookups.poll_answer().expect("an answer");
    if let Some(asked) = &call.asked {
        let requests = crm.requests();
        let request = &requests[0];
        let name = &recording.name;
        assert_eq!(request.method, asked.method, "{name}");
        assert_eq!(request.path, asked.path, "{name}");
        assert_eq!(request.body.as_bytes(), asked.body, "{name}");
        if asked.method == "POST" {
            assert_eq!(request.header("Content-Type"), "application/json", "{name}");
        }
    }
    found
}
