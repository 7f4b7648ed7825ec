//! Answers as real Asterisks gave them, read from the captures.

use super::Response;
use crate::ami::codec::{Decoder, Item};
use crate::ami::event::Event;

#[expect(
    clippy::duplicate_mod,
    reason = "two layers are tested on the same captures"
)]
#[path = "../../../tests/captures/chunks.rs"]
mod chunks;

/// Asterisk 22, by the name a test uses.
const CAPTURES: [(&str, &[u8]); 7] = [
    (
        "states",
        include_bytes!("../../../tests/captures/extensionstate.txt"),
    ),
    (
        "peers",
        include_bytes!("../../../tests/captures/peerstatus.txt"),
    ),
    (
        "channels",
        include_bytes!("../../../tests/captures/channelstatus.txt"),
    ),
    (
        "messages",
        include_bytes!("../../../tests/captures/messagesend.txt"),
    ),
    (
        "denied",
        include_bytes!("../../../tests/captures/permission-denied.txt"),
    ),
    (
        "no extension",
        include_bytes!("../../../tests/captures/originate-nosuchexten-async.txt"),
    ),
    (
        "answered",
        include_bytes!("../../../tests/captures/originate-answer-async.txt"),
    ),
];

/// Asterisk 16, what it sent alone.
const SIXTEEN: &[u8] = include_bytes!("../../../tests/golden/ami-actions/ami.txt");

/// The answer to the action with this ActionID, its list included.
pub(super) fn recorded(capture: &str, action_id: &str) -> Response {
    let mut answer = None;
    each_message(capture, |message| {
        if message.get("ActionID") != Some(action_id.as_bytes()) {
            return;
        }
        match (&mut answer, message.event()) {
            (None, None) => {
                answer = Some(Response {
                    success: !message.is("Response", "Error"),
                    head: message.to_owned(),
                    items: Vec::new(),
                    is_cut: false,
                });
            }
            (Some(answer), Some(_)) if !message.is("EventList", "Complete") => {
                answer.items.push(message.to_owned());
            }
            (None | Some(_), None | Some(_)) => {}
        }
    });
    answer.unwrap_or_else(|| panic!("{capture}: no answer to {action_id}"))
}

/// The events of a capture that salara listens to and a test picks.
pub(super) fn events(capture: &str, wanted: fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    each_message(capture, |message| {
        events.extend(Event::parse(message).filter(wanted));
    });
    assert!(!events.is_empty(), "{capture}: no such event");
    events
}

fn each_message(capture: &str, mut read: impl FnMut(crate::ami::Message<'_>)) {
    let chunks = match CAPTURES.iter().find(|(name, _)| *name == capture) {
        Some((_, bytes)) => chunks::server_chunks(bytes),
        None if capture == "16" => vec![SIXTEEN],
        None => panic!("{capture} is no capture"),
    };
    let mut decoder = Decoder::new();
    decoder.push(&chunks.concat());
    while let Some(item) = decoder.next().unwrap() {
        if let Item::Message(message) = item {
            read(message);
        }
    }
}
