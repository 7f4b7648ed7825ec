//! Tests of the laboratory itself: does it do what the other tests believe it does?
//!
//! Each runs on both versions of Asterisk, every time on one of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a test owns its threads")]

#[macro_use]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::ami::{Ami, bridged};
use support::asterisk::{Asterisk, Version};
use support::crm::{Answer, Crm};
use support::phone::{Behaviour, Call, Direction, OnRefer, Phone, Stage};

on_both! {
    it_starts_without_complaint
    two_phones_talk
    a_busy_phone_refuses
    refusals_have_their_codes
    a_message_reaches_the_phone
    a_phone_sends_a_message
    the_hint_follows_the_call
    a_phone_with_one_line_is_busy
    peers_are_what_they_are_called
    a_queue_calls_its_member
    the_trunk_brings_any_number
    a_transfer_before_the_answer_is_followed
    a_transfer_after_the_answer_is_followed
    a_transfer_ends_as_the_phone_says
    callers_may_hide_their_number
    users_may_do_what_they_may
    it_comes_back_after_a_kill
    it_stops_when_asked
}

fn it_starts_without_complaint(asterisk: Asterisk) {
    let log = asterisk.log();
    // Known and true: this is why there are two versions of these tests.
    let known = |line: &str| line.contains("'chan_sip' has been loaded but will be deprecated");
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("WARNING") || line.contains("ERROR"))
        .filter(|line| !known(line))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let version = asterisk.cli("core show version");
    let expected = format!("Asterisk {}.", asterisk.version().number());
    assert!(version.starts_with(&expected), "{version}");
}

fn two_phones_talk(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let called = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let mut ami = asterisk.ami();

    let outgoing = caller.call("8003");
    let incoming = called.incoming(SOON).unwrap();
    assert_eq!(incoming.direction(), Direction::Incoming);
    assert_eq!(incoming.number(), "8001");
    assert!(outgoing.wait(Stage::Ringing, SOON));
    assert!(outgoing.wait(Stage::Answered, SOON));
    let channels = ami.wait_channels(SOON, |c| c.len() == 2 && bridged(c, "8001", "8003"));
    assert!(channels.unwrap()[0].name.starts_with(asterisk.tech()));

    incoming.hang_up();
    assert!(outgoing.wait(Stage::Ended, SOON));
    ami.wait_channels(SOON, <[_]>::is_empty).unwrap();
}

fn a_busy_phone_refuses(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let _called = Phone::registered(&asterisk, "8003", Behaviour::BUSY);
    assert_eq!(code_of(&caller.call("8003")), Some(486));
    assert_eq!(code_of(&caller.call("0")), Some(486));
}

fn refusals_have_their_codes(asterisk: Asterisk) {
    let called = Phone::registered(&asterisk, "8003", Behaviour::REJECT);
    let mut ami = asterisk.ami();
    let causes = [
        (Behaviour::BUSY, "17"),
        (Behaviour::REJECT, "21"),
        (Behaviour::NOT_FOUND, "1"),
        (
            Behaviour::RingAndRefuse {
                after: MOMENT,
                code: 486,
            },
            "17",
        ),
    ];
    for (behaviour, cause) in causes {
        called.set_behaviour(behaviour);
        ami.mark();
        originate(&mut ami, &asterisk, "8003", "000");
        let hangup = ami.wait_event(SOON, |f| f.is("Hangup")).unwrap();
        assert_eq!(hangup.get("Cause"), cause, "{behaviour:?}");
        assert!(called.incoming(SOON).unwrap().wait(Stage::Ended, SOON));
    }
}

fn a_message_reaches_the_phone(asterisk: Asterisk) {
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let to = format!("{}:8003", asterisk.tech().to_lowercase());
    let response = asterisk.ami().action(&[
        ("Action", "MessageSend"),
        ("To", to.as_str()),
        ("From", "sip:87012223344@127.0.0.1"),
        ("Body", "перезвоните"),
    ]);
    assert_eq!(response.get("Response"), "Success", "{response:?}");
    let inbox = phone.wait_inbox(1, SOON);
    assert_eq!(inbox[0].body, "перезвоните");
    assert!(inbox[0].from.contains("87012223344"), "{inbox:?}");
    assert!(inbox[0].content_type.starts_with("text/plain"), "{inbox:?}");
}

fn a_phone_sends_a_message(asterisk: Asterisk) {
    let sender = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let receiver = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    assert_eq!(sender.send_message("8003", "good morning"), Some(202));
    assert_eq!(receiver.wait_inbox(1, SOON)[0].body, "good morning");
}

