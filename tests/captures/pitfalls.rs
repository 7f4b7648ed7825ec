//! The traps of AMI that lie in its bytes, each by its name.
//!
//! Those that lie in the dialogue (logins, lists, ActionIDs, silence) are the session's, and have
//! their tests beside it.

use salara::ami::OwnedMessage;
use salara::ami::codec::{Decoder, Item};
use salara::ami::event::{Event, number};

use super::each_dialogue;

/// The messages of a stream that begins behind the banner.
fn messages(stream: &[u8]) -> Vec<OwnedMessage> {
    let mut decoder = Decoder::new();
    decoder.push(b"Asterisk Call Manager/1.1\r\n");
    let mut messages = Vec::new();
    for segment in stream.chunks(3) {
        decoder.push(segment);
        while let Some(item) = decoder.next().unwrap() {
            if let Item::Message(message) = item {
                messages.push(message.to_owned());
            }
        }
    }
    messages
}

/// The messages of a recorded dialogue.
fn recorded(wanted: &str) -> Vec<OwnedMessage> {
    let mut found = Vec::new();
    each_dialogue(|name, chunks| {
        if name == wanted {
            let stream = chunks.concat();
            let banner = stream.iter().position(|byte| *byte == b'\n').unwrap();
            found = messages(&stream[banner + 1..]);
        }
    });
    assert!(!found.is_empty(), "{wanted} is no capture, or an empty one");
    found
}

