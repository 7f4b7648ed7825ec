//! The program as its administrator meets it: arguments, files that are wrong, an Asterisk that is
//! not there or does not want it, clients that misbehave, and the end.

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

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use support::asterisk::{self, Asterisk, Version};
use support::daemon::{Salara, binary, run, scratch_dir};
use support::events_ami::EventsAmi;
use support::rest::{self, Client};

/// Nobody listens on port 1.
const NO_ASTERISK: &str =
    "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport=1\nsecret=x\n";
const ERROR: &str = r#"{"result":-2,"text":"Error"}"#;

#[test]
fn it_says_what_it_is_and_how_to_use_it() {
    let (code, out, err) = run(&["--version"]);
    let without = if cfg!(feature = "tls") {
        ""
    } else {
        " (without TLS)"
    };
    let version = format!("salara 4.0.0{without}\n");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), version.as_str(), "")
    );
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Usage: salara [-c FILE]"), "{out}");
    let (code, out, err) = run(&["--frobnicate"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.starts_with("salara: \"--frobnicate\": not an argument salara knows"),
        "{err}"
    );
}

#[test]
fn a_wrong_file_is_told_by_its_lines_all_at_once() {
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    let name = file.to_str().unwrap();
    fs::write(
        &file,
        "[event]\nhangup=3\n[url]\nagi_server=nowhere\n[ami]\nport=70000\n",
    )
    .unwrap();
    for args in [["-c", name, "--check"].as_slice(), &["-c", name]] {
        let (code, _, err) = run(args);
        assert_eq!(code, Some(2), "{err}");
        for line in [
            "2: hangup: \"3\"",
            "4: agi_server: \"nowhere\"",
            "6: port: \"70000\"",
        ] {
            assert!(err.contains(&format!("{name}:{line}")), "{line} in {err}");
        }
    }
    let (code, _, err) = run(&["-c", dir.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(err.contains("directory"), "{err}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_that_asks_for_an_encrypted_link_is_refused_and_not_sent_in_clear() {
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    let name = file.to_str().unwrap();
    fs::write(&file, format!("{NO_ASTERISK}tls=1\n")).unwrap();
    let (code, _, err) = run(&["-c", name]);
    assert_eq!(code, Some(2));
    assert!(err.contains(&format!("{name}:8: tls: ")), "{err}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_missing_file_is_written_and_can_be_started_with() {
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    let (code, _, err) = run(&["-c", file.to_str().unwrap(), "--check"]);
    assert_eq!(code, Some(2), "--check writes nothing: {err}");
    assert!(!file.exists());

    let taken = TcpListener::bind("127.0.0.1:5058");
    let mut child = std::process::Command::new(binary())
        .args(["-c", file.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    // What it was made as goes a moment after it is there.
    let files = || fs::read_dir(&dir).unwrap().count();
    while !fs::read(&file).is_ok_and(|text| !text.is_empty()) || files() > 1 {
        assert!(Instant::now() < deadline, "{} files", files());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(child.kill());
    child.wait().unwrap();
    drop(taken);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        include_str!("../salara.conf")
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "it may come to hold secrets");
    let (code, out, _) = run(&["-c", file.to_str().unwrap(), "--check"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("ok"), "{out}");

    let nowhere = dir.join("no/such/salara.conf");
    let (code, _, err) = run(&["-c", nowhere.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(err.contains("not there, and cannot be written"), "{err}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    fs::write(
        &file,
        format!("[url]\nrest_server={address}\n[ami]\nsecret=x\n"),
    )
    .unwrap();
    let (code, _, err) = run(&["-c", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!(
        "rest_server={address}: cannot listen: address already in use"
    )));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_port_for_calls_that_is_taken_ends_it_only_where_it_was_asked_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    let conf = format!("[url]\nrest_server=127.0.0.1:0\nagi_server={address}\n[ami]\nsecret=x\n");
    fs::write(&file, conf).unwrap();
    let (code, _, err) = run(&["-c", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    let why = format!("agi_server={address}: cannot listen: address already in use");
    assert!(err.contains(&why), "{err}");
    fs::remove_dir_all(dir).unwrap();
    // The usual port may be another program's, or another test's.
    let usual = TcpListener::bind("127.0.0.1:4573");
    let salara = Salara::start(&format!("{NO_ASTERISK};agi_server is not set\n"));
    salara.wait_log(
        "no incoming calls: agi_server=127.0.0.1:4573: cannot listen: address already in use",
    );
    drop(usual);
}

#[test]
fn without_asterisk_it_listens_says_so_once_and_answers_503() {
    let mut salara = Salara::start(NO_ASTERISK);
    salara.wait_log("not connected: 127.0.0.1:1: connection refused; trying on");
    for json in [
        r#"{"exten":"8003"}"#,
        r#"{"peer":"8003"}"#,
        r#"{"chan":"SIP/8003-00000001"}"#,
        r#"{"operator":"8003","phone":"0000"}"#,
        r#"{"operator":"8003","phone":"0000","msg":"hi"}"#,
    ] {
        let reply = salara.post(json);
        assert_eq!((reply.status, reply.body.as_str()), (503, ERROR), "{json}");
        assert_eq!(reply.header("Salara-Error"), "Asterisk is not reachable");
    }
    // What is not understood is not understood, with or without Asterisk.
    assert_eq!(salara.post("{}").status, 400);
    // It tries about every second; a second line would come within the next few.
    std::thread::sleep(Duration::from_millis(2500));
    let said = salara
        .log()
        .iter()
        .filter(|line| line.contains("not connected"))
        .count();
    assert_eq!(said, 1, "{:?}", salara.log());
    assert_eq!(salara.stop().code(), Some(0));
    salara.wait_log("signal 15: stopping");
}

#[test]
fn without_an_account_it_says_what_is_missing_and_finds_it_later() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let dir = scratch_dir();
    let manager_conf = dir.join("manager.conf");
    let salara = Salara::start(&format!(
        "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\n[ami]\nmanager_conf={}\n",
        manager_conf.display()
    ));
    let line = salara.wait_log("not connected");
    assert!(line.contains("manager.conf"), "{line}");
    fs::copy(asterisk.etc().join("manager.conf"), &manager_conf).unwrap();
    salara.wait_connected();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_wrong_secret_is_one_clear_line_and_slow_retries() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let conf = format!(
        "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport={}\nsecret=wrong-one\n",
        asterisk.ami_addr().port()
    );
    let salara = Salara::start(&conf);
    let line = salara.wait_log("Asterisk refuses the account");
    assert!(line.contains("Authentication failed"), "{line}");
    let wait: u64 = line
        .rsplit("Next try in ")
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((30..=60).contains(&wait), "{line}");
    std::thread::sleep(Duration::from_secs(3));
    let log = salara.log();
    assert_eq!(
        log.iter().filter(|line| line.contains("ERROR")).count(),
        1,
        "{log:?}"
    );
    assert!(
        !log.iter().any(|line| line.contains("wrong-one")),
        "the secret is in the log"
    );
    assert_eq!(salara.post(r#"{"exten":"8003"}"#).status, 503);
}

#[test]
fn a_thousand_idle_and_half_sent_connections_keep_nobody_out() {
    let salara = Salara::start(NO_ASTERISK);
    let status = || {
        let asked = Instant::now();
        let reply = salara.post(r#"{"exten":"8003"}"#);
        assert_eq!(reply.status, 503);
        asked.elapsed()
    };
    status();
    let before = salara.resident_kib();
    let mut crowd = Vec::new();
    for number in 0..1000 {
        let mut stream = TcpStream::connect(salara.addr()).unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"POST / HTTP/1.1\r\nContent-Le").unwrap(),
            _ => stream
                .write_all(b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n{\"a")
                .unwrap(),
        }
        crowd.push(stream);
        if number % 100 == 0 {
            status();
        }
    }
    let ticks = salara.cpu_ticks();
    for _ in 0..20 {
        status();
        std::thread::sleep(Duration::from_millis(50));
    }
    let used = salara.cpu_ticks() - ticks;
    assert!(
        used <= 5,
        "{used} ticks of processor time in a second of doing nothing"
    );
    let grown = salara.resident_kib().saturating_sub(before);
    assert!(grown <= 1024, "{grown} KiB more");
    // Those that were let in and those that made room are all told or let go.
    let deadline = Instant::now() + Duration::from_secs(15);
    for stream in &mut crowd {
        stream
            .set_read_timeout(Some(deadline - Instant::now()))
            .unwrap();
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Ok(_) if said.is_empty() => {}
            Ok(_) => assert!(said.starts_with(b"HTTP/1.1 408 "), "{said:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    status();
}

#[test]
fn an_idle_salara_sleeps() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let salara = Salara::beside(&asterisk, "");
    let waits = |salara: &Salara| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", salara.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // What follows a login is over when a question has been answered.
    assert_eq!(salara.post(r#"{"exten":"0000"}"#).status, 200);
    std::thread::sleep(Duration::from_millis(1500));
    let before = waits(&salara);
    std::thread::sleep(Duration::from_secs(4));
    let woken = waits(&salara) - before;
    assert!(woken <= 4, "woken {woken} times in four seconds");
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let salara = Salara::start(NO_ASTERISK);
    let mut client = Client::connect(salara.addr());
    for _ in 0..3 {
        let reply = client.post(r#"{"exten":"8003"}"#);
        assert_eq!((reply.status, reply.body.as_str()), (503, ERROR));
        assert_eq!(reply.header("Connection"), "");
    }
    let one = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    client.send(one.repeat(50).as_bytes());
    for _ in 0..50 {
        assert_eq!(client.reply().status, 400);
    }
    client.send(b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.reply().header("Connection"), "close");
    assert_eq!(client.rest(), b"");
}

#[test]
fn bare_replies_have_no_head() {
    let salara = Salara::start(&format!("{NO_ASTERISK}[compat]\nbare_reply=1\n"));
    for request in [
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "hello\r\n\r\n",
    ] {
        let mut client = Client::connect(salara.addr());
        client.send(request.as_bytes());
        assert_eq!(client.rest(), ERROR.as_bytes());
    }
}

#[test]
fn only_who_has_the_token_is_served() {
    let conf = format!("{NO_ASTERISK}[security]\nrest_token=correct-horse-battery\n");
    let salara = Salara::start(&conf);
    let ask = |authorization: &str| {
        let head = "POST / HTTP/1.1\r\nContent-Length: 16\r\n";
        let bytes = format!("{head}{authorization}\r\n{{\"exten\":\"8003\"}}");
        rest::exchange(salara.addr(), bytes.as_bytes())
    };
    let refused = ask("");
    assert_eq!((refused.status, refused.body.as_str()), (401, ERROR));
    assert_eq!(refused.header("WWW-Authenticate"), "Bearer");
    assert_eq!(ask("Authorization: Bearer correct-horse\r\n").status, 401);
    assert_eq!(
        ask("Authorization: Bearer correct-horse-battery\r\n").status,
        503
    );
    salara.wait_log("127.0.0.1: refused: wanted: Authorization: Bearer");
    assert!(
        !salara
            .log()
            .iter()
            .any(|line| line.contains("correct-horse"))
    );

    let salara = Salara::start(&format!(
        "{NO_ASTERISK}[security]\nrest_allow=192.0.2.0/24\n"
    ));
    let refused = salara.post(r#"{"exten":"8003"}"#);
    assert_eq!((refused.status, refused.body.as_str()), (403, ERROR));
    assert_eq!(
        refused.header("Salara-Error"),
        "127.0.0.1 is not in rest_allow"
    );
}

#[test]
fn a_reply_that_is_owed_is_sent_before_the_end() {
    // This Asterisk takes half a second over a channel.
    let asterisk = EventsAmi::start();
    let mut salara = Salara::start(&format!(
        "[event]\nverbose=2\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport={}\nsecret=x\n",
        asterisk.port()
    ));
    salara.wait_connected();
    let mut idle = Client::connect(salara.addr());
    assert_eq!(idle.post(r#"{"exten":"8003"}"#).status, 200);
    let mut owed = Client::connect(salara.addr());
    let question = r#"{"chan":"late"}"#;
    let length = question.len();
    owed.send(format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{question}").as_bytes());
    salara.wait_log("> Status ");
    assert_eq!(salara.stop().code(), Some(0));
    assert_eq!(idle.rest(), b"");
    let reply = owed.reply();
    assert_eq!(reply.body, r#"{"result":-1,"text":"Channel not present"}"#);
    assert_eq!(reply.header("Connection"), "close");
}

#[test]
fn a_name_that_asterisk_could_not_hold_is_not_taken() {
    let long = "c".repeat(90);
    let salara = Salara::start(&format!("{NO_ASTERISK}[general]\ndefault_context={long}\n"));
    salara.wait_log("at most 79 fit; \"alnik\" is kept");
    assert_eq!(
        salara
            .post(r#"{"operator":"1","phone":"2","context":"ok"}"#)
            .status,
        503
    );
}
