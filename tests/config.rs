//! What salara makes of configuration files, and of manager.conf.
//!
//! `golden/conf-*`: files of the old module, and what it said of them (`salara show info`).
//! `config/valid`: files without a problem. `config/warned`: files that warn. `config/invalid`:
//! files that salara does not start with. Beside each of the latter two stands a `.err` with the
//! full text of all its problems.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, also in what tests share"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salara::config::{CallLevel, Config, GoodStatus, KeyNames, LogTo, Parsed, Severity};
use salara::config::{StateLevel, Tech, Transfer, Verbosity};

#[path = "config/account.rs"]
mod account;
#[path = "config/recorded.rs"]
mod recorded;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// As main does it: the bytes may be of any encoding.
fn read(path: &Path) -> Parsed {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Config::parse(&String::from_utf8_lossy(&bytes))
}

fn problems(name: &str, parsed: &Parsed) -> String {
    parsed
        .problems
        .iter()
        .map(|problem| format!("{name}:{problem}\n"))
        .collect()
}

/// The `.conf` files of a directory, of which there must be so many: a loop over none proves
/// nothing.
fn files(directory: &str, count: usize) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(tests().join("config").join(directory)).unwrap();
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    assert_eq!(files.len(), count, "files in {directory}");
    files
}

#[test]
fn valid_files_have_no_problem() {
    for (name, path) in files("valid", 3) {
        assert_eq!(problems(&name, &read(&path)), "");
    }
}

#[test]
fn problems_are_told_by_line() {
    for (directory, count, severity) in [
        ("warned", 5, Severity::Warning),
        ("invalid", 4, Severity::Error),
    ] {
        for (name, path) in files(directory, count) {
            let parsed = read(&path);
            let told = problems(&name, &parsed);
            let wanted = fs::read_to_string(path.with_extension("err")).unwrap_or_default();
            assert_eq!(told, wanted, "{name} tells:\n{told}");
            assert_eq!(parsed.has_errors(), severity == Severity::Error, "{name}");
        }
    }
}

#[test]
fn a_file_can_warn_and_fail_at_once() {
    let parsed = read(&tests().join("config/invalid/both-kinds.conf"));
    let severities: Vec<Severity> = parsed.problems.iter().map(|p| p.severity).collect();
    assert_eq!(
        severities,
        [Severity::Warning, Severity::Error, Severity::Warning]
    );
}

