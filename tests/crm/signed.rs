//! What a receiver checks: the signature, its time, and the id.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::office::Office;
use crate::support::crm::{Answer, Request};
use crate::support::ports::Ports;
use crate::support::rest;

const KEY: &[u8] = b"twenty-four bytes or more";

/// What `key` makes of a request.
fn signature(key: &[u8], request: &Request) -> String {
    let id = request.header("webhook-id");
    let timestamp = request.header("webhook-timestamp");
    let signed = format!("{id}.{timestamp}.{}", request.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

fn office(conf: &str, failures: usize) -> Office {
    Office::open_with(
        |crm| crm.url("/event"),
        conf,
        move |number, _| (number < failures).then(|| Answer::status(500, "")),
    )
}

#[test]
fn each_attempt_is_signed_with_its_own_time_and_the_same_id() {
    let secret = format!("whsec_{}", STANDARD.encode(KEY));
    let office = office(&format!("[delivery]\nsigning_secret={secret}\n"), 2);
    office.tell(1, 0..2);
    let office = office.assert_all(1, 2);
    assert_eq!(office.said("WARN"), 0, "{:?}", office.salara.log());
    let requests = office.crm.requests();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let times: Vec<u64> = requests
        .iter()
        .map(|request| request.header("webhook-timestamp").parse().unwrap())
        .collect();
    assert!(times.iter().all(|time| now - time < 60), "{times:?}");
    assert!(times[0] < times[2], "two waits take a second: {times:?}");
    for request in &requests {
        let sent = request.header("webhook-signature");
        assert_eq!(sent, signature(KEY, request));
    }
    let ids: Vec<&str> = requests.iter().map(|r| r.header("webhook-id")).collect();
    assert!(
        ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3],
        "{ids:?}"
    );
}

#[test]
fn two_secrets_sign_side_by_side_and_none_not_at_all() {
    let conf = format!(
        "[delivery]\nsigning_secret=whsec_{} in-plain-text\n",
        STANDARD.encode(KEY)
    );
    let two = office(&conf, 0);
    two.tell(1, 0..1);
    let two = two.assert_all(1, 1);
    let request = &two.crm.requests()[0];
    assert_eq!(
        request.header("webhook-signature"),
        format!(
            "{} {}",
            signature(KEY, request),
            signature(b"in-plain-text", request)
        )
    );
    let none = office("", 0);
    none.tell(1, 0..1);
    let none = none.assert_all(1, 1);
    let named = |(name, _): &(String, String)| name == "webhook-signature";
    assert!(!none.crm.requests()[0].headers.iter().any(named));
}

/// The README's receiver, ended with the test.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_readmes_receiver_takes_what_is_signed_and_nothing_else() {
    let readme = include_str!("../../README.md");
    let (_, text) = readme.split_once("```python\n").unwrap();
    let (script, _) = text.split_once("```").unwrap();
    // Held to the end: the port is nobody else's.
    let ports = Ports::take();
    let receiver = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.port(1)));
    let here = script.replace("8080", &receiver.port().to_string());
    assert_ne!(here, script);
    let started = Command::new("python3")
        .args(["-u", "-c", &here])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "python3: {error}");
            // Not println: the harness would hide it, for the test passes.
            let line = format!("LEFT OUT: the README's receiver: python3: {error}\n");
            return drop(std::io::stderr().write_all(line.as_bytes()));
        }
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (say, told) = mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            drop(say.send(line));
        }
    });
    let _receiver = Receiver(child);
    let (_, secret) = readme.split_once("\nsigning_secret=").unwrap();
    let secret = secret.lines().next().unwrap();
    let office = Office::open_with(
        |_| format!("http://{receiver}/event"),
        &format!("[delivery]\nsigning_secret={secret}\n"),
        |_, _| None,
    );
    office.tell(2, 0..2);
    let told: Vec<String> = (0..4)
        .map(|_| told.recv_timeout(Duration::from_secs(20)).unwrap())
        .collect();
    let all = told
        .iter()
        .all(|line| line.contains(r#""event":"Newexten""#));
    assert!(told.len() == 4 && all, "{told:?}");
    assert_eq!(office.said("refused an event"), 0);

    let forged = "POST / HTTP/1.0\r\nwebhook-id: a\r\nwebhook-timestamp: 1\r\n\
                  webhook-signature: v1,AAAA\r\nContent-Length: 2\r\n\r\n{}";
    let mut client = rest::Client::connect(receiver);
    client.send(forged.as_bytes());
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.0 401"), "{answer}");
}
