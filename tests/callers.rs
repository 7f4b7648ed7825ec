//! Callers in numbers, and callers that are none: AGI sessions by hand, without an Asterisk.

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

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::crm::{Answer, Crm};
use support::daemon::Salara;

/// What takes milliseconds is given up after so long.
const SOON: Duration = Duration::from_secs(20);

fn start(crm: &Crm, more: &str) -> Salara {
    Salara::start(&format!(
        "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\nagi_server=127.0.0.1:0\ndest_url={}\n\
         dest_url_event=\n[ami]\nport=1\nsecret=x\n{more}",
        crm.url("/phone")
    ))
}

/// Where it takes calls.
fn door(salara: &Salara) -> SocketAddr {
    let line = salara.wait_log("calls come in over AGI at ");
    let (_, rest) = line.split_once("AGI at ").unwrap();
    rest.split(';').next().unwrap().parse().unwrap()
}

fn connect(door: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(door).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn facts(caller: &str) -> String {
    format!(
        "agi_network: yes\nagi_channel: SIP/{caller}-00000001\nagi_type: SIP\nagi_uniqueid: 1.{caller}\n\
         agi_callerid: {caller}\nagi_context: alnik\nagi_extension: 5000\nagi_priority: 1\n\n"
    )
}

/// A call as Asterisk hands it over. What the dialplan was told, and after how long it went on.
fn call(door: SocketAddr, caller: &str) -> (Vec<String>, Duration) {
    let began = Instant::now();
    let mut stream = connect(door);
    stream.write_all(facts(caller).as_bytes()).unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        told.push(line.unwrap());
        stream.write_all(b"200 result=1\n").unwrap();
    }
    (told, began.elapsed())
}

/// Calls at once, all of them different callers.
fn crowd(door: SocketAddr, count: usize) -> Vec<(Vec<String>, Duration)> {
    let calls = (0..count).map(|n| {
        let call = move || call(door, &format!("7{n:03}"));
        thread::Builder::new().stack_size(64 * 1024).spawn(call)
    });
    let calls: Vec<_> = calls.map(Result::unwrap).collect();
    calls.into_iter().map(|call| call.join().unwrap()).collect()
}

/// Without Asterisk's AMI it is an error wherever the CRM sends a caller; but it has been asked.
const ASKED: &str = r#"SET VARIABLE "SALARA_REASON" "Asterisk's AMI is not reachable""#;

fn found(told: &[String]) -> bool {
    told.iter().any(|line| line == ASKED)
}

fn slow(delay: Duration) -> Crm {
    let answer = r#"{"personal_manager_internal_phone":"8002"}"#;
    Crm::start(move |_| Answer::json(answer).after(delay))
}

#[test]
fn twenty_callers_wait_for_a_slow_crm_side_by_side() {
    let crm = slow(Duration::from_secs(2));
    let salara = start(&crm, "[general]\ncurlopt_timeout=3\n");
    for (told, waited) in crowd(door(&salara), 20) {
        assert!(found(&told), "{told:?}");
        assert!(waited < Duration::from_secs(4), "{waited:?}");
    }
    assert_eq!(crm.requests().len(), 20);
}

#[test]
fn two_hundred_callers_are_all_looked_up_in_time() {
    let crm = slow(Duration::from_secs(1));
    let salara = start(&crm, "[general]\ncurlopt_timeout=3\n");
    let before = salara.resident_kib();
    let calls = crowd(door(&salara), 200);
    let longest = calls.iter().map(|(_, waited)| *waited).max().unwrap();
    println!("{before} KiB, then {} KiB; {longest:?}", salara.peak_kib());
    for (told, waited) in calls {
        assert!(found(&told), "{told:?}");
        assert!(waited < Duration::from_secs(4), "{waited:?}");
    }
    assert_eq!(crm.requests().len(), 200);
    assert!(salara.peak_kib() < before + 32 * 1024);
}

