//! salara as a service: what its supervisor hears, and who is told to have its port.

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
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use support::daemon::{Salara, run, scratch_dir};

const CONF: &str = "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport=1\nsecret=x\n";
const SOON: Duration = Duration::from_secs(20);

fn next(supervisor: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let count = supervisor.recv(&mut buffer).expect("it says something");
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn a_supervisor_hears_how_things_are_and_that_the_loop_turns() {
    let dir = scratch_dir();
    let path = dir.join("notify");
    let abstract_name = format!("salara-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
    for (name, supervisor) in [
        (path.to_str().unwrap(), UnixDatagram::bind(&path).unwrap()),
        (
            &*format!("@{abstract_name}"),
            UnixDatagram::bind_addr(&address).unwrap(),
        ),
    ] {
        supervisor.set_read_timeout(Some(SOON)).unwrap();
        let env = format!("export NOTIFY_SOCKET={name} WATCHDOG_USEC=200000");
        let mut salara = Salara::start_after(&env, CONF);
        assert_eq!(next(&supervisor), "READY=1");
        assert_eq!(salara.post("{}").status, 400);
        let (mut signs, mut state) = (0, String::new());
        while signs < 5 || state.is_empty() {
            match next(&supervisor) {
                sign if sign == "WATCHDOG=1" => signs += 1,
                other => state = other,
            }
        }
        assert!(state.starts_with("STATUS=not connected: "), "{state}");
        assert_eq!(salara.stop().code(), Some(0));
        while next(&supervisor) != "STOPPING=1" {}
    }
    fs::remove_dir_all(dir).unwrap();
}

/// systemd drops what is older than its own request, by the clock that Linux starts at zero.
#[test]
fn a_reload_is_told_with_its_time() {
    let dir = scratch_dir();
    let path = dir.join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(SOON)).unwrap();
    let env = format!("export NOTIFY_SOCKET={}", path.display());
    let salara = Salara::start_after(&env, CONF);
    assert_eq!(next(&supervisor), "READY=1");
    salara.wait_log("not connected");
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    salara.signal("HUP");
    let reloading = loop {
        let told = next(&supervisor);
        if !told.starts_with("STATUS=") {
            break told;
        }
    };
    let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let usec: f64 = usec.expect(&reloading).parse().unwrap();
    assert!(usec > uptime * 1e6, "{reloading} at {uptime}");
    while next(&supervisor) != "READY=1" {}
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn no_watchdog_is_fed_that_watches_another_process() {
    let dir = scratch_dir();
    let path = dir.join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(SOON)).unwrap();
    let env = format!(
        "export NOTIFY_SOCKET={} WATCHDOG_USEC=1000 WATCHDOG_PID=1",
        path.display()
    );
    let mut salara = Salara::start_after(&env, CONF);
    salara.wait_log("not connected");
    assert_eq!(salara.stop().code(), Some(0));
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "STOPPING=1") {
        told.push(next(&supervisor));
    }
    assert_eq!(told.first().unwrap(), "READY=1");
    assert!(!told.iter().any(|told| told == "WATCHDOG=1"), "{told:?}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_second_salara_is_told_who_has_its_port() {
    for (first, second) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("*:0", "127.0.0.1"),
        ("[::1]:0", "[::1]"),
        ("[::]:0", "127.0.0.1"),
        ("127.0.0.1:0", "*"),
    ] {
        let salara = Salara::start(&CONF.replace("127.0.0.1:0", first));
        let address = format!("{second}:{}", salara.addr().port());
        let dir = scratch_dir();
        let file = dir.join("salara.conf");
        fs::write(&file, CONF.replace("127.0.0.1:0", &address)).unwrap();
        let (code, _, err) = run(&["-c", file.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{first} {address}");
        let who = format!(
            "cannot listen: address already in use by salara (pid {})",
            salara.pid()
        );
        assert!(err.contains(&who), "{first}: {err}");
        fs::remove_dir_all(dir).unwrap();
    }
}