/// All values of a key, in order.
fn values(message: &OwnedMessage, wanted: &str) -> Vec<String> {
    let headers = message.message();
    let values = headers.iter().filter(|(key, _)| *key == wanted.as_bytes());
    values
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn the_banner_is_one_line_and_the_login_s_answer_may_be_glued_to_it() {
    for stream in [
        "Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\n",
        "Asterisk Call Manager/1.0\nResponse: Success\r\n\r\n",
        "Asterisk Call Manager Proxy/1.22\r\nResponse: Success\r\n\r\n",
    ] {
        let mut decoder = Decoder::new();
        decoder.push(stream.as_bytes());
        assert!(matches!(decoder.next(), Ok(Some(Item::Banner(_)))));
        assert!(
            matches!(decoder.next(), Ok(Some(Item::Message(m))) if m.is("Response", "Success"))
        );
    }
}

#[test]
fn a_key_is_known_in_any_letter_case() {
    let seen = messages(b"event: x\r\nACTIONID: a-1\r\nUniqueID: 1.2\r\nCause-txt: Normal\r\n\r\n");
    let message = seen[0].message();
    assert_eq!(message.event(), Some(b"x".as_slice()));
    assert_eq!(message.text("ActionID"), "a-1");
    assert_eq!(message.text("Uniqueid"), "1.2");
    assert_eq!(message.text("cause-TXT"), "Normal");
    assert_eq!(message.get("Cause"), None);
}

#[test]
fn a_header_may_lack_its_blank_its_value_its_key_or_its_colon() {
    let seen =
        messages(b"Event:x\r\nA:\r\nB: \r\nC:v\r\n: keyless\r\nno colon\r\n:\r\nD: a: b\r\n\r\n");
    let message = seen[0].message();
    assert_eq!(message.event(), Some(b"x".as_slice()));
    for (key, value) in [("A", ""), ("B", ""), ("C", "v"), ("D", "a: b")] {
        assert_eq!(message.get(key), Some(value.as_bytes()), "{key}");
    }
    assert_eq!(message.iter().count(), 8);
    assert_eq!(values(&seen[0], ""), ["keyless", "no colon", ""]);
}

#[test]
fn an_old_command_s_answer_ends_at_its_marker_and_at_no_empty_line() {
    let stream = b"Response: Follows\r\nPrivilege: Command\r\nActionID: a-1\r\n\
                   Channel              Location\n\n\nEvent: not one\n0 active calls\n\
                   --END COMMAND--\r\n\r\nEvent: Reload\r\n\r\n";
    let seen = messages(stream);
    assert_eq!(seen.len(), 2);
    let output = values(&seen[0], "Output");
    let wanted = [
        "Channel              Location",
        "",
        "",
        "Event: not one",
        "0 active calls",
    ];
    assert_eq!(output, wanted);
    assert_eq!(seen[0].message().text("ActionID"), "a-1");
    assert_eq!(seen[0].message().event(), None);
}

#[test]
fn a_new_command_s_answer_repeats_its_output() {
    let all = recorded("channelstatus");
    let commands: Vec<&OwnedMessage> = all
        .iter()
        .filter(|message| message.message().is("Message", "Command output follows"))
        .collect();
    let first = values(commands[0], "Output");
    assert_eq!(first[0], " -- General --");
    assert!(first.len() > 10, "{first:?}");
    assert!(values(commands[1], "Output")[0].ends_with("is not a known channel"));
    let sixteen = recorded("asterisk16");
    let hints = sixteen
        .iter()
        .find(|m| m.message().is("ActionID", "g029"))
        .unwrap();
    let output = values(hints, "Output");
    assert_eq!(
        output[..2],
        ["", "    -= Registered Asterisk Dial Plan Hints =-"]
    );
}

#[test]
fn repeated_headers_are_kept_in_their_order() {
    let seen = messages(
        b"Event: Status\r\nChanVariable(SIP/1): a=1\r\nChanVariable: b=2\r\nDestChanVariable: c=3\r\n\
          ChanVariable: a=4\r\nChanVariable: \r\n\r\n",
    );
    assert_eq!(values(&seen[0], "ChanVariable"), ["b=2", "a=4", ""]);
    assert_eq!(seen[0].message().text("ChanVariable"), "b=2");
    let keys: Vec<String> = seen[0]
        .message()
        .iter()
        .map(|(key, _)| String::from_utf8_lossy(key).into_owned())
        .collect();
    let wanted = [
        "Event",
        "ChanVariable(SIP/1)",
        "ChanVariable",
        "DestChanVariable",
    ];
    assert_eq!(keys[..4], wanted);
}

#[test]
fn the_first_header_tells_an_event_from_a_response() {
    let mut outcomes = 0;
    each_dialogue(|name, chunks| {
        let stream = chunks.concat();
        let banner = stream.iter().position(|byte| *byte == b'\n').unwrap();
        for message in messages(&stream[banner + 1..]) {
            let message = message.message();
            if message.is("Event", "OriginateResponse") {
                assert!(message.get("Response").is_some(), "{name}");
                assert_eq!(message.event(), Some(b"OriginateResponse".as_slice()));
                outcomes += 1;
            }
        }
    });
    assert!(outcomes > 20, "{outcomes}");
}

#[test]
fn an_originate_s_outcome_is_read_from_old_and_new() {
    let seen = recorded("asterisk16");
    let reasons: Vec<(String, bool, i32, String)> = seen
        .iter()
        .filter_map(|message| match Event::parse(message.message())? {
            Event::OriginateResponse(r) => {
                Some((r.action_id.into(), r.answered, r.reason, r.uniqueid.into()))
            }
            _ => None,
        })
        .collect();
    let of = |id: &str| {
        let (_, answered, reason, uniqueid) = reasons.iter().find(|r| r.0 == id).unwrap();
        (*answered, *reason, uniqueid.as_str())
    };
    assert_eq!(of("g038"), (true, 4, "1795377030.1"));
    assert_eq!(of("g040"), (false, 0, "<unknown>"));
    assert_eq!(of("g042"), (false, 5, "<unknown>"));
    assert_eq!(of("g044"), (false, 3, "<unknown>"));
}

#[test]
fn headers_nobody_knows_change_nothing() {
    let seen = messages(
        b"Event: ExtensionStatus\r\nPrivilege: call,all\r\nSequenceNumber: 12\r\nFile: pbx.c\r\n\
          Line: 3\r\nFunc: x\r\nTimestamp: 1700000000.123456\r\nSystemName: pbx-1\r\nExten: 8003\r\n\
          Context: alnik\r\nHint: PJSIP/8003\r\nStatus: 9\r\nStatusText: InUse&Ringing\r\n\r\n",
    );
    let Some(Event::ExtensionStatus(status)) = Event::parse(seen[0].message()) else {
        panic!("no ExtensionStatus")
    };
    assert_eq!(
        (&*status.extension, &*status.context, status.status),
        ("8003", "alnik", 9)
    );
}

#[test]
fn a_value_has_no_charset() {
    for (name, value, lossy) in [
        ("UTF-8", "Алматы".as_bytes(), "Алматы"),
        (
            "CP1251",
            b"\xc0\xeb\xec\xe0".as_slice(),
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
        ),
        ("Latin-1", b"M\xfcller", "M\u{fffd}ller"),
        (
            "cut in mid-character",
            &"Алматы".as_bytes()[..5],
            "Ал\u{fffd}",
        ),
        ("a NUL", b"a\0b", "a\0b"),
    ] {
        let stream = [b"Event: x\r\nCallerIDName: ", value, b"\r\nA: 1\r\n\r\n"].concat();
        let seen = messages(&stream);
        let message = seen[0].message();
        assert_eq!(message.get("CallerIDName"), Some(value), "{name}");
        assert_eq!(message.text("CallerIDName"), lossy, "{name}");
        assert_eq!(message.text("A"), "1", "{name}");
    }
}

#[test]
fn a_number_is_a_text_until_it_is_read() {
    let seen = messages(
        b"Event: x\r\nA: 8\r\nB: -1\r\nC: <unknown>\r\nD: \r\nE: 99999999999\r\nF:  7 \r\n\r\n",
    );
    let message = seen[0].message();
    let read = ["A", "B", "C", "D", "E", "F", "G"].map(|key| number(message, key));
    assert_eq!(read, [Some(8), Some(-1), None, None, None, Some(7), None]);
}

#[test]
fn a_caller_s_name_that_looks_like_the_protocol_is_a_value() {
    let seen = messages(
        b"Event: x\r\nCallerIDName: Event: Shutdown\r\nB: --END COMMAND--\r\nC: Response: Follows\r\n\r\n\
          Response: Success\r\nMessage: Response: Follows\r\n\r\n",
    );
    assert_eq!(seen.len(), 2);
    assert_eq!(Event::parse(seen[0].message()), None);
    assert_eq!(seen[0].message().text("CallerIDName"), "Event: Shutdown");
}

#[test]
fn an_empty_line_too_many_is_no_message() {
    let spare = recorded("messagesend");
    assert!(
        spare
            .iter()
            .all(|message| message.message().iter().count() > 0)
    );
    // What Asterisk 22 sent for a SIP MESSAGE had one.
    let answers = spare
        .iter()
        .filter(|m| m.message().get("Response").is_some());
    assert_eq!(answers.count(), 14);
}

#[test]
fn asterisk_s_bare_line_feed_ends_no_header() {
    let seen = recorded("peerstatus");
    let unknown = seen
        .iter()
        .find(|m| m.message().is("ActionID", "lab-39"))
        .unwrap();
    assert_eq!(
        unknown.message().text("Message"),
        "Unable to retrieve endpoint 4711\n"
    );
    assert_eq!(unknown.message().iter().count(), 3);
}