#[test]
fn two_hundred_callers_of_a_dead_crm_all_go_on_in_time() {
    let crm = Crm::start(|_| Answer::never());
    let salara = start(&crm, "[general]\ncurlopt_timeout=3\n");
    for (told, waited) in crowd(door(&salara), 200) {
        let last = told.last().unwrap();
        assert_eq!(last, r#"SET VARIABLE "SALARA_RESULT" "ERROR""#);
        // One behind another's look-up would have waited for six.
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
}

#[test]
fn who_is_no_call_or_comes_from_elsewhere_is_shown_out() {
    let crm = slow(Duration::ZERO);
    let salara = start(&crm, "");
    let door = door(&salara);
    for bytes in ["GET / HTTP/1.1\r\n\r\n", "agi_channel: x\n\n", "\n"] {
        let mut stream = connect(door);
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // A reset is an end, too: what it sent was not read to the end.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{bytes}");
    }
    // A caller who hangs up while the CRM is asked.
    let mut stream = connect(door);
    stream.write_all(facts("7001").as_bytes()).unwrap();
    drop(stream);
    salara.wait_log("before it was transferred");
    let strict = start(&crm, "[security]\nagi_allow=10.9.9.9\n");
    // A stranger has no place, not even until it has said who calls.
    let mut rest = Vec::new();
    connect(self::door(&strict)).read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    strict.wait_log("127.0.0.1 is not in agi_allow");
    assert_eq!(call(door, "7003").0.len(), 3, "the others go on");
}

#[test]
fn a_look_up_says_whose_channel_it_is_for() {
    let crm = slow(Duration::ZERO);
    let salara = start(&crm, "[event]\nverbose=2\n");
    call(door(&salara), "7001");
    let name = "SIP/7001-00000001 [1.7001]: ";
    let (seen, _) = salara.wait_log_after(0, &format!("{name}who is 7001?"));
    salara.wait_log_after(seen, &format!("{name}it says 200: "));
}

#[test]
fn a_caller_who_is_left_at_the_end_is_noted() {
    let crm = slow(Duration::ZERO);
    let mut salara = start(&crm, "");
    let mut stream = connect(door(&salara));
    stream.write_all(facts("7001").as_bytes()).unwrap();
    let mut line = String::new();
    // It is told something and never answers.
    BufReader::new(&stream).read_line(&mut line).unwrap();
    salara.stop();
    let end = "SIP/7001-00000001 [1.7001]: 7001: salara has stopped before it was transferred";
    salara.wait_log(end);
}

#[test]
fn a_reload_moves_the_door_and_the_crm_but_no_caller_who_is_inside() {
    let crm = slow(Duration::from_millis(500));
    let other = slow(Duration::ZERO);
    let salara = start(&crm, "");
    let old = door(&salara);
    let inside = thread::spawn(move || call(old, "7001"));
    crm.wait_for(1, SOON);
    let file = salara.dir().join("salara.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    let moved = text.replace(&crm.url("/phone"), &other.url("/phone"));
    let reload = |text: &str, seen: usize| {
        std::fs::write(&file, text).unwrap();
        salara.signal("HUP");
        salara.wait_log_after(seen, "reloaded").0
    };
    let seen = reload(
        &moved.replace("agi_server=127.0.0.1:0", "agi_server=off"),
        0,
    );
    assert!(TcpStream::connect(old).is_err());
    assert!(found(&inside.join().unwrap().0));
    reload(&moved, seen);
    let (_, line) = salara.wait_log_after(seen, "calls come in over AGI at ");
    let new = line
        .split("AGI at ")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert!(found(&call(new.parse().unwrap(), "7002").0));
    assert_eq!((crm.requests().len(), other.requests().len()), (1, 1));
}

#[test]
fn each_of_sixty_calls_is_told_of_while_the_crm_is_down() {
    let salara = Salara::start(
        "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\nagi_server=127.0.0.1:0\n\
         dest_url=http://127.0.0.1:1/\ndest_url_event=\n[ami]\nport=1\nsecret=x\n",
    );
    crowd(door(&salara), 60);
    for n in 0..60 {
        let line = salara.wait_log(&format!("SIP/7{n:03}-00000001"));
        assert!(line.contains(&format!("1.7{n:03}")), "{line}");
    }
}

#[test]
fn who_comes_after_a_stop_is_turned_away_at_once() {
    let crm = slow(Duration::ZERO);
    let mut salara = start(&crm, "");
    let door = door(&salara);
    // Half of a second request keeps salara from ending.
    let mut owed = connect(salara.addr());
    let request = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    owed.write_all(&[request, &request[..30]].concat()).unwrap();
    let mut byte = [0; 4_096];
    assert!(owed.read(&mut byte).unwrap() > 0);
    salara.signal("TERM");
    salara.wait_log("stopping");
    for place in [door, salara.addr()] {
        while let Ok(mut late) = TcpStream::connect(place) {
            late.set_read_timeout(Some(SOON)).unwrap();
            assert!(!late.read(&mut byte).is_ok_and(|count| count > 0));
        }
    }
    assert!(!salara.dir().join("salara.ctl").exists());
    // It has not simply ended: it waits for the other half.
    owed.set_nonblocking(true).unwrap();
    let nothing = owed.read(&mut byte).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    owed.set_nonblocking(false).unwrap();
    owed.write_all(&request[30..]).unwrap();
    let mut reply = String::new();
    owed.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert_eq!(salara.stop().code(), Some(0));
}
