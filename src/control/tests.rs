//! Requests in any segmentation, answers whole.

use std::fs;

use super::*;
use crate::config::Config;

mod recorded;

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// What is answered to these bytes, should they be no request.
fn answered(bytes: &[u8]) -> Answer {
    let now = start();
    let mut exchange = Exchange::new(now);
    exchange.handle_bytes(bytes, now);
    assert_eq!(exchange.poll_request(), None);
    let answer = Answer::read(exchange.outgoing()).unwrap();
    exchange.sent(exchange.outgoing().len(), now);
    assert!(exchange.is_finished());
    answer
}

#[test]
fn a_request_is_read_in_any_segmentation_and_answered_once() {
    let line = spell(&words("send post json {\"a\": \"\u{e9}\"}"), false);
    for size in 1..=line.len() {
        let now = start();
        let mut exchange = Exchange::new(now);
        for piece in line.as_bytes().chunks(size) {
            assert!(exchange.is_idle() && exchange.wants_read());
            exchange.handle_bytes(piece, now);
        }
        let verb = exchange.poll_request();
        let (kind, body) = (PostKind::Json, "{\"a\": \"\u{e9}\"}".to_owned());
        assert_eq!(verb, Some(Verb::SendPost { kind, body }));
        assert_eq!(exchange.poll_request(), None);
        assert!(!exchange.is_idle() && exchange.poll_timeout().is_none());
        exchange.reply(Sheet::done("well"), now);
        exchange.reply(Sheet::done("twice"), now);
        assert_eq!(exchange.outgoing(), b"salara/1 0 5\nwell\n");
    }
}

#[test]
fn what_is_no_request_is_told_so() {
    for bytes in [
        "GET / HTTP/1.1\r\n",
        "{}\n",
        "[]\n",
        "\n",
        "{\"salara\":2,\"words\":[\"show\",\"info\"]}\n",
        "{\"salara\":\"1\"}\n",
    ] {
        let answer = answered(bytes.as_bytes());
        assert_eq!(answer.status, NOT_UNDERSTOOD, "{bytes}");
        assert!(
            answer.text.contains("does not understand this client"),
            "{bytes}"
        );
    }
    let answer = answered(b"{\"salara\":1,\"words\":5}\n");
    assert_eq!(answer.text, "No such command 'salara '\n");
    let long = vec![b'x'; MAX_REQUEST + 1];
    assert_eq!(answered(&long).text, "a request has at most 65536 bytes\n");
}

#[test]
fn who_asks_nothing_or_takes_nothing_is_let_go() {
    let now = start();
    let mut exchange = Exchange::new(now);
    exchange.handle_timeout(now + PATIENCE / 2);
    assert!(!exchange.is_finished());
    exchange.handle_timeout(now + PATIENCE);
    assert!(exchange.is_finished());

    let mut exchange = Exchange::new(now);
    exchange.handle_bytes(spell(&words("show info"), true).as_bytes(), now);
    assert!(exchange.poll_request().is_some());
    exchange.handle_timeout(now + PATIENCE * 100);
    // It shut its side, as `nc` does, and still waits for the answer.
    exchange.handle_eof(now);
    exchange.close_soon();
    assert!(!exchange.is_finished());
    exchange.reply(Sheet::failed("no"), now);
    assert_eq!(exchange.outgoing(), b"salara/1 1 15\n{\"error\":\"no\"}\n");
    exchange.handle_timeout(now + PATIENCE);
    assert!(exchange.is_finished());
}

#[test]
fn an_answer_is_whole_or_an_error() {
    let whole = "salara/1 1 5\nno!\n\n";
    let (status, text) = (1, "no!\n\n".to_owned());
    assert_eq!(Answer::read(whole.as_bytes()), Ok(Answer { status, text }));
    for cut in 0..whole.len() {
        assert!(Answer::read(&whole.as_bytes()[..cut]).is_err(), "{cut}");
    }
    assert!(Answer::read(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err());
}

#[test]
fn every_line_of_the_usage_is_a_verb() {
    for line in USAGE.lines() {
        let choices = |word: &str| match word {
            "<name>" | "<caller>" | "<called>" | "<from>" | "<to>" | "<chan>" => {
                vec!["8003".into()]
            }
            _ => word.split('|').map(str::to_owned).collect::<Vec<_>>(),
        };
        // Words of one placeholder, such as `<asterisk cli command>`, are as good as several.
        let mut lines = vec![Vec::new()];
        for word in line.split(' ') {
            let all = lines.iter();
            lines = all
                .flat_map(|line: &Vec<String>| {
                    let more = move |choice| [line.clone(), vec![choice]].concat();
                    choices(word).into_iter().map(more)
                })
                .collect();
        }
        for line in lines {
            assert!(
                Verb::parse(&line).is_ok(),
                "{line:?}: {:?}",
                Verb::parse(&line)
            );
        }
    }
}

#[test]
fn words_that_cannot_be_used_are_named() {
    for (line, why) in [
        (
            "show",
            "No such command 'salara show'; there is\n  salara show info\n",
        ),
        ("show xyz", "No such command 'salara show xyz'; there is\n"),
        (
            "set verbose 3",
            "No such command 'salara set verbose 3'; there is\n  salara set verbose",
        ),
        ("start", "No such command 'salara start'"),
        ("set route 1:2 3", "caller: holds ':'"),
        (
            "set route #1 3",
            "caller: what begins with # is a comment in the file",
        ),
        ("set route 1 a=b", "called: holds '='"),
        (
            "send command a\nAction: b",
            "command: holds the control character",
        ),
        (
            "send msg 8002 8003",
            "No such command 'salara send msg 8002 8003'; there is\n",
        ),
        ("get status peer a\rb", "name: holds the control character"),
    ] {
        let got = Verb::parse(&words(line)).unwrap_err();
        assert!(got.starts_with(why), "{line}: {got}");
    }
}

#[test]
fn noise_is_answered_or_waited_out_and_harms_nobody() {
    let good = spell(&words("set route 8003 0000"), true).into_bytes();
    let mut random: u64 = 3;
    let mut next = |count: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % 1_000_003).unwrap() % count
    };
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..next(4) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, b'\n'),
            }
        }
        let now = start();
        let mut exchange = Exchange::new(now);
        for piece in bytes.chunks(1 + next(20)) {
            exchange.handle_bytes(piece, now);
        }
        if exchange.poll_request().is_some() {
            exchange.reply(Sheet::done(""), now);
        }
        let is_told = Answer::read(exchange.outgoing()).is_ok();
        assert!(
            is_told || exchange.is_idle(),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        exchange.handle_timeout(now + PATIENCE);
        assert!(exchange.is_finished());
    }
}
