//! A salara whose system calls strace(1) writes down.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::daemon::Salara;

/// strace is given so long to write its last line.
const SOON: Duration = Duration::from_secs(20);

/// Starts it under strace, which traces `calls` from aside (`-D`): the process is salara itself.
pub fn start(trace: &Path, calls: &str, conf: &str) -> Salara {
    if !can_trace() {
        return Salara::start(conf);
    }
    let file = trace.display();
    let strace = format!("strace -D -f -yy -s 65536 -e trace={calls} -o {file}");
    Salara::start_after(&format!("set -- \"$0\" \"$@\"; exec {strace} \"$@\""), conf)
}

/// What strace wrote, when it is done with it.
pub fn read(trace: &Path) -> Option<String> {
    if !can_trace() {
        return None;
    }
    let deadline = Instant::now() + SOON;
    loop {
        let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
        if text.trim_end().ends_with("+++ exited with 0 +++") {
            return Some(text);
        }
        assert!(Instant::now() < deadline, "strace does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

fn can_trace() -> bool {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    let can = probe.as_ref().is_ok_and(|output| output.status.success());
    assert!(
        can || std::env::var_os("CI").is_none(),
        "strace is wanted: {probe:?}"
    );
    can
}
