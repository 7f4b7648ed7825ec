//! An administrator's day: verbs, changes that stay in the file, reloads.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

#[macro_use]
mod support;

#[path = "control/beside.rs"]
mod beside;
#[path = "control/crm.rs"]
mod crm;
#[path = "control/file.rs"]
mod file;
#[path = "control/reload.rs"]
mod reload;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use support::daemon::{Salara, binary, run, scratch_dir, signal};

/// A salara without an Asterisk: nobody listens on port 1.
const ALONE: &str = "[general]\ndefault=710\n[route]\n8003:0000\n[event]\nverbose=1\n[url]\n\
                     rest_server=127.0.0.1:0\nagi_server=off\ndest_url_event=\n[ami]\nport=1\nsecret=hush\n";

/// What a verb printed, which must have been done.
#[track_caller]
fn done(salara: &Salara, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (code, out, err) = salara.verb(&words);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{line}: {out}");
    out
}

/// What a verb complained of, which must not have been done.
#[track_caller]
fn refused(salara: &Salara, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (code, out, err) = salara.verb(&words);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{line}: {err}");
    err
}

#[test]
fn verbs_are_answered_for_people_and_for_scripts() {
    let salara = Salara::start(ALONE);
    let info = done(&salara, "show info");
    assert!(
        info.starts_with("\tSalara module info:\n\t-- configuration file '"),
        "{info}"
    );
    let pid = format!("\t-- pid: {}\n", salara.pid());
    let listens = format!("\t-- rest server listen on: '{}'\n", salara.addr());
    for line in [&pid, &listens] {
        assert!(info.contains(line.as_str()), "{line} in {info}");
    }
    let json = done(&salara, "--json show info");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["pid"], salara.pid());
    assert_eq!(json["rest_keys"][1], "phone");

    assert_eq!(
        done(&salara, "show route"),
        "\tSalara route table (caller:called):\n\t8003:0000\n"
    );
    assert_eq!(done(&salara, "show chan_records"), "total=0\n");
    let conf = done(&salara, "show conf");
    assert!(
        conf.contains("' present:\n[general]\ndefault=710\n"),
        "{conf}"
    );
    assert!(
        conf.contains("secret=***\n") && !conf.contains("hush"),
        "{conf}"
    );
    let none = "\tSalara: delele 0 records from chan_record_list\n";
    assert_eq!(done(&salara, "del chan_record a b"), none);

    let down = "Asterisk is not reachable";
    for line in [
        "get status extension 8003",
        "send msg 1 2 hi",
        "send command core show uptime",
    ] {
        assert_eq!(refused(&salara, line).trim(), down);
    }
    let (code, out, _) = salara.verb(&["get", "status", "peer", "8003", "--json"]);
    assert_eq!(code, Some(1));
    assert_eq!(out, "");
    let nowhere = "dest_url_event is empty: there is nowhere to post to";
    for line in ["send post json {}", "test-event"] {
        assert_eq!(refused(&salara, line).trim(), nowhere);
    }
    let (code, _, err) = salara.verb(&["show", "xyz"]);
    assert_eq!(code, Some(2));
    assert!(
        err.starts_with("No such command 'salara show xyz'"),
        "{err}"
    );
}

