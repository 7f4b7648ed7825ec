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
#[path = "control/socket.rs"]
mod socket;

use std::os::unix::net::UnixListener;
use std::process::Command;

use support::daemon::{Salara, run};

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
    // A script that takes stdout never takes a failure for an answer: it is an object, on stderr.
    let err = refused(&salara, "get status peer 8003 --json");
    let err: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(err, serde_json::json!({ "error": down }));
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
