//! Recorded bytes with mistakes in them: what nobody sends but an enemy, a bug or a bad line.
//!
//! Whatever comes, nothing panics or grows without bound; what is understood does not depend on how
//! it was cut; and no byte of it becomes a line of an action that was not meant. `SALARA_LONG=1`
//! plays forty times as many; a failure names its seed, and `SALARA_SEED=7` plays it alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use salara::agi;
use salara::ami::codec::{DecodeError, Decoder, Item};
use salara::ami::instance::Instance;
use salara::ami::session::{self, Credentials, Facts, Response, Session};
use salara::api;
use salara::config::{Config, Keys, Secret};
use salara::engine::{self, ConnId, Engine};
use salara::http;

#[path = "captures/chunks.rs"]
mod chunks;
#[path = "simulation/random.rs"]
mod random;

use random::Random;

/// Mutations of each kind in a short run, and in a long one.
const SHORT: u64 = 400;
const LONG: u64 = 16_000;
/// The session's own bound, and a ping.
const MAX_UNWRITTEN: usize = 65 * 1024;
/// A call as Asterisk hands it over, and some answers.
const AGI: &str = "agi_network: yes\nagi_request: agi://127.0.0.1/salara\n\
    agi_channel: PJSIP/trunk-00000008\nagi_type: PJSIP\nagi_uniqueid: 1795377242.8\n\
    agi_callerid: 79161234567\nagi_context: alnik\nagi_extension: 5002\nagi_arg_1: x\n\n\
    200 result=1\n200 result=1 (sip:5002@127.0.0.1:5060)\n510 Invalid or unknown command\n\
    520-Invalid command syntax.  Proper usage follows:\nUsage: SET VARIABLE\n520 End of proper usage.\n\
    200 result=-1\nHANGUP\n";

#[test]
fn an_ami_stream_with_mistakes_is_the_same_in_any_segmentation() {
    let corpus = dialogues();
    each_seed(|random| {
        let stream = mutated(&corpus, random);
        let whole = decoded([stream.as_slice()]);
        let cuts = cuts(&stream, &mut random.split());
        assert_eq!(decoded(cuts), whole);
    });
}

#[test]
fn a_session_outlives_any_asterisk_and_never_forgets_its_deadlines() {
    let corpus = dialogues();
    each_seed(|random| {
        let mut now = start();
        let mut session =
            Session::new(Instance::new(1, 2), "system,call", 7, now).with_filter(&["FullyBooted"]);
        let mut is_open = false;
        for _ in 0..6 {
            let stream = mutated(&corpus, random);
            for segment in cuts(&stream, random) {
                if is_open {
                    session.handle_bytes(segment, now);
                }
                settle(&mut session, &mut is_open, now);
            }
            let next = session.poll_timeout().unwrap();
            now = next.max(now + Duration::from_millis(1));
            session.handle_timeout(now);
            settle(&mut session, &mut is_open, now);
            assert!(session.poll_timeout().is_some_and(|next| next > now));
        }
    });
}

#[test]
fn an_http_stream_with_mistakes_is_answered_the_same_in_any_segmentation() {
    let corpus = requests();
    each_seed(|random| {
        let stream = mutated(&corpus, random);
        let whole = answered(&[&stream]);
        let cuts = cuts(&stream, random);
        assert_eq!(
            answered(&cuts),
            whole,
            "{:?}",
            String::from_utf8_lossy(&stream)
        );
    });
}

#[test]
fn no_call_s_facts_and_no_answer_forge_a_line_of_agi() {
    let corpus = [AGI.as_bytes().to_vec()];
    let (mut calls, mut gone) = (0, 0);
    each_seed(|random| {
        let now = start();
        let mut session = agi::Session::new(now);
        let stream = mutated(&corpus, random);
        for segment in cuts(&stream, random) {
            session.handle_bytes(segment, now);
            while let Some(event) = session.poll_event() {
                match event {
                    agi::Event::Call(facts) => {
                        calls += 1;
                        tell(&mut session, &facts.caller);
                    }
                    agi::Event::Answer(answer) => {
                        tell(&mut session, answer.value.as_deref().unwrap_or_default());
                    }
                    agi::Event::Gone(_) => gone += 1,
                }
            }
        }
        session.handle_eof(now);
        assert_eq!(session.poll_timeout(), None, "it is over");
    });
    assert!(calls > 20 && gone > 20, "{calls} calls, {gone} gone");
}

/// Tells Asterisk what it has told, which is a line whatever that was.
fn tell(session: &mut agi::Session, value: &str) {
    let command = agi::Command::Set {
        name: "SALARA_REASON".into(),
        value: value.into(),
    };
    session.command(&command, start());
    let line = String::from_utf8(session.outgoing().to_vec()).unwrap();
    session.sent(line.len(), start());
    let line = line.strip_suffix('\n').unwrap_or(&line);
    assert!(!line.contains('\n') && !line.contains('\r'), "{line:?}");
}

