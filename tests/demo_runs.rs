//! The demo, as somebody runs it: what it prints, how it ends, and that it leaves nothing behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on must stop, and it owns its threads and clocks"
)]

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use support::asterisk::{self, Version};

/// How long the end of everything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn it_shows_a_call_and_a_message_and_ends() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let mut demo = Demo::start(&[("DEMO_ONCE", "1")]);
    let text = demo.rest();
    assert_eq!(demo.end(), Some(0), "{text}");
    let expected = [
        r#"$ curl -d '{"exten":"8003"}' 127.0.0.1:"#,
        r#"{"result":0,"text":"Idle"}"#,
        r#"$ curl -d '{"peer":"8003"}' 127.0.0.1:"#,
        r#"{"result":0,"text":"Reachable"}"#,
        r#"{"result":4,"text":"Unavailable"}"#,
        r#"$ curl -d '{"operator":"8003","phone":"8001"}' 127.0.0.1:"#,
        "phone 8003  rings",
        "phone 8003  answers",
        "phone 8001  rings, its display says 8003",
        "phone 8001  answers",
        "Up, in bridge",
        r#"$ curl -d '{"chan":"PJSIP/8003-"#,
        r#"{"result":0,"text":"Up (6)"}"#,
        r#"{"result":1,"text":"InUse"}"#,
        "phone 8001  the call is over",
        "Asterisk    no channels",
        r#"{"result":-1,"text":"Channel not present"}"#,
        "phone 8003  shows a message from 8001:",
        "Mrs Smith calls at three",
        r#"CRM         <- POST /phone {"phone":"87012223344"}"#,
        r#"CRM         -> {"personal_manager_internal_phone":"8003"}"#,
        "trunk       is told to call sip:8003@127.0.0.1:",
        "phone 8003  rings, its display says 87012223344",
        "trunk       is answered by 8003",
        "87012223344: transferred to 8003 (crm)",
        "Asterisk    no channels",
        "salara      ended on SIGTERM",
        "Everything it started has ended.",
    ];
    let mut rest = text.as_str();
    for line in expected {
        let Some(at) = rest.find(line) else {
            panic!("no {line:?} at its place in\n{text}");
        };
        rest = &rest[at + line.len()..];
    }
    for event in ["Newchannel", "Newexten", "Hangup"] {
        let post = format!(r#"CRM         <- POST /event {{"event":"{event}","chan":"PJSIP/8003-"#);
        assert!(text.contains(&post), "no {event} in\n{text}");
    }
    assert!(text.contains("trunk       calls 5000"), "{text}");
    assert!(!text.contains('\x1b'), "colours are for terminals");
}

#[test]
fn ctrl_c_ends_it_while_it_waits() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let mut demo = Demo::start(&[]);
    let text = demo.wait_line("Ctrl-C ends it all");
    let told = |name| {
        let mut lines = text.lines().map(str::trim);
        let told = lines.find_map(|line| line.strip_prefix(name));
        told.unwrap_or_else(|| panic!("no {name} in {text}")).trim()
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let console = Command::new("sh")
        .args(["-c", told("its console ")])
        .current_dir(here)
        .output()
        .expect("there is a shell");
    let console = String::from_utf8_lossy(&console.stdout).into_owned();
    assert!(console.contains("active channels"), "{console}");
    let etc = here.join(told("salara.conf "));
    let etc = etc.parent().expect("it is in a folder");
    assert!(etc.join("salara.conf").exists() && etc.join("manager.conf").exists());
    assert!(demo.processes().len() >= 3, "Asterisk, salara, the demo");
    // A terminal sends it to all of the group, so the test does.
    demo.signal("INT", "-");
    let rest = demo.rest();
    assert_eq!(demo.end(), Some(0), "{rest}");
    assert!(rest.contains("salara      ended on SIGTERM"), "{rest}");
    assert!(!etc.exists(), "{} is still there", etc.display());
}

#[test]
fn sigterm_ends_it_in_the_middle() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let mut demo = Demo::start(&[]);
    demo.wait_line("Click-to-call");
    demo.signal("TERM", "");
    let rest = demo.rest();
    assert_eq!(demo.end(), Some(130), "{rest}");
    assert!(rest.contains("Stopped before the end."), "{rest}");
    assert!(!rest.contains("FAILED"), "{rest}");
}

#[test]
fn it_says_what_failed() {
    if asterisk::missing(Version::V22) {
        return;
    }
    let mut demo = Demo::start(&[("SALARA", "false")]);
    let text = demo.rest();
    assert_eq!(demo.end(), Some(1), "{text}");
    assert!(text.contains("FAILED: false ended: "), "{text}");
}

/// A running demo. All that it starts inherits a mark from it.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    mark: String,
}

impl Demo {
    fn start(environment: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        let mut child = Command::new(program())
            .env("SALARA", env!("CARGO_BIN_EXE_salara"))
            .env_remove("DEMO_ONCE")
            .env("DEMO_MARK", &mark)
            .envs(environment.iter().copied())
            .process_group(0)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            stdout,
            mark,
        }
    }

    /// Reads up to a line that contains `text`.
    fn wait_line(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let from = all.len();
            let more = self.stdout.read_line(&mut all).expect("text");
            assert!(more > 0, "it ended without {text:?}:\n{all}");
            if all[from..].contains(text) {
                return all;
            }
        }
    }

    /// Reads to the end.
    fn rest(&mut self) -> String {
        let mut all = String::new();
        self.stdout.read_to_string(&mut all).expect("text");
        all
    }

    /// Sends a signal to the demo or, with "-", to its process group.
    fn signal(&self, name: &str, group: &str) {
        let script = format!("kill -{name} {group}{}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.is_ok_and(|status| status.success()), "{script}");
    }

    /// Waits for its end; returns its exit code. Nothing that it started is left then.
    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                let left = self.processes();
                assert!(left.is_empty(), "left behind: {left:#?}");
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The command lines of all processes that have the mark.
    fn processes(&self) -> Vec<String> {
        let mark = format!("DEMO_MARK={}", self.mark);
        let marked = |folder: &PathBuf| {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
        };
        let command = |folder: PathBuf| {
            let words = fs::read(folder.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).replace('\0', " ")
        };
        let entries = fs::read_dir("/proc").expect("there is a /proc");
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(marked)
            .map(command)
            .collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It ends what it has started; if it does not, watchers do that.
            self.signal("TERM", "");
            thread::sleep(Duration::from_secs(2));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The demo that `cargo test` has built beside this test. `cargo test --test` builds no examples,
/// so it may not be there or be an old one; then it is built now.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().expect("the test has a path");
        let profile = test.ancestors().nth(2).expect("it is in target/debug/deps");
        let program = profile.join("examples/demo");
        if built(&program).is_none_or(|built| built < changed()) {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--locked", "--example", "demo"]);
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            build
                .arg("--target-dir")
                .arg(profile.parent().expect("target"))
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(build.status().is_ok_and(|status| status.success()));
        }
        program
    })
}

fn built(program: &Path) -> Option<SystemTime> {
    fs::metadata(program).ok()?.modified().ok()
}

/// When the demo's sources were changed last.
fn changed() -> SystemTime {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    ["demo", "support"]
        .iter()
        .flat_map(|folder| fs::read_dir(tests.join(folder)).expect("sources"))
        .map(|entry| entry.and_then(|entry| entry.metadata()?.modified()))
        .map(|changed| changed.expect("a time"))
        .max()
        .expect("there are sources")
}
