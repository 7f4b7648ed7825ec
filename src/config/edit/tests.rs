//! Every edit changes what it is to change and no other byte.

use super::*;
use crate::config::{Config, Route};

fn number(text: &str) -> Number {
    Number::new(text).unwrap()
}

fn add(caller: &str, called: &str) -> Edit {
    Edit::AddRoute {
        caller: number(caller),
        called: number(called),
    }
}

fn del(caller: &str) -> Edit {
    Edit::DelRoute {
        caller: number(caller),
    }
}

fn debug() -> Edit {
    Edit::Verbose(Verbosity::Debug)
}

#[track_caller]
fn check(before: &str, edit: &Edit, after: &str) {
    let got = edit.apply(before.as_bytes());
    let got = got.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(got.as_deref(), Ok(after), "{before:?}");
}

#[test]
fn only_the_value_of_the_last_verbose_changes() {
    for (before, after) in [
        ("verbose=1", "verbose=2"),
        ("verbose=1\r\n", "verbose=2\r\n"),
        ("\u{feff}verbose=1\n", "\u{feff}verbose=2\n"),
        ("  verbose = 1 ; loud\nx=y", "  verbose = 2 ; loud\nx=y"),
        ("verbose= ;nothing\n", "verbose=2 ;nothing\n"),
        ("verbose=\n", "verbose=2\n"),
        ("verbose=loud;er\n", "verbose=2\n"),
        (
            "verbose=1\n;verbose=1\n[x]\nverbose=11 \nmy_verbose=1\n",
            "verbose=1\n;verbose=1\n[x]\nverbose=2 \nmy_verbose=1\n",
        ),
    ] {
        check(before, &debug(), after);
    }
}

#[test]
fn what_is_not_there_is_added_where_it_belongs() {
    for (before, after) in [
        ("", "[event]\nverbose=2\n"),
        ("a=1", "a=1\n[event]\nverbose=2\n"),
        ("a=1\r\n", "a=1\r\n[event]\r\nverbose=2\r\n"),
        (
            "[event]\r\n; levels\r\nhangup=1\r\n\r\n;--\r\n[url]\r\n",
            "[event]\r\n; levels\r\nhangup=1\r\nverbose=2\r\n\r\n;--\r\n[url]\r\n",
        ),
        (
            "[Event]\n; levels\n;hangup=1\n;-----\n; where\n[url]\nx=1\n",
            "[Event]\n; levels\n;hangup=1\nverbose=2\n;-----\n; where\n[url]\nx=1\n",
        ),
        ("[event]", "[event]\nverbose=2\n"),
    ] {
        check(before, &debug(), after);
    }
}

#[test]
fn a_route_goes_behind_the_last_one() {
    for (before, after) in [
        (
            "[route]\n8003:0000 ; night\n\n[event]\n1:2\n",
            "[route]\n8003:0000 ; night\n1:9\n\n[event]\n1:2\n",
        ),
        (
            "[route]\n; caller:called\n;8003:0\n;---\n[event]\nverbose=1",
            "[route]\n; caller:called\n;8003:0\n1:9\n;---\n[event]\nverbose=1",
        ),
        ("[route", "[route\n1:9\n"),
        ("verbose=1\n", "verbose=1\n[route]\n1:9\n"),
        (
            "[route]\n2:3\n[x]\n[route]\n1:4\n",
            "[route]\n2:3\n1:9\n[x]\n[route]\n1:4\n",
        ),
    ] {
        check(before, &add("1", "9"), after);
    }
}