#[test]
fn no_request_and_no_answer_forges_a_line_of_an_action() {
    let corpus = bodies();
    let keys = Keys::default();
    let (mut asked, mut refused) = (0, 0);
    each_seed(|random| {
        let body = mutated(&corpus, random);
        let target = String::from_utf8_lossy(&mutated(&corpus, random)).into_owned();
        let target = random.one_of(&["/", &target]);
        match api::parse(target, &body, &keys) {
            Ok(request) => asked += ask(request, random),
            Err(bad) => {
                refused += 1;
                let reply = api::Reply::from(bad);
                let why = reply.error.as_deref().unwrap();
                assert!(
                    !why.is_empty() && matches!(reply.status, 400 | 413),
                    "{reply:?}"
                );
            }
        }
    });
    assert!(
        asked > 20 && refused > 20,
        "{asked} asked, {refused} refused"
    );
}

#[test]
fn a_configuration_with_mistakes_is_read_and_complained_of() {
    let corpus = configurations();
    let mut complaints = 0;
    each_seed(|random| {
        let text = String::from_utf8_lossy(&mutated(&corpus, random)).into_owned();
        let parsed = Config::parse(&text);
        for problem in &parsed.problems {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&problem.line), "{problem}");
            assert!(!problem.text.chars().any(char::is_control), "{problem:?}");
            complaints += 1;
        }
        assert_eq!(Config::parse(&text), parsed, "read again");
    });
    assert!(complaints > 100, "{complaints}");
}

fn each_seed(mut play: impl FnMut(&mut Random)) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a run of the tests is told what to play"
    )]
    let setting = |name| std::env::var(name).ok();
    if let Some(seed) = setting("SALARA_SEED").and_then(|seed| seed.parse().ok()) {
        return play(&mut Random::new(seed));
    }
    let seeds = setting("SALARA_LONG").map_or(SHORT, |_| LONG);
    for seed in 0..seeds {
        let play = std::panic::AssertUnwindSafe(|| play(&mut Random::new(seed)));
        let played = std::panic::catch_unwind(play);
        assert!(played.is_ok(), "SALARA_SEED={seed} plays this again");
    }
}

/// One of the corpus with some mistakes in it.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.one_of(&[0, 1, 1, 2, 5, 40]) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(30)).min(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 if at < end => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                let times = random.one_of(&[1, 3, 400]);
                bytes.splice(at..at, copy.repeat(times));
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            5 => drop(bytes.splice(at..at, *b"\r\n")),
            6 => bytes.insert(at, random.one_of(b"\0\r\n:\x7f\xff\"\\{}%&=;[/ ")),
            _ => {
                let number = random.one_of(&["-1", "0", "18446744073709551616", "+5", "1e9"]);
                bytes.splice(at..end, number.bytes());
            }
        }
    }
    bytes
}

/// The stream in segments of any length.
fn cuts<'a>(mut stream: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let most = random.one_of(&[1, 3, 20, 500]);
    let mut segments = Vec::new();
    while !stream.is_empty() {
        let (segment, rest) = stream.split_at((1 + random.below(most)).min(stream.len()));
        segments.push(segment);
        stream = rest;
    }
    segments
}

/// Everything that is made of a stream, up to the error that ends it.
fn decoded<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for segment in segments {
        decoder.push(segment);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(Item::Banner(version))) => items.push(format!("{version:?}")),
                Ok(Some(Item::Message(message))) => items.push(format!("{message:?}")),
                Err(error @ DecodeError::TooLarge { .. }) => items.push(error.to_string()),
                Err(error @ DecodeError::NotAmi(_)) => {
                    items.push(error.to_string());
                    return items;
                }
            }
        }
    }
    items
}

fn settle(session: &mut Session, is_open: &mut bool, now: Instant) {
    for _ in 0..10_000 {
        match session.poll_output() {
            None => {
                assert!(session.outgoing().len() <= MAX_UNWRITTEN);
                return;
            }
            Some(session::Output::Connect) => {
                *is_open = true;
                let credentials = Credentials {
                    user: "salara".into(),
                    secret: Secret::new("secret22"),
                };
                session.handle_connected(credentials, now);
            }
            Some(session::Output::Disconnect) => *is_open = false,
            Some(_) => {}
        }
    }
    panic!("outputs without an end");
}

