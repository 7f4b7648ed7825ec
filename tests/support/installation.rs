//! The programs and modules of an Asterisk, unpacked once below the target folder by
//! `tests/lab/unpack`, or this machine's own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use super::Version;

/// Whether this machine can run that version; the error says what is missing.
///
/// # Panics
/// If it cannot and `CI` is set: there a test that was not run must not look like one that passed.
pub fn available(version: Version) -> Result<(), String> {
    match installation(version) {
        Ok(_) => Ok(()),
        Err(why) if std::env::var_os("CI").is_some() => {
            panic!("no Asterisk {}: {why}", version.number())
        }
        Err(why) => Err(why.clone()),
    }
}

/// Whether a test of that version must be left out; it then says so on stderr.
pub fn missing(version: Version) -> bool {
    let Err(why) = available(version) else {
        return false;
    };
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // Not eprintln: the harness would hide it, for the test passes.
    let line = format!(
        "LEFT OUT: {test}: no Asterisk {}: {why}\n",
        version.number()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// Where a version's files are.
#[derive(Debug)]
pub struct Installation {
    pub program: PathBuf,
    pub modules: PathBuf,
    pub data: PathBuf,
}

/// Looked for once.
pub fn installation(version: Version) -> &'static Result<Installation, String> {
    static FOUND: [OnceLock<Result<Installation, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    FOUND[version as usize].get_or_init(|| find_installation(version))
}

fn find_installation(version: Version) -> Result<Installation, String> {
    let number = version.number();
    let tree = tmp()
        .with_file_name("lab")
        .join(format!("asterisk{number}"));
    let unpack = Command::new(lab().join("unpack"))
        .arg(number)
        .arg(&tree)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("tests/lab/unpack: {e}"))?;
    if unpack.status.success() {
        return Installation::below(&tree, tree.join("bin/asterisk"));
    }
    let why = String::from_utf8_lossy(&unpack.stderr).trim().to_owned();
    match installed(number) {
        Some(program) => Installation::below(Path::new("/"), program),
        None => Err(why),
    }
}

/// An Asterisk of that version that this machine has anyway.
fn installed(number: &str) -> Option<PathBuf> {
    let program = PathBuf::from("asterisk");
    let output = Command::new(&program).arg("-V").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    version
        .starts_with(&format!("Asterisk {number}."))
        .then_some(program)
}

impl Installation {
    fn below(root: &Path, program: PathBuf) -> Result<Self, String> {
        // Debian's folder depends on the machine's architecture and on the age of the package.
        let libraries = ["usr/lib", "usr/lib64", "usr/local/lib"].map(|folder| root.join(folder));
        let below = libraries
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten();
        let triples = below.flatten().map(|entry| entry.path());
        let modules = libraries
            .iter()
            .cloned()
            .chain(triples)
            .map(|folder| folder.join("asterisk/modules"))
            .find(|folder| folder.join("pbx_config.so").exists())
            .ok_or_else(|| format!("no modules of Asterisk below {}", root.display()))?;
        let data = ["usr/share/asterisk", "var/lib/asterisk"]
            .map(|folder| root.join(folder))
            .into_iter()
            .find(|folder| folder.join("documentation").exists())
            .ok_or_else(|| format!("no documentation of Asterisk below {}", root.display()))?;
        Ok(Self {
            program,
            modules,
            data,
        })
    }
}

/// Cargo's folder for what tests write. It is named to tests only: an example, which is in
/// `target/debug/examples`, has to find it.
pub fn tmp() -> PathBuf {
    let beside = || {
        let program = std::env::current_exe().expect("the program has a path");
        let target = program.ancestors().nth(3).expect("it is in target");
        target.join("tmp")
    };
    option_env!("CARGO_TARGET_TMPDIR").map_or_else(beside, PathBuf::from)
}

/// The folder with the script and the templates.
pub fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}