#[test]
fn a_route_goes_with_those_it_hides() {
    check(
        "[route]\r\n1:2\r\n; one\r\n2:3\r\n1 : 4 ; old\r\n[x]\r\n1:5\r\n",
        &del("1"),
        "[route]\r\n; one\r\n2:3\r\n[x]\r\n1:5\r\n",
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    for (before, edit, why) in [
        (
            "[route]\n1:2\n".as_bytes(),
            add("1", "9"),
            "line 2 has a route of 1 to 2, which is not in force: reload first",
        ),
        (
            "[route]\n1:2\n".as_bytes(),
            del("3"),
            "no line has a route of 3",
        ),
        (b"verbose=\xff\n", debug(), "line 1 is not UTF-8 text"),
    ] {
        assert_eq!(edit.apply(before), Err(why.to_owned()));
    }
}

#[test]
fn letters_that_are_no_utf_8_stay() {
    let before = b"; \xe9t\xe9\nverbose=1 ; \xe0\n[route]\n1:2 ; \xff\n";
    assert_eq!(
        debug().apply(before).unwrap(),
        b"; \xe9t\xe9\nverbose=2 ; \xe0\n[route]\n1:2 ; \xff\n"
    );
    assert_eq!(
        add("3", "4").apply(before).unwrap(),
        b"; \xe9t\xe9\nverbose=1 ; \xe0\n[route]\n1:2 ; \xff\n3:4\n"
    );
}

/// What a file means, and its lines but for one.
fn meaning(file: &[u8]) -> Config {
    let mut config = Config::parse(&String::from_utf8_lossy(file)).config;
    for route in &mut config.routes {
        route.line = 0;
    }
    config
}

#[test]
fn any_file_means_the_same_but_for_the_edit() {
    const LINES: [&str; 20] = [
        "[general]",
        "[event]",
        "[route]",
        "[Route ",
        "[x]",
        "verbose=1",
        "verbose = 3 ; x",
        "hangup=2",
        "8003:0000",
        "8004 : 1 ; x",
        "8003:7",
        "; comment",
        ";----",
        "",
        "# x",
        "/x",
        "rest_server=127.0.0.1:5058",
        "unknown=key",
        "caf\u{e9}",
        "1:2",
    ];
    let mut random: u64 = 7;
    let mut pick = |count: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % 1_000_003).unwrap() % count
    };
    for _ in 0..4_000 {
        let end = ["\n", "\r\n"][pick(2)];
        let mut file = String::new();
        for _ in 0..pick(12) {
            file.push_str(LINES[pick(LINES.len())]);
            file.push_str(end);
        }
        if pick(3) == 0 {
            file.truncate(file.trim_end().len());
        }
        let old = meaning(file.as_bytes());
        let mut wanted = old.clone();
        let edit = match pick(3) {
            0 => {
                wanted.event.verbose = Verbosity::Debug;
                debug()
            }
            1 => {
                wanted.routes.push(Route {
                    caller: "8100".into(),
                    called: "8200".into(),
                    line: 0,
                });
                add("8100", "8200")
            }
            _ => {
                wanted.routes.retain(|route| &*route.caller != "8003");
                del("8003")
            }
        };
        let Ok(edited) = edit.apply(file.as_bytes()) else {
            assert_eq!(wanted, old, "{file:?}");
            continue;
        };
        assert_eq!(meaning(&edited), wanted, "{edit:?} of {file:?}");
        // Bytes that both begin with, and that both end with: all but what was edited.
        let same = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let begin = same(file.as_bytes(), &edited);
        let (mut rest, mut new) = (file.as_bytes()[begin..].to_vec(), edited[begin..].to_vec());
        rest.reverse();
        new.reverse();
        let changed = rest.len() - same(&rest, &new);
        match edit {
            Edit::Verbose(_) => assert!(changed <= 1, "{file:?}: {edited:?}"),
            Edit::AddRoute { .. } => assert_eq!(changed, 0, "{file:?}: {edited:?}"),
            Edit::DelRoute { .. } => {
                let old = file.lines().filter(|line| !line.starts_with("8003:"));
                let edited = String::from_utf8(edited.clone()).unwrap();
                assert!(old.eq(edited.lines().filter(|line| !line.starts_with("8003:"))));
            }
        }
    }
}

/// The module wrote the whole file anew, with comments of its own; it means what ours does.
#[test]
fn the_recorded_file_means_the_same_afterwards() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/conf-cli");
    let read = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    let mut file = read("salara.conf");
    for edit in [
        Edit::Verbose(Verbosity::Dump),
        Edit::Verbose(Verbosity::On),
        add("8100", "8200"),
    ] {
        file = edit.apply(&file).unwrap();
    }
    assert_eq!(meaning(&file), meaning(&read("salara.conf.after")));
    let text = String::from_utf8(file).unwrap();
    let before = String::from_utf8(read("salara.conf")).unwrap();
    assert_eq!(text, before.replace("8000:0\n", "8000:0\n8100:8200\n"));
}