/// What a client gets that sends this and then no more: replies, and whether that was all.
fn answered(segments: &[&[u8]]) -> (Vec<http::HttpRequest>, String) {
    let (now, mut requests, mut output) = (start(), Vec::new(), String::new());
    let options = http::Options {
        bare_reply: false,
        error_body: api::ERROR_BODY,
    };
    let mut connection = http::Connection::new(options, now);
    let ok = api::Reply::state(0, "Idle").to_response();
    let mut serve = |connection: &mut http::Connection| {
        loop {
            let request = connection.poll_request();
            let written = connection.outgoing().len();
            output += std::str::from_utf8(connection.outgoing()).unwrap();
            connection.sent(written, now);
            match request {
                Some(request) => {
                    connection.reply(&ok, now);
                    requests.push(request);
                }
                None if written == 0 => break,
                None => {}
            }
        }
    };
    for segment in segments {
        connection.handle_bytes(segment, now);
        serve(&mut connection);
    }
    connection.handle_eof(now);
    serve(&mut connection);
    // Whether leave to send a body is asked for in time depends on what has come with it.
    (
        requests,
        output.replace("HTTP/1.1 100 Continue\r\n\r\n", ""),
    )
}

/// Puts a request to an engine whose Asterisk answers all with this kind of thing. Tells how many
/// actions that made.
fn ask(request: api::Request, random: &mut Random) -> usize {
    let now = start();
    let mut engine = Engine::new(Rc::new(Config::default()), Instance::new(1, 2));
    engine.handle_up(Facts {
        chan_sip: random.percent(50),
        pjsip: random.percent(50),
        ..Facts::default()
    });
    let conn = ConnId {
        slot: 1,
        generation: 1,
    };
    engine.handle_request(conn, request, now);
    let mut actions = 0;
    while let Some(output) = engine.poll_output() {
        let engine::Output::Act(ask, action) = output else {
            continue;
        };
        actions += 1;
        assert!(actions < 10, "actions without an end");
        let mut wire = Vec::new();
        match action.encode("id-1", &mut wire) {
            Ok(()) => check(&wire),
            Err(bad) => assert!(wire.is_empty(), "{bad}: half an action"),
        }
        let hint = random.one_of(&[
            "PJSIP/8003",
            "Local/8003@x/n&SIP/8003",
            "SIP/80\u{1}03",
            "PJSIP/8003,Custom:x",
            "&&&",
            "/",
        ]);
        let head = format!("Response: Success\r\nHint: {hint}\r\nStatus: 0\r\nStatusText: Idle");
        engine.handle_done(ask, Ok(response(&head)), now);
    }
    actions
}

/// An action is lines without anything else in them, and an empty one.
fn check(wire: &[u8]) {
    let text = String::from_utf8_lossy(wire);
    let lines = text
        .strip_suffix("\r\n\r\n")
        .unwrap_or_else(|| panic!("{text:?}"));
    for line in lines.split("\r\n") {
        assert!(!line.chars().any(char::is_control), "{line:?} in {text:?}");
        assert!(line.len() <= 1024 && line.contains(": "), "{line:?}");
    }
    assert_eq!(text.matches("Action: ").count(), 1, "{text:?}");
}

fn response(head: &str) -> Response {
    let mut decoder = Decoder::new();
    decoder.push(format!("Asterisk Call Manager/11.0.0\r\n{head}\r\n\r\n").as_bytes());
    loop {
        if let Some(Item::Message(message)) = decoder.next().unwrap() {
            return Response {
                success: true,
                head: message.to_owned(),
                items: Vec::new(),
                is_cut: false,
            };
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

/// The beginnings of what Asterisks said.
fn dialogues() -> Vec<Vec<u8>> {
    let files = files(Path::new("tests/captures"), ".txt");
    let corpus = files.iter().map(|file| {
        let mut stream = chunks::server_chunks(&fs::read(file).unwrap()).concat();
        stream.truncate(6_000);
        stream
    });
    found(corpus.collect(), 50)
}

/// What clients of the module sent.
fn requests() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for file in files(Path::new("tests/golden"), "rest.jsonl") {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(request) = line["request"].as_str() {
                corpus.push(request.as_bytes().to_vec());
            }
        }
    }
    found(corpus, 100)
}

/// What stood in them.
fn bodies() -> Vec<Vec<u8>> {
    let body = |request: Vec<u8>| {
        let text = String::from_utf8(request).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let path = head.split(' ').nth(1)?;
        let body = if body.is_empty() { path } else { body };
        Some(body.as_bytes().to_vec())
    };
    found(requests().into_iter().filter_map(body).collect(), 100)
}

fn configurations() -> Vec<Vec<u8>> {
    let mut files = files(Path::new("tests/golden"), ".conf");
    files.extend(self::files(Path::new("tests/config"), ".conf"));
    files.push("salara.conf".into());
    let corpus = files.iter().map(|file| fs::read(file).unwrap());
    found(corpus.collect(), 50)
}

fn found(corpus: Vec<Vec<u8>>, least: usize) -> Vec<Vec<u8>> {
    assert!(corpus.len() >= least, "only {} were found", corpus.len());
    corpus
}

/// All files below a directory whose names end so.
fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}
