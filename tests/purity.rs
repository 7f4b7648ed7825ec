//! What no source file may name: a pure one no socket, file, thread or clock, and none the reactor.
//!
//! A file is pure unless it is listed as not. Tests are left out: they own their clocks.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

/// The files, and directories, that touch the world.
const IMPURE: [&str; 20] = [
    "account.rs",
    "account/",
    "client.rs",
    "main.rs",
    "logging.rs",
    "logging/sink.rs",
    "reactor.rs",
    "reactor/",
    "file.rs",
    "crm/agent.rs",
    "crm/client.rs",
    "crm/hosts.rs",
    "crm/lookup.rs",
    "crm/plain.rs",
    "crm/trust.rs",
    "crm/worker.rs",
    "crm/spool.rs",
    "crm/spool/find.rs",
    "crm/spool/read.rs",
    "crm/spool/sync.rs",
];
/// Those that may name the reactor.
const OVER_REACTOR: [&str; 4] = ["lib.rs", "main.rs", "reactor.rs", "reactor/"];
/// Modules that are pure by their contract, whatever becomes of the list above.
const PURE: [&str; 10] = [
    "value", "config", "ami", "http", "agi", "route", "api", "access", "engine", "control",
];

/// Words a pure file has no use for.
const WORDS: [&str; 9] = [
    "mio",
    "ureq",
    "unsafe",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "SystemTime",
];
/// Paths a pure file has no use for; each is looked for in `use std::{…}` too.
const PATHS: [&str; 6] = [
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::fs",
    "std::env",
    "Instant::now",
];

#[test]
fn pure_files_touch_no_world() {
    let files = files();
    for module in PURE {
        let file = format!("{module}.rs");
        assert!(
            files.iter().any(|(name, _)| *name == file),
            "{file} is gone"
        );
        assert!(
            !IMPURE.iter().any(|impure| impure.starts_with(module)),
            "{module}"
        );
    }
    let mut pure = 0;
    for (name, text) in files.iter().filter(|(name, _)| !is_of(name, &IMPURE)) {
        assert_eq!(met(text), None, "src/{name}");
        pure += 1;
    }
    assert!(pure >= 30, "{pure} files are too few to be all");
}

#[test]
fn what_is_listed_as_impure_is_there_and_is_so() {
    let files = files();
    for impure in IMPURE {
        let mut its = files.iter().filter(|(name, _)| is_of(name, &[impure]));
        assert!(its.any(|(_, text)| met(text).is_some()), "{impure} is pure");
    }
}

#[test]
fn nothing_uses_the_reactor() {
    let mut found = 0;
    for (name, text) in files() {
        let names = words(&code(&text)).any(|word| word == "reactor");
        if is_of(&name, &OVER_REACTOR) {
            found += usize::from(names);
        } else {
            assert!(!names, "src/{name} names the reactor");
        }
    }
    assert!(found > 0, "not even lib.rs names the reactor");
}

#[test]
fn every_file_says_what_it_owns() {
    for (name, text) in files() {
        assert!(
            text.starts_with("//! "),
            "src/{name} does not open with `//!`"
        );
    }
}

#[test]
fn a_file_that_touches_the_world_is_found() {
    for (text, wanted) in [
        ("use mio::Poll;", Some("mio")),
        ("let poll = mio::Poll::new();", Some("mio")),
        ("use std::net::{IpAddr, TcpStream};", Some("TcpStream")),
        ("std::net::TcpStream::connect(x)", Some("TcpStream")),
        ("use std::{fmt, thread};", Some("std::thread")),
        ("use std::{\n    fmt,\n    fs::File,\n};", Some("std::fs")),
        ("let now = Instant::now();", Some("Instant::now")),
        ("let now = Instant :: now ();", Some("Instant::now")),
        ("let home = std::env::var(x);", Some("std::env")),
        ("unsafe { x }", Some("unsafe")),
        ("// mio would do\nfn f() {}", None),
        ("/// Not `unsafe`.\nfn f() {}", None),
        (
            "use std::net::IpAddr;\nlet envelope = thread_of_talk;",
            None,
        ),
        (
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::thread;\n}",
            None,
        ),
    ] {
        assert_eq!(met(text), wanted, "{text}");
    }
}

/// The first thing in a text that a pure file may not name.
fn met(text: &str) -> Option<&'static str> {
    let code = code(text);
    if let Some(word) = WORDS
        .into_iter()
        .find(|wanted| words(&code).any(|word| word == *wanted))
    {
        return Some(word);
    }
    let dense: String = code.split_whitespace().collect();
    let named = |path: &str| {
        let (outer, inner) = path.rsplit_once("::").unwrap();
        dense.contains(path)
            || dense
                .split(&format!("use{outer}::{{"))
                .skip(1)
                .filter_map(|group| group.split(';').next())
                .any(|group| words(group).any(|word| word == inner))
    };
    PATHS.into_iter().find(|path| named(path))
}

/// A file without its comments and its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn is_of(name: &str, list: &[&str]) -> bool {
    list.iter()
        .any(|entry| name == *entry || (entry.ends_with('/') && name.starts_with(entry)))
}

/// All source files but tests: the path below `src`, and the text.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("tests") {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(
        files.len() >= 40,
        "{} files are too few to be all",
        files.len()
    );
    files
}
