//! The log: where it goes, who reads it there, and what he must never see.

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

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::daemon::{Salara, binary, run, scratch_dir, signal};
use support::ports::Ports;
use support::rest::{self, Client};

const SOON: Duration = Duration::from_secs(20);
/// A request that is understood and may not be: one line of the log at every verbosity.
const REFUSED: &str = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

/// A salara whose log the test reads itself, or does not.
struct Unread {
    child: Child,
    dir: PathBuf,
    addr: SocketAddr,
    _ports: Ports,
}

impl Unread {
    fn start(conf: &str, stderr: impl Into<Stdio>, env: Option<(&str, &str)>) -> Self {
        let (dir, ports) = (scratch_dir(), Ports::take());
        let addr = SocketAddr::from(([127, 0, 0, 1], ports.port(1)));
        let file = dir.join("salara.conf");
        let conf = conf.replace("DIR", dir.to_str().unwrap());
        let text = format!("{conf}\n[url]\nrest_server={addr}\n[ami]\nport=1\nsecret=x\n");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(binary());
        command.arg("-c").arg(&file).stderr(stderr);
        command.arg("-s").arg(dir.join("salara.ctl"));
        command.env_remove("JOURNAL_STREAM").envs(env);
        let child = command.spawn().unwrap();
        let unread = Self {
            child,
            dir,
            addr,
            _ports: ports,
        };
        unread.wait("it listens", || std::net::TcpStream::connect(addr).is_ok());
        unread
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + SOON;
        while !done() {
            assert!(Instant::now() < deadline, "not so in time: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        signal(self.child.id(), "TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

#[test]
fn a_reader_that_stalls_stops_nobody_and_is_told_what_it_missed() {
    let mut salara = Unread::start("[event]\nverbose=3\n", Stdio::piped(), None);
    let mut client = Client::connect(salara.addr);
    // A pipe holds 64 KiB; each of these is a line of more than 64 bytes.
    let long = format!(
        "POST /{} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}",
        "x".repeat(64)
    );
    for _ in 0..3_000 {
        client.send(long.as_bytes());
        assert_eq!(client.reply().status, 400);
    }
    let mut log = BufReader::new(salara.child.stderr.take().unwrap());
    let mut line = String::new();
    let mut seen = 0;
    // What the pipe held comes first; then there is room again, and the next line finds it.
    while !line.contains("lines of the log are missing here: its reader did not keep up") {
        client.send(REFUSED.as_bytes());
        client.reply();
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0);
        assert!(line.starts_with("20") && line.ends_with('\n'), "{line:?}");
        seen += 1;
    }
    let words: Vec<&str> = line.split(' ').collect();
    let lost: usize = words[3].parse().unwrap();
    assert!(lost > 500 && seen > 100, "{line} after {seen}");
    drop(log);
    // Nobody reads it any more at all.
    client.send(REFUSED.as_bytes());
    assert_eq!(client.reply().status, 400);
    salara.stop();
}

#[test]
fn the_journal_gets_priorities_and_neither_time_nor_level() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let of = |fd: OwnedFd| File::from(fd).metadata().unwrap();
    let of = of(theirs.try_clone().unwrap().into());
    let name = format!("{}:{}", of.dev(), of.ino());
    let conf = "[event]\nverbose=1\n[security]\ncolour=red\n";
    let env = Some(("JOURNAL_STREAM", name.as_str()));
    let mut salara = Unread::start(conf, OwnedFd::from(theirs), env);
    salara.stop();
    let mut log = String::new();
    ours.set_read_timeout(Some(SOON)).unwrap();
    (&ours).read_to_string(&mut log).unwrap();
    assert!(log.contains("\n<6>rest: listening on "), "{log}");
    assert!(log.starts_with("<4>salara: "), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");

    // A child of a service inherits the variable, with a stderr of its own.
    let mut other = Unread::start(conf, Stdio::piped(), env);
    let mut log = String::new();
    let mut stderr = other.child.stderr.take().unwrap();
    other.stop();
    stderr.read_to_string(&mut log).unwrap();
    assert!(log.contains("Z [INFO] rest: listening on "), "{log}");
}

#[test]
fn a_file_that_was_renamed_is_left_alone_after_usr1() {
    let conf = "[event]\nverbose=1\n[log]\nlog_to=DIR/log\n";
    let mut salara = Unread::start(conf, Stdio::piped(), None);
    let (file, old) = (salara.dir.join("log"), salara.dir.join("log.1"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    salara.wait("the first line", || read(&file).contains("listening on"));
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );
    fs::rename(&file, &old).unwrap();
    signal(salara.child.id(), "USR1");
    salara.wait("a new file", || file.exists());
    let before = read(&old);
    salara.stop();
    assert!(read(&file).contains("stopped"));
    assert_eq!(read(&old), before);

    // It is added to, not begun again.
    let mut again = Unread::start(
        &conf.replace("DIR/log", old.to_str().unwrap()),
        Stdio::null(),
        None,
    );
    again.stop();
    assert!(read(&old).starts_with(&before) && read(&old).len() > before.len());
}

#[test]
fn a_file_that_cannot_be_opened_is_told_where_it_can_be_seen() {
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    fs::write(&file, format!("[log]\nlog_to={}/no/log\n", dir.display())).unwrap();
    for more in [&["--check"][..], &[]] {
        let (code, _, err) = run(&[&["-c", file.to_str().unwrap()], more].concat());
        assert_eq!(code, Some(2));
        assert!(
            err.starts_with("salara: log_to: /") && err.contains("No such file"),
            "{err}"
        );
    }
    // Who only asks does not become the file's owner.
    fs::write(&file, format!("[log]\nlog_to={}/log\n", dir.display())).unwrap();
    let (code, _, err) = run(&["-c", file.to_str().unwrap(), "--check"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(!dir.join("log").exists());

    // What ends it is told on stderr too: who starts it looks there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let text = format!(
        "[url]\nrest_server={addr}\n[log]\nlog_to={}/log\n",
        dir.display()
    );
    fs::write(&file, text).unwrap();
    let (code, _, err) = run(&["-c", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    let log = fs::read_to_string(dir.join("log")).unwrap();
    for told in [err, log] {
        assert!(
            told.contains("cannot listen: address already in use"),
            "{told}"
        );
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn syslog_gets_datagrams_and_a_daemon_that_was_restarted_is_found_again() {
    let dir = scratch_dir();
    let socket = dir.join("log");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    daemon.set_read_timeout(Some(SOON)).unwrap();
    let next = |daemon: &UnixDatagram| {
        let mut buffer = [0; 2048];
        let count = daemon.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    let conf = format!(
        "[event]\nverbose=1\n[log]\nlog_to=syslog:{}\n",
        socket.display()
    );
    let conf = format!("{conf}[security]\nrest_allow=192.0.2.1\n");
    let mut salara = Unread::start(&conf, Stdio::null(), None);
    let pid = salara.child.id();
    let line = next(&daemon);
    assert!(line.starts_with("<30>"), "{line}");
    let rest = &line["<30>Mmm dd hh:mm:ss ".len()..];
    assert!(
        rest.starts_with(&format!("salara[{pid}]: rest: listening on ")),
        "{line}"
    );
    while !next(&daemon).contains("not connected") {}

    drop(daemon);
    fs::remove_file(&socket).unwrap();
    assert_eq!(rest::post(salara.addr, "{}").status, 403);
    let daemon = UnixDatagram::bind(&socket).unwrap();
    daemon.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(rest::post(salara.addr, "{}").status, 403);
    let missing = next(&daemon);
    assert!(
        missing.contains("1 lines of the log are missing here: "),
        "{missing}"
    );
    assert!(missing.starts_with("<28>"), "{missing}");
    let line = next(&daemon);
    assert!(line.contains(" rest: 127.0.0.1: refused: "), "{line}");
    salara.stop();
    while !next(&daemon).ends_with("salara: stopped") {}
    daemon.set_nonblocking(true).unwrap();
    let end = daemon.recv(&mut [0; 10]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_a_peer_repeats_is_said_a_few_times_and_counted() {
    let conf = "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\n[ami]\nport=1\nsecret=x\n";
    let conf = format!("{conf}[security]\nrest_token=t\n");
    let mut salara = Salara::start(&conf);
    for _ in 0..100 {
        assert_eq!(salara.post("{}").status, 401);
    }
    assert_eq!(salara.stop().code(), Some(0));
    // How many are said before the count depends a little on how long the hundred take.
    let told = salara.wait_log(" more like this within a minute: 127.0.0.1: refused: ");
    let counted = told.split("rest: ").nth(1).unwrap().split(' ').next();
    let counted: usize = counted.unwrap().parse().unwrap();
    let said = |line: &&String| line.contains("] rest: 127.0.0.1: refused");
    assert_eq!(salara.log().iter().filter(said).count(), 100 - counted);
    assert!((80..=90).contains(&counted), "{told}");
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let conf = "[event]\nverbose=1\n[log]\nlog_to=/dev/full\n";
    let mut salara = Unread::start(conf, Stdio::null(), None);
    assert_eq!(rest::post(salara.addr, "{}").status, 400);
    // Another place is told what is missing in this one.
    let file = salara.dir.join("salara.conf");
    let log = salara.dir.join("log");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("/dev/full", log.to_str().unwrap())).unwrap();
    signal(salara.child.id(), "HUP");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    salara.wait("it is told", || read().contains("reloaded"));
    let first = read();
    let first = first.lines().next().unwrap();
    assert!(
        first.contains(" lines of the log are missing here: No space left"),
        "{first}"
    );
    salara.stop();
}
