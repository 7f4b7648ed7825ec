//! Every example of the README is run as it stands, against a real Asterisk, and answers what the
//! README says.

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
use std::process::Command;
use std::time::Duration;

use support::asterisk::{self, Asterisk, Version};
use support::crm::{Answer, Crm};
use support::daemon::Salara;
use support::phone::{Behaviour, Phone, Stage};
use support::rest;

const README: &str = include_str!("../README.md");
const SOON: Duration = Duration::from_secs(10);

/// The commands of the README's consoles and what they are said to print.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for block in README.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for example in block.split("$ ").filter(|example| !example.is_empty()) {
            let (command, printed) = example.split_once('\n').unwrap();
            examples.push((command.to_owned(), printed.trim_end().to_owned()));
        }
    }
    examples
}

#[test]
fn every_example_answers_what_is_written() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let salara = Salara::beside(&asterisk, "");
    let phone = Phone::registered(&asterisk, "8003", Behaviour::BUSY);
    let _other = Phone::registered(&asterisk, "8001", Behaviour::BUSY);
    let examples = examples();
    assert!(examples.len() >= 15, "{examples:?}");
    for (command, printed) in &examples {
        // A call of the example before may still be ringing.
        for exten in ["8001", "8003"] {
            let json = format!(r#"{{"exten":"{exten}"}}"#);
            rest::wait_body(salara.addr(), &json, r#"{"result":0,"text":"Idle"}"#);
        }
        let here = command.replace("localhost:5058", &salara.addr().to_string());
        assert_ne!(&here, command, "not for salara: {command}");
        let output = Command::new("sh").args(["-c", &here]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap().replace('\r', "");
        assert_eq!(said.trim_end(), printed, "{command}");
    }
    let texts: Vec<String> = phone
        .wait_inbox(4, SOON)
        .into_iter()
        .map(|text| text.body)
        .collect();
    assert_eq!(
        texts,
        [
            "Please call back",
            "line 1\nline 2",
            "Please call back",
            "a b"
        ]
    );
    assert!(phone.calls().len() == 1, "the operator's phone rang once");
}

/// The block that begins so.
fn block(language: &str, begin: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = README.split(&*fence).skip(1);
    let found = blocks.find(|block| block.starts_with(begin));
    found.unwrap().split("```").next().unwrap()
}

#[test]
fn the_example_of_incoming_calls_does_what_is_written() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let asterisk = Asterisk::start(Version::V22);
    let crm = Crm::start(|_| Answer::json(block("json", "{")));
    let port = asterisk.agi_port();
    let conf = block("ini", "[general]\ndefault_context=")
        .replace("http://127.0.0.1:3000/phone", &crm.url("/phone"));
    let _salara = Salara::beside(
        &asterisk,
        &format!("{conf}[url]\nagi_server=127.0.0.1:{port}\n"),
    );
    let dialplan = block("ini", "[incoming]")
        .replace("//127.0.0.1/salara", &format!("//127.0.0.1:{port}/salara"));
    assert!(dialplan.contains(&port.to_string()), "{dialplan}");
    let file = asterisk.etc().join("extensions.conf");
    let all = fs::read_to_string(&file).unwrap();
    let way_in = "[alnik](+)\nexten => 5900,1,Goto(incoming,5000,1)\n";
    fs::write(&file, format!("{all}{way_in}{dialplan}")).unwrap();
    asterisk.cli("dialplan reload");

    let (port, server) = (asterisk.trunk_port(), asterisk.sip_addr());
    let trunk = Phone::start_at(port, server, "trunk", Behaviour::ANSWER);
    trunk.follow_redirects(true);
    let manager = Phone::registered(&asterisk, "8003", Behaviour::ANSWER);
    let agent = Phone::registered(&asterisk, "2222", Behaviour::ANSWER);
    let call = trunk.call_as("87012223344", "5900");
    let rings = manager.incoming(SOON).expect("the manager's phone rings");
    assert_eq!(rings.number(), "87012223344");
    assert_eq!(crm.requests()[0].body, r#"{"phone":"87012223344"}"#);
    assert!(README.contains(&crm.requests()[0].body));
    let again = call.followed_by(SOON).expect("the trunk dials again");
    assert!(again.wait(Stage::Answered, SOON));
    again.hang_up();

    // Nobody knows him, and 8001 of [route] is not there: the queue's agent is.
    crm.answer_with(|_| Answer::json(r#"{"personal_manager_internal_phone":""}"#));
    let call = trunk.call_as("87012223344", "5900");
    let rings = agent.incoming(SOON).expect("the agent's phone rings");
    assert_eq!(rings.number(), "87012223344");
    assert!(call.wait(Stage::Answered, SOON));
}

#[test]
fn every_key_of_the_shipped_file_is_explained() {
    let shipped = include_str!("../salara.conf");
    let keys = shipped.lines().filter_map(|line| {
        let line = line.strip_prefix(';').unwrap_or(line);
        let (key, _) = line.split_once('=')?;
        key.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_')
            .then_some(key)
    });
    let keys: std::collections::BTreeSet<&str> = keys
        .filter(|key| !key.is_empty() && !key.starts_with("key_"))
        .collect();
    assert!(keys.len() > 25, "{keys:?}");
    for key in keys {
        assert!(
            README.contains(&format!("`{key}`")),
            "{key} is not in the README"
        );
    }
}
