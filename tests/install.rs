//! What is installed beside the binary: the unit, the init script, the manual, and whether they tell
//! the truth.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test owns its threads and clocks"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::daemon::{binary, run, scratch_dir};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a tool in the repository; `None` when it is not there, which is a failure where all are.
fn tool(name: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(name).args(args).current_dir(ROOT).output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "{name} is wanted");
        eprintln!("LEFT OUT: no {name}");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Some((output.status.success(), text))
}

fn install(dir: &Path, prefix: &str) {
    let destdir = format!("DESTDIR={}", dir.display());
    let release = format!("RELEASE={}", binary().display());
    let args = ["install", &destdir, &format!("PREFIX={prefix}"), &release];
    let (done, told) = tool("make", &args).expect("make is there");
    assert!(done, "{told}");
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The files of a directory and below.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn all_is_installed_and_no_salara_conf_is_overwritten() {
    let dir = scratch_dir();
    install(&dir, "/usr");
    let found: Vec<(String, u32)> = files(&dir)
        .iter()
        .map(|path| {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let path = path.strip_prefix(&dir).unwrap();
            (path.display().to_string(), mode)
        })
        .collect();
    let wanted = [
        ("etc/asterisk/salara.conf", 0o640),
        ("usr/lib/systemd/system/salara.service", 0o644),
        ("usr/sbin/salara", 0o755),
        ("usr/share/bash-completion/completions/salara", 0o644),
        ("usr/share/man/man5/salara.conf.5", 0o644),
        ("usr/share/man/man8/salara.8", 0o644),
    ];
    let wanted = wanted.map(|(path, mode)| (path.to_owned(), mode));
    assert_eq!(found, wanted);
    let conf = dir.join("etc/asterisk/salara.conf");
    assert_eq!(fs::read_to_string(&conf).unwrap(), read("salara.conf"));

    fs::write(&conf, "; mine\n").unwrap();
    install(&dir, "/opt/x");
    assert_eq!(fs::read_to_string(&conf).unwrap(), "; mine\n");
    let unit = fs::read_to_string(dir.join("opt/x/lib/systemd/system/salara.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/x/sbin/salara\n"), "{unit}");
    assert!(
        unit.contains("\nExecReload=/opt/x/sbin/salara reload\n"),
        "{unit}"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn systemd_understands_the_unit_and_finds_little_to_reproach() {
    let dir = scratch_dir();
    let unit = dir.join("salara.service");
    let salara = binary().display().to_string();
    let text = read("cross/systemd/salara.service").replace("/usr/sbin/salara", &salara);
    fs::write(&unit, text).unwrap();
    let unit = unit.to_str().unwrap();
    if let Some((good, told)) = tool("systemd-analyze", &["verify", "--man=no", unit]) {
        // Units of the machine itself may have their own troubles.
        let ours: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("salara"))
            .collect();
        assert!(good && ours.is_empty(), "{told}");
    }
    // In tenths: 0 is locked up, 100 is wide open.
    let security = [
        "security",
        "--no-pager",
        "--offline=true",
        "--threshold=20",
        unit,
    ];
    if let Some((good, told)) = tool("systemd-analyze", &security) {
        let score = told
            .lines()
            .find(|line| line.contains("Overall exposure level"));
        println!("{}", score.expect("a score"));
        assert!(good, "{told}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn no_shell_script_has_a_trap_that_shellcheck_knows() {
    let mut scripts = Vec::new();
    for directory in [".ci", "cross", "src", "tests"] {
        for path in files(&Path::new(ROOT).join(directory)) {
            let begins = |text: &str| {
                let first = text.lines().next().unwrap_or_default();
                first.starts_with("#!") && (first.contains("/sh") || first.contains("/bash"))
            };
            if fs::read_to_string(&path).is_ok_and(|text| begins(&text)) {
                scripts.push(path.display().to_string());
            }
        }
    }
    assert!(
        scripts.iter().any(|path| path.ends_with("salara.init")),
        "{scripts:?}"
    );
    let args: Vec<&str> = ["-x", "-S", "warning"]
        .into_iter()
        .chain(scripts.iter().map(String::as_str))
        .collect();
    if let Some((good, told)) = tool("shellcheck", &args) {
        assert!(good, "{told}");
    }
}

#[test]
fn the_manual_is_well_formed() {
    let pages = files(&Path::new(ROOT).join("cross/man"));
    assert_eq!(pages.len(), 2, "{pages:?}");
    for page in pages {
        let page = page.to_str().unwrap();
        if let Some((good, told)) = tool("mandoc", &["-Tlint", "-Wwarning", page]) {
            assert!(good && told.is_empty(), "{told}");
        }
        // Whatever it complains of goes to stderr, and the page to stdout.
        let warn = format!("man -l --warnings -E UTF-8 '{page}' 2>&1 >/dev/null");
        if tool("man", &["--version"]).is_some() {
            let (good, told) = tool("sh", &["-c", &warn]).unwrap();
            assert!(good && told.is_empty(), "{told}");
        }
    }
}

/// The words a manual's macro marks.
fn marked<'a>(page: &'a str, macro_name: &'a str) -> Vec<&'a str> {
    let lines = page.lines().filter(|line| line.starts_with(".It "));
    let items = lines.filter_map(move |line| line.split_once(macro_name));
    items
        .flat_map(|(_, words)| words.split([' ', ',']))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn each_key_of_salara_conf_stands_in_its_manual_and_no_other() {
    let conf = read("salara.conf");
    let mut keys: Vec<&str> = conf
        .lines()
        .filter_map(|line| line.trim_start_matches(';').split_once('='))
        .map(|(key, _)| key)
        .filter(|key| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() >= 46, "{keys:?}");
    let page = read("cross/man/salara.conf.5");
    let mut told = marked(&page, ".It Ic ");
    told.sort_unstable();
    assert_eq!(told, keys);
}

#[test]
fn each_verb_and_option_stands_in_the_manual() {
    let page = read("cross/man/salara.8");
    let (_, help, _) = run(&["--help"]);
    let options = help
        .split(|c: char| c.is_whitespace() || "[],".contains(c))
        .filter(|word| word.len() > 1 && word.starts_with('-') && !word.starts_with("->"));
    let mut count = 0;
    for option in options {
        let fl = format!("Fl {}", option.strip_prefix('-').unwrap());
        let stands = page.lines().any(|line| {
            line.starts_with(".It Fl ") && format!("{line} ").contains(&format!("{fl} "))
        });
        assert!(stands || option == "-d", "{option}");
        count += 1;
    }
    assert!(count >= 10, "{help}");

    let (_, script, _) = run(&["completion", "bash"]);
    let verbs = script.split('\'').nth_back(1).unwrap();
    let mut count = 0;
    for verb in verbs.lines() {
        let fixed = verb
            .split(' ')
            .take_while(|word| !word.contains(['|', '<']));
        let fixed = fixed.collect::<Vec<_>>().join(" ");
        let stands = page.lines().any(|line| {
            let line = format!("{line} ");
            line.starts_with(&format!(".It Cm {fixed} "))
                || line.starts_with(&format!(".Cm {fixed} "))
        });
        assert!(stands, "{verb}");
        count += 1;
    }
    assert!(count >= 16, "{verbs}");
}