#[test]
fn that_none_runs_is_said_in_those_words() {
    let mut salara = Salara::start(ALONE);
    let socket = salara.dir().join("salara.ctl");
    assert_eq!(salara.stop().code(), Some(0));
    assert!(!socket.exists(), "it takes its socket away");
    let (code, out, err) = salara.verb(&["show", "info"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    let wanted = format!(
        "salara: not running: nobody listens at {}\n",
        socket.display()
    );
    assert_eq!(err, wanted);
    // What one that was killed has left behind.
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    assert_eq!(salara.verb(&["reload"]).0, Some(3));
}

#[test]
fn a_dead_salara_s_socket_is_taken_over_and_is_for_the_owner_only() {
    let dir = scratch_dir();
    drop(UnixListener::bind(dir.join("salara.ctl")).unwrap());
    let salara = Salara::start_in(dir, ALONE);
    done(&salara, "show info");
    let socket = fs::metadata(salara.dir().join("salara.ctl")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_salara_is_told_which_one_has_the_socket() {
    let salara = Salara::start(ALONE);
    let dir = salara.dir().to_str().unwrap().to_owned();
    let (conf, socket) = (format!("{dir}/salara.conf"), format!("{dir}/salara.ctl"));
    let (code, _, err) = run(&["-c", &conf, "-s", &socket]);
    assert_eq!(code, Some(1));
    let wanted = format!("another salara (pid {}) runs on {socket}", salara.pid());
    assert!(err.contains(&wanted), "{err}");
    done(&salara, "show info");
}

#[test]
fn a_socket_that_was_asked_for_and_cannot_be_made_ends_it() {
    let dir = scratch_dir();
    let conf = dir.join("salara.conf");
    fs::write(&conf, ALONE).unwrap();
    let conf = conf.to_str().unwrap();
    let (code, _, err) = run(&["-c", conf, "-s", "/nowhere/salara.ctl"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/nowhere/salara.ctl: "), "{err}");
    // A slip of the finger costs no file.
    let (code, _, err) = run(&["-c", conf, "-s", conf]);
    assert_eq!(code, Some(1));
    assert!(err.contains("it is there, and no socket"), "{err}");
    assert_eq!(fs::read_to_string(conf).unwrap(), ALONE);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn without_a_place_for_a_socket_it_runs_and_says_so() {
    let places = ["/var/run/asterisk", "/var/run/salara"].map(Path::new);
    if places.iter().any(|place| place.is_dir()) {
        eprintln!("skipped: this machine has a place for one");
        return;
    }
    let dir = scratch_dir();
    let conf = dir.join("salara.conf");
    fs::write(&conf, ALONE).unwrap();
    let mut salara = Command::new(binary())
        .arg("-c")
        .arg(&conf)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(salara.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("verbs"));
    let line = line.unwrap().unwrap();
    let why = "no verbs are taken: /var/run/asterisk/salara.ctl: no such file or directory; ";
    assert!(
        line.contains(why) && line.ends_with("give a place with -s"),
        "{line}"
    );
    // It runs, and ends only when told to.
    assert!(salara.try_wait().unwrap().is_none());
    signal(salara.id(), "TERM");
    assert_eq!(salara.wait().unwrap().code(), Some(0));
    let (code, _, err) = run(&["show", "info"]);
    assert_eq!(code, Some(3));
    assert!(err.starts_with("salara: not running: "), "{err}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_shell_completes_verbs() {
    let (code, script, _) = run(&["completion", "bash"]);
    assert_eq!(code, Some(0));
    if Command::new("bash").arg("--version").output().is_err() {
        return;
    }
    for (line, wanted) in [
        (
            "salara ",
            "show set del get send replay test-event reload setup completion",
        ),
        ("salara sh", "show"),
        ("salara -s x.ctl show c", "conf chan_records"),
        ("salara get status ", "extension peer channel"),
        ("salara set verbose d", "debug dump"),
        ("salara set route ", ""),
        ("salara --j", "--json"),
    ] {
        let asks = r#"COMP_WORDS=($0); [[ $0 == *" " ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _salara
            printf '%s\n' "${COMPREPLY[@]}" | awk '!seen[$0]++' | xargs echo"#;
        let bash = Command::new("bash")
            .args(["-c", &format!("{script}\n{asks}"), line])
            .output()
            .unwrap();
        let out = String::from_utf8(bash.stdout).unwrap();
        let err = String::from_utf8(bash.stderr).unwrap();
        assert_eq!((out.trim(), err.as_str()), (wanted, ""), "{line:?}");
    }
}
