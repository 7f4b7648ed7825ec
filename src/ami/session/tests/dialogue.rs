//! A whole recorded dialogue: its segments on the wire change nothing.

use super::*;

#[expect(
    clippy::duplicate_mod,
    reason = "two layers are tested on the same captures"
)]
#[path = "../../../../tests/captures/chunks.rs"]
mod chunks;

const LOGIN: &[u8] = include_bytes!("../../../../tests/captures/login-plain.txt");
const PEERS: &[u8] = include_bytes!("../../../../tests/captures/peerstatus.txt");
const CHANNELS: &[u8] = include_bytes!("../../../../tests/captures/channelstatus.txt");

/// The messages of a capture from the first to the last that carry an ActionID, strangers between
/// them included; the ActionID replaced by one of ours.
fn renamed(recorded: &[u8], lab: u32, ours: &str) -> Vec<u8> {
    let text = String::from_utf8(chunks::server_chunks(recorded).concat()).unwrap();
    let line = format!("\r\nActionID: lab-{lab}\r\n");
    let messages: Vec<&str> = text.split_inclusive("\r\n\r\n").collect();
    let its = |message: &&str| message.contains(&line);
    let first = messages.iter().position(its).unwrap();
    let last = messages.iter().rposition(its).unwrap();
    let ours = format!("\r\nActionID: {ours}\r\n");
    messages[first..=last]
        .concat()
        .replace(&line, &ours)
        .into_bytes()
}

/// The login of Asterisk 22, from the banner to the end of the probe.
fn login() -> Vec<u8> {
    let id = |serial| format!("salara-65f2a01c-3e9-link-{serial}");
    let challenge = with_id(&["Response: Success", "Challenge: 13828689"], &id(1));
    let mut bytes = BANNER.as_bytes().to_vec();
    bytes.extend(packet(&challenge));
    bytes.extend(packet(&with_id(&["Response: Success"], &id(2))));
    bytes.extend(packet(&FULLY_BOOTED));
    bytes.extend(renamed(LOGIN, 4, &id(3)));
    bytes.extend(renamed(LOGIN, 5, &id(4)));
    bytes
}

/// An endpoint, a channel among the events of its call, an error with a bare line feed in it.
fn answers() -> Vec<u8> {
    let id = |ask| format!("salara-65f2a01c-3e9-{ask}");
    let mut bytes = renamed(PEERS, 2, &id(1));
    bytes.extend(renamed(CHANNELS, 7, &id(2)));
    bytes.extend(renamed(PEERS, 39, &id(3)));
    bytes.extend(packet(&["Event: Shutdown", "Restart: True"]));
    bytes
}

/// What a session makes of the dialogue in these segments: all its outputs, all it writes.
fn play<'a>(
    login: impl Iterator<Item = &'a [u8]>,
    answers: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Output>, Vec<u8>) {
    let endpoint = |name| Action::PjsipShowEndpoint {
        endpoint: crate::value::Name::new(name).unwrap(),
    };
    let mut play = Play::connected();
    let mut written = Vec::new();
    let mut feed = |play: &mut Play, bytes: &[u8]| {
        play.sends(bytes);
        written.extend_from_slice(play.session.outgoing());
        play.session.sent(usize::MAX);
    };
    login.for_each(|bytes| feed(&mut play, bytes));
    assert!(play.session.is_up());
    play.ask(1, &endpoint("8003"));
    play.ask(2, &status_of("1795376115.64"));
    play.ask(3, &endpoint("4711"));
    answers.for_each(|bytes| feed(&mut play, bytes));
    (play.outputs(), written)
}

#[test]
fn a_recorded_dialogue_is_the_same_in_any_segmentation() {
    let (login, answers) = (login(), answers());
    let (login, answers) = (login.as_slice(), answers.as_slice());
    let once = std::iter::once;
    let whole = play(once(login), once(answers));
    let told: Vec<String> = whole.0.iter().map(brief).collect();
    let connected = "connected to Asterisk 22.10.1+dfsg+~cs6.17.60671434-1, AMI 11.0.0, PJSIP";
    let endpoint = "Following are Events for each object associated with the Endpoint";
    assert_eq!(
        told,
        [
            connected,
            "up",
            &format!("1: yes {endpoint:?} + 4"),
            r#"2: yes "Channel status will follow" + 1"#,
            r#"3: no "Unable to retrieve endpoint 4711\n" + 0"#,
            "Shutdown { restart: true }",
        ]
    );
    let wanted = ["Challenge", "Login", "CoreSettings", "ListCommands"];
    let asked = ["PJSIPShowEndpoint", "Status", "PJSIPShowEndpoint"];
    let sent = actions(&whole.1);
    assert_eq!(names(&sent), [wanted.as_slice(), &asked].concat());

    assert!(
        play(login.chunks(1), answers.chunks(1)) == whole,
        "byte by byte"
    );
    for cut in (0..login.len()).step_by(37) {
        let (head, tail) = login.split_at(cut);
        assert!(
            play([head, tail].into_iter(), once(answers)) == whole,
            "login cut at {cut}"
        );
    }
    for cut in (0..answers.len()).step_by(7) {
        let (head, tail) = answers.split_at(cut);
        assert!(
            play(once(login), [head, tail].into_iter()) == whole,
            "cut at {cut}"
        );
    }
}