#[test]
fn every_value_of_a_full_file_arrives() {
    let Parsed { config, given, .. } = read(&tests().join("config/valid/everything.conf"));
    assert_eq!(config.general.tech, Tech::Named("IAX2".into()));
    assert_eq!(config.general.transfer, Transfer::Goto);
    assert_eq!(&*config.routes[0].caller, "+77012223344");
    assert_eq!(
        (&*config.routes[1].called, config.routes[1].line),
        ("*98", 9)
    );
    assert_eq!(config.event.verbose, Verbosity::Dump);
    assert_eq!(config.event.hangup, CallLevel::All);
    assert_eq!(config.event.agentcon, StateLevel::All);
    assert_eq!(config.url.rest_server, "[::]:5058".parse().unwrap());
    let url = "https://user:word@crm.example.com/lookup;v=2?phone=";
    assert_eq!(&*config.url.dest_url, url);
    assert_eq!(config.url.good_status.listed(), [0, 1, 4, 8]);
    assert_eq!(config.url.agi_server, None);
    assert_eq!(names(&config.keys.channel), ["channel"]);
    assert_eq!(&*config.ami.host, "pbx.example.com");
    assert_eq!(config.ami.port, Some(15039));
    assert_eq!(config.ami.secret.as_ref().unwrap().expose(), "a;b#c d");
    assert!(config.ami.tls);
    assert_eq!(config.security.rest_allow.as_ref().unwrap().len(), 3);
    assert_eq!(config.security.call_rate.unwrap().per_minute.get(), 30);
    let signing: Vec<&str> = config
        .delivery
        .signing_secret
        .iter()
        .map(|s| s.expose())
        .collect();
    assert_eq!(signing, ["whsec_bmV3", "whsec_b2xk"]);
    assert_eq!(config.delivery.spool_max, 512 * 1024);
    assert_eq!(
        config.delivery.retry_for,
        Duration::from_secs(7 * 24 * 60 * 60)
    );
    assert!(config.compat.bare_reply);
    assert_eq!(config.log_to, LogTo::File("/var/log/salara.log".into()));

    assert_eq!(given.keys().iter().filter(|key| key.new).count(), 24);
    assert_eq!(given.keys().len(), 46);
    assert_eq!(given.line("agi_server"), Some(23));

    let printed = format!("{config:?}");
    for secret in ["word@", "a;b#c d", "s3cret-token", "whsec"] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn the_shipped_file_is_the_old_stock_file_with_checked_certificates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("salara.conf");
    let parsed = read(&path);
    assert_eq!(problems("salara.conf", &parsed), "");
    let mut expected = Config::default();
    expected.general.default = "710".into();
    expected.event.verbose = Verbosity::On;
    expected.event.timeout_makecall = Duration::from_secs(20);
    expected.event.watch_makecall = true;
    expected.event.hangup = CallLevel::Tracked;
    expected.event.newchannel = CallLevel::Tracked;
    expected.event.newexten = StateLevel::TrackedUp;
    expected.event.agentcon = StateLevel::TrackedUp;
    expected.url.dest_url = "http://127.0.0.1:3000/phone".into();
    expected.url.dest_url_event = "http://127.0.0.1:3000/event".into();
    expected.url.good_status = good_status("0,4");
    expected.keys.extension = key_names("exten").0;
    expected.keys.channel = key_names("chan").1;
    expected.security.tls_verify = Some(true);
    assert_eq!(parsed.config, expected);
    let stock = read(&tests().join("golden/conf-stock/salara.conf")).config;
    assert_eq!(
        (parsed.config.general, parsed.config.event),
        (stock.general, stock.event)
    );
}

/// Also those that are commented out, with a value where one is shown.
#[test]
fn the_shipped_file_shows_every_key_with_a_good_value() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("salara.conf");
    let text = fs::read_to_string(path).unwrap();
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix(';') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => rest,
            _ => line,
        })
        .filter(|line| !line.ends_with('='))
        .map(|line| format!("{line}\n"))
        .collect();
    let parsed = Config::parse(&shown);
    assert_eq!(problems("salara.conf", &parsed), "");
    let without_example = ["secret", "rest_token", "signing_secret"];
    assert_eq!(parsed.given.keys().len(), 46 - without_example.len());
    for key in without_example {
        assert!(text.contains(&format!("\n;{key}=\n")), "{key}");
    }
    assert_eq!(parsed.config.routes.len(), 4);
    let given: BTreeMap<&str, &str> = parsed
        .given
        .keys()
        .iter()
        .map(|key| (key.name, key.section))
        .collect();
    assert_eq!(given.get("parallel"), Some(&"delivery"));
}

#[test]
fn an_empty_text_is_the_default() {
    for text in ["", "\n", "\u{feff}", "; nothing\n"] {
        assert_eq!(Config::parse(text), Parsed::default());
    }
}

#[test]
fn the_last_good_value_of_a_key_counts() {
    let parsed = Config::parse("hangup=1\nhangup=2\nhangup=9\nparallel=2\nparallel=99\n");
    assert_eq!(parsed.config.event.hangup, CallLevel::All);
    assert_eq!(parsed.config.delivery.parallel, 2);
}

fn good_status(list: &str) -> GoodStatus {
    Config::parse(&format!("good_status={list}"))
        .config
        .url
        .good_status
}

fn key_names(name: &str) -> (KeyNames, KeyNames) {
    let keys = Config::parse(&format!("key_extension={name}\nkey_channel={name}"))
        .config
        .keys;
    (keys.extension, keys.channel)
}

fn names(names: &KeyNames) -> Vec<&str> {
    names.names().iter().map(|name| &**name).collect()
}
