//! Where the numbers come from.

use std::path::Path;
use std::process::Command;

use crate::args::Args;

/// Lines for the summary: the machine and the versions.
pub(crate) fn describe(args: &Args) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        format!("machine: {cores} cores, {model}, Linux {}", kernel.trim()),
        format!(
            "versions: {}, {}, asterisk-rs-ami {}, mio {}",
            first_line(&args.salara).unwrap_or_else(|| "no salara binary".to_owned()),
            first_line(Path::new("rustc")).unwrap_or_else(|| "no rustc".to_owned()),
            locked("asterisk-rs-ami"),
            locked("mio"),
        ),
    ]
}

fn first_line(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("-V").output().ok()?;
    String::from_utf8(output.stdout)
        .ok()?
        .lines()
        .next()
        .map(str::to_owned)
}

/// The version of a crate in the benchmark's lock file.
fn locked(name: &str) -> &'static str {
    let wanted = format!("name = \"{name}\"");
    let mut lines = include_str!("../Cargo.lock")
        .lines()
        .skip_while(|line| *line != wanted);
    lines
        .nth(1)
        .and_then(|line| line.split('"').nth(1))
        .unwrap_or("?")
}
