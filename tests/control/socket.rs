//! The file of the control socket: whose it is, and who may have its place.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{ALONE, done};
use crate::support::daemon::{Salara, binary, run, scratch_dir, signal};
use crate::support::trace;

#[test]
fn a_dead_salara_s_socket_is_taken_over_and_is_for_the_owner_only() {
    let dir = scratch_dir();
    drop(UnixListener::bind(dir.join("salara.ctl")).unwrap());
    // And one that was killed while it made its own.
    let private = dir.join("salara.ctl.new");
    fs::create_dir(&private).unwrap();
    drop(UnixListener::bind(private.join("s")).unwrap());
    let salara = Salara::start_in(dir, ALONE);
    done(&salara, "show info");
    assert!(!salara.dir().join("salara.ctl.new").exists());
    let socket = fs::metadata(salara.dir().join("salara.ctl")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

/// Whoever connects to a socket keeps his connection, whatever its mode becomes.
#[test]
fn nobody_else_may_connect_before_the_socket_is_for_its_owner_only() {
    let scratch = scratch_dir();
    let trace = scratch.join("trace");
    let calls = "bind,/mkdir,/chmod,/rename";
    let mut salara = trace::start(&trace, calls, ALONE);
    let socket = salara.dir().join("salara.ctl").display().to_string();
    assert_eq!(salara.stop().code(), Some(0));
    if let Some(made) = trace::read(&trace) {
        let made: Vec<&str> = made.lines().filter(|line| line.contains(&socket)).collect();
        let steps = [
            ("mkdir", format!("{socket}.new\", 0700)")),
            ("bind", format!("{socket}.new/s\"")),
            ("chmod", format!("{socket}.new/s\", 0600")),
            ("rename", format!("{socket}\"")),
        ];
        assert_eq!(made.len(), steps.len(), "{made:#?}");
        for (line, (call, what)) in made.iter().zip(&steps) {
            let is_it = line.contains(call) && line.contains(what) && line.ends_with("= 0");
            assert!(is_it, "{call} {what}: {line}");
        }
    }
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn a_socket_that_has_taken_its_place_stays_when_salara_ends() {
    let mut salara = Salara::start(ALONE);
    let socket = salara.dir().join("salara.ctl");
    fs::remove_file(&socket).unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    assert_eq!(salara.stop().code(), Some(0));
    assert!(socket.exists());
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