fn the_hint_follows_the_call(asterisk: Asterisk) {
    let mut ami = asterisk.ami();
    assert_eq!(ami.extension_state("8003"), UNAVAILABLE);
    let caller = Phone::registered(&asterisk, "8001", Behaviour::ANSWER);
    let called = Phone::registered(&asterisk, "8003", Behaviour::Ring);
    assert_eq!(ami.extension_state("8003"), IDLE);

    let call = caller.call("8003");
    assert_eq!(ami.wait_extension_state("8003", RINGING, SOON), Ok(()));
    called.incoming(SOON).unwrap().answer();
    assert_eq!(ami.wait_extension_state("8003", IN_USE, SOON), Ok(()));
    assert!(call.wait(Stage::Answered, SOON));
    call.hang_up();
    assert_eq!(ami.wait_extension_state("8003", IDLE, SOON), Ok(()));
}

fn a_phone_with_one_line_is_busy(asterisk: Asterisk) {
    let phone = Phone::registered(&asterisk, "8002", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    let call = phone.call("0000");
    assert!(call.wait(Stage::Answered, SOON));
    assert_eq!(ami.wait_extension_state("8002", BUSY, SOON), Ok(()));
    call.hang_up();
    assert_eq!(ami.wait_extension_state("8002", IDLE, SOON), Ok(()));
}

fn peers_are_what_they_are_called(asterisk: Asterisk) {
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let _other = Phone::registered(&asterisk, "1111", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    let (unmonitored, silent) = match asterisk.version() {
        Version::V16 => ("Unmonitored", "Unknown"),
        Version::V22 => ("NonQualified", ""),
    };
    let expected = [
        ("8003", "Reachable"),
        ("1111", unmonitored),
        ("8010", unmonitored),
    ];
    for (peer, status) in expected.into_iter().chain([("8009", silent), ("8011", "")]) {
        assert_eq!(asterisk.peer_status(&mut ami, peer), status, "{peer}");
    }
    let states = [
        ("8009", UNAVAILABLE),
        ("8010", IDLE),
        ("8011", UNAVAILABLE),
        ("1234", NO_HINT),
    ];
    for (extension, state) in states.into_iter().chain([("0000", IDLE), ("710", IDLE)]) {
        assert_eq!(ami.extension_state(extension), state, "{extension}");
    }

    ami.mark();
    phone.answer_options(false);
    let lost = ami.wait_event(SOON, |f| {
        f.is("PeerStatus") && f.get("PeerStatus") == "Unreachable"
    });
    assert!(lost.is_some());
    assert_eq!(ami.wait_extension_state("8003", UNAVAILABLE, SOON), Ok(()));
}

fn a_queue_calls_its_member(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let agent = Phone::registered(&asterisk, "2222", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    for (queue, member) in [("710", "Local/2222@alnik"), ("711", asterisk.tech())] {
        ami.mark();
        let call = caller.call(queue);
        let connect = ami.wait_event(SOON, |f| f.is("AgentConnect")).unwrap();
        assert_eq!(connect.get("Queue"), queue);
        assert!(
            connect.get("DestChannel").starts_with(member),
            "{connect:?}"
        );
        agent.incoming(SOON).unwrap().hang_up();
        assert!(call.wait(Stage::Ended, SOON));
        ami.wait_channels(SOON, <[_]>::is_empty).unwrap();
    }
}

fn the_trunk_brings_any_number(asterisk: Asterisk) {
    let called = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let behaviour = Behaviour::ANSWER;
    let trunk = Phone::start_at(
        asterisk.trunk_port(),
        asterisk.sip_addr(),
        "trunk",
        behaviour,
    );
    let call = trunk.call_as("87012223344", "8003");
    assert_eq!(called.incoming(SOON).unwrap().number(), "87012223344");
    assert!(call.wait(Stage::Answered, SOON));
    call.hang_up();

    called.call("987012223344").wait(Stage::Answered, SOON);
    let call = trunk.incoming(SOON).unwrap();
    assert_eq!(call.number(), "8003");
    assert!(call.wait(Stage::Answered, SOON));
}

fn a_transfer_before_the_answer_is_followed(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let called = Phone::registered(&asterisk, "8002", Behaviour::ANSWER);
    // Without a server the dialplan goes on, and its Hangup ends the call.
    assert!(code_of(&caller.call("5000")).is_some_and(|code| code >= 400));

    caller.follow_redirects(true);
    let server = serve_agi(&asterisk, "8002");
    let first = caller.call("5000");
    assert_eq!(code_of(&first), Some(302));
    server.join().unwrap();
    assert!(first.redirected_to().unwrap().contains("8002"));
    let second = first.followed_by(SOON).unwrap();
    assert_eq!(called.incoming(SOON).unwrap().number(), "8003");
    assert!(second.wait(Stage::Answered, SOON));
}

fn a_transfer_after_the_answer_is_followed(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let called = Phone::registered(&asterisk, "8002", Behaviour::ANSWER);
    caller.on_refer(OnRefer::Follow);
    let server = serve_agi(&asterisk, "8002");
    let first = caller.call("5001");
    let second = first.followed_by(SOON).unwrap();
    assert!(first.referred_to().unwrap().contains("8002"));
    assert!(second.wait(Stage::Answered, SOON));
    assert!(called.incoming(SOON).is_some());
    server.join().unwrap();
    assert!(first.wait(Stage::Ended, SOON));
}

fn a_transfer_ends_as_the_phone_says(asterisk: Asterisk) {
    let caller = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let mut ami = asterisk.ami();
    for (on_refer, status) in [
        (OnRefer::Notify(200), "SUCCESS"),
        (OnRefer::Decline, "FAILURE"),
        (OnRefer::Notify(486), "FAILURE"),
    ] {
        ami.mark();
        caller.on_refer(on_refer);
        let server = serve_agi(&asterisk, "8002");
        let call = caller.call("5001");
        let told = ami.wait_event(SOON, |f| {
            f.is("VarSet") && f.get("Variable") == "TRANSFERSTATUS" && f.get("Value") != "UNKNOWN"
        });
        let got = told.map(|f| f.get("Value").to_owned());
        assert_eq!(got.as_deref(), Some(status), "{on_refer:?}");
        server.join().unwrap();
        assert!(call.wait(Stage::Ended, SOON));
        assert_eq!(call.followed_by(Duration::ZERO).map(|c| c.number()), None);
    }
}

fn callers_may_hide_their_number(asterisk: Asterisk) {
    let trunk = Phone::start_at(
        asterisk.trunk_port(),
        asterisk.sip_addr(),
        "trunk",
        Behaviour::ANSWER,
    );
    for (from, number) in [
        ("\"Smith\" <sip:87012223344@127.0.0.1>", "87012223344"),
        (
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            "anonymous",
        ),
        ("<sip:127.0.0.1>", "unknown"),
    ] {
        let server = serve_agi(&asterisk, "8002");
        let call = trunk.call_from(from, "5000");
        let environment = server.join().unwrap();
        assert!(
            environment.contains(&format!("agi_callerid: {number}")),
            "{from}: {environment:?}"
        );
        assert!(call.wait(Stage::Ended, SOON));
    }
}

fn users_may_do_what_they_may(asterisk: Asterisk) {
    let login = |user: &str| Ami::login(asterisk.ami_addr(), user, &asterisk.secret(user));
    assert_eq!(login("denied").unwrap_err(), "Authentication failed");
    let originate = [("Action", "Originate"), ("Channel", "Local/000@alnik")];
    let originate = [
        &originate[..],
        &[("Application", "Wait"), ("Async", "true")],
    ]
    .concat();
    for (user, response) in [
        ("salara", "Success"),
        ("nosystem", "Success"),
        ("lowpriv", "Error"),
    ] {
        let mut ami = login(user).unwrap();
        assert_eq!(ami.action(&originate).get("Response"), response, "{user}");
        let booted = ami.events().iter().any(|f| f.is("FullyBooted"));
        assert_eq!(booted, user == "salara", "{user}");
    }
}

fn it_comes_back_after_a_kill(mut asterisk: Asterisk) {
    let phone = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let (addr, ami) = (asterisk.ami_addr(), asterisk.ami());
    asterisk.kill();
    assert!(ami.wait_closed(SOON));
    assert!(TcpStream::connect(addr).is_err());

    asterisk.start_again();
    assert_eq!(asterisk.ami_addr(), addr);
    assert_eq!(phone.register(), Some(200));
    asterisk.wait_reachable("8003");
    let call = phone.call("000");
    assert!(call.wait(Stage::Answered, SOON));
    assert!(call.wait(Stage::Ended, SOON));
}

fn it_stops_when_asked(mut asterisk: Asterisk) {
    let ami = asterisk.ami();
    asterisk.stop_gracefully();
    // Not the event Shutdown: on a busy machine Asterisk ends before it has sent it.
    assert!(ami.wait_closed(SOON));
    asterisk.start_again();
    assert!(asterisk.cli("core show uptime").contains("System uptime"));
}

#[test]
fn the_crm_writes_down_and_answers() {
    let crm = Crm::start(|request| match request.path.as_str() {
        "/chunks" => Answer::json("{\"operator\":\"8002\"}").in_chunks(),
        "/slow" => Answer::json("{}").after(MOMENT * 4),
        "/odd" => Answer::raw("220 mail.example\r\n"),
        _ => Answer::status(404, ""),
    });
    let mut client = TcpStream::connect(crm.addr()).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let post = "POST /chunks HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}";
    client.write_all(post.as_bytes()).unwrap();
    let chunked = "POST /slow HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    client.write_all(chunked.as_bytes()).unwrap();
    client
        .write_all(b"GET /odd?phone=1 HTTP/1.1\r\n\r\n")
        .unwrap();
    client
        .write_all(b"GET /odd HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    let _ = client.read_to_string(&mut text);
    assert!(text.contains("5\r\n{\"ope\r\n"), "{text}");
    assert!(text.contains("404"), "{text}");
    assert!(text.ends_with("220 mail.example\r\n"), "{text}");

    let requests = crm.wait_for(4, SOON);
    assert_eq!((requests.len(), crm.connections()), (4, 1));
    assert_eq!(
        (requests[0].method.as_str(), requests[0].body.as_str()),
        ("POST", "{\"a\":\"b\"}")
    );
    assert_eq!(requests[1].body, "{}");
    assert_eq!(requests[2].path, "/odd?phone=1");
}

#[test]
fn the_crm_fails_as_it_is_told() {
    let mut crm = Crm::start(|_| Answer::reset());
    let ask = |crm: &Crm| {
        let mut client = TcpStream::connect(crm.addr())?;
        client.set_read_timeout(Some(SOON))?;
        client.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        client.read_to_string(&mut text).map(|_| text)
    };
    assert_eq!(
        ask(&crm).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    crm.answer_with(|_| Answer::close());
    assert_eq!(ask(&crm).unwrap(), "");

    crm.answer_with(|_| Answer::never());
    let mut waiting = TcpStream::connect(crm.addr()).unwrap();
    waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(crm.wait_for(3, SOON).len(), 3);
    crm.go_down();
    assert_eq!(waiting.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(
        ask(&crm).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    crm.answer_with(|_| Answer::json("{}"));
    crm.come_up();
    assert!(ask(&crm).unwrap().ends_with("{}"));
    assert_eq!(crm.requests().len(), 4);
}

/// A FastAGI server for one call, which it transfers; what it was told comes out in the end.
fn serve_agi(asterisk: &Asterisk, target: &str) -> thread::JoinHandle<Vec<String>> {
    let listener = TcpListener::bind(("127.0.0.1", asterisk.agi_port())).unwrap();
    let command = format!("EXEC Transfer {}/{target}\n", asterisk.tech());
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        let environment: Vec<String> = lines
            .by_ref()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(
            environment.contains(&"agi_network_script: salara".to_owned()),
            "{environment:?}"
        );
        (&stream).write_all(command.as_bytes()).unwrap();
        let answer = lines.next().unwrap().unwrap();
        assert!(
            answer.starts_with("200 result=0") || answer == "HANGUP",
            "{answer}"
        );
        environment
    })
}

fn originate(ami: &mut Ami, asterisk: &Asterisk, operator: &str, phone: &str) {
    let channel = format!("{}/{operator}", asterisk.tech());
    let response = ami.action(&[
        ("Action", "Originate"),
        ("Channel", channel.as_str()),
        ("Context", "alnik"),
        ("Exten", phone),
        ("Priority", "1"),
        ("Async", "true"),
    ]);
    assert_eq!(response.get("Response"), "Success", "{response:?}");
}

fn code_of(call: &Call) -> Option<u16> {
    assert!(call.wait(Stage::Ended, SOON), "the call did not end");
    call.code()
}

/// How long a test waits for what should happen at once.
const SOON: Duration = Duration::from_secs(10);
/// How long a test makes others wait.
const MOMENT: Duration = Duration::from_millis(50);

/// The states of an extension.
const NO_HINT: i32 = -1;
const IDLE: i32 = 0;
const IN_USE: i32 = 1;
const BUSY: i32 = 2;
const UNAVAILABLE: i32 = 4;
const RINGING: i32 = 8;
