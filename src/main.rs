//! salara, the program: arguments, configuration file, log, exit code.
//!
//! It must not know protocols. The surprising fact: everything that is wrong with a file is said at
//! once, each with its line, and a file of the old module is never refused.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::SystemTime;

use log::{error, warn};
use salara::VERSION;
use salara::account;
use salara::ami::instance::Instance;
use salara::config::{Config, LogTo, Parsed, Severity};
use salara::crm::agent;
use salara::crm::target::Target;
use salara::file;
use salara::logging;
use salara::reactor::{self, Setup};

mod args;
mod cli;

use args::Command;

/// Something went wrong while running.
const FAILED: u8 = 1;
/// The arguments or the configuration are wrong.
const MISCONFIGURED: u8 = 2;

/// What a new installation begins with.
const SHIPPED: &str = include_str!("../salara.conf");

fn main() -> ExitCode {
    match args::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => print(args::HELP),
        Ok(Command::Version) => print(&format!("salara {VERSION}\n")),
        Ok(Command::Check { file }) => check(&file),
        Ok(Command::Run { file, socket }) => run(&file, socket),
        Ok(Command::Setup { file, is_dry }) => setup(&file, is_dry),
        Ok(Command::Ask {
            socket,
            words,
            json,
        }) => cli::ask(socket, &words, json),
        Err(why) => {
            complain(&format!("salara: {why}\nTry: salara --help"));
            ExitCode::from(MISCONFIGURED)
        }
    }
}

/// Says what is wrong with a file, and whether salara would start with it.
fn check(file: &Path) -> ExitCode {
    let parsed = match load(file) {
        Ok(parsed) => parsed,
        Err(why) => return refuse(&why),
    };
    for problem in &parsed.problems {
        complain(&format!("{}:{problem}", file.display()));
    }
    if parsed.has_errors() {
        return ExitCode::from(MISCONFIGURED);
    }
    if let Some(why) = refused(file, &parsed) {
        return refuse(&why);
    }
    for line in unhonoured(file, &parsed) {
        complain(&line);
    }
    match (logging::check(&parsed.config.log_to), &parsed.config.log_to) {
        // Its daemon may be started later; salara does not wait for it.
        (Err(why), LogTo::Syslog(_)) => complain(&why),
        (Err(why), _) => return refuse(&why),
        (Ok(()), _) => {}
    }
    match reactor::account(&parsed.config, file) {
        Ok(where_to) => print(&format!("{}: ok, AMI at {where_to}\n", file.display())),
        Err(why) => {
            complain(&format!("{}: no AMI account: {why}", file.display()));
            print(&format!("{}: ok but for the account\n", file.display()))
        }
    }
}

/// Makes the account in manager.conf. A file that is not there yet counts as one with nothing in it.
fn setup(file: &Path, is_dry: bool) -> ExitCode {
    let parsed = if file.exists() {
        match load(file) {
            Ok(parsed) => parsed,
            Err(why) => return refuse(&why),
        }
    } else {
        Parsed::default()
    };
    match account::setup(&parsed.config, file, is_dry) {
        Ok(said) => print(&said),
        Err(why) => {
            complain(&format!("salara: {why}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(file: &Path, socket: Option<PathBuf>) -> ExitCode {
    if let Err(why) = make_if_missing(file) {
        return refuse(&why);
    }
    let parsed = match load(file) {
        Ok(parsed) => parsed,
        Err(why) => return refuse(&why),
    };
    if let Err(why) = logging::start(&parsed.config.log_to, parsed.config.event.verbose) {
        return refuse(&why);
    }
    for problem in &parsed.problems {
        match problem.severity {
            Severity::Error => error!("{}:{problem}", file.display()),
            Severity::Warning => warn!("{}:{problem}", file.display()),
        }
    }
    let is_elsewhere = parsed.config.log_to != LogTo::Stderr;
    let fail = |why: &str, code| {
        error!("{why}");
        if is_elsewhere {
            complain(&format!("salara: {why}"));
        }
        ExitCode::from(code)
    };
    if parsed.has_errors() {
        if is_elsewhere {
            complain(&format!("salara: {}: see the log", file.display()));
        }
        return ExitCode::from(MISCONFIGURED);
    }
    if let Some(why) = refused(file, &parsed) {
        return fail(&why, MISCONFIGURED);
    }
    for line in unhonoured(file, &parsed) {
        warn!("{line}");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "what names this run is its beginning"
    )]
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // A box without a clock is always switched on in 1970, and its processes in the same order.
    let random = RandomState::new().hash_one(process::id()) as u32;
    let setup = Setup {
        config: parsed.config,
        path: file.to_owned(),
        instance: Instance::new(started.as_secs(), random),
        seed: u64::from(random) << 32 | u64::from(process::id()),
        socket,
        read: read_again,
    };
    match reactor::run(setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why.to_string(), FAILED),
    }
}

/// What a file means to a salara that runs, and what is to be said about it.
fn read_again(file: &Path) -> Result<(Config, Vec<String>), String> {
    let parsed = load(file)?;
    let mut told = Vec::new();
    let mut wrong = Vec::from_iter(refused(file, &parsed));
    for problem in &parsed.problems {
        let list = match problem.severity {
            Severity::Error => &mut wrong,
            Severity::Warning => &mut told,
        };
        list.push(format!("{}:{problem}", file.display()));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    told.extend(unhonoured(file, &parsed));
    Ok((parsed.config, told))
}

/// The original wrote a file with its built-in values when there was none, and started.
fn make_if_missing(file: &Path) -> Result<(), String> {
    // `load` says it better when the file is there but closed to us.
    if file.exists() {
        return Ok(());
    }
    // It may come to hold secrets.
    match file::create(file, SHIPPED, None) {
        Ok(()) => {
            let file = file.display();
            complain(&format!("{file}: not there, so a new one was written"));
            Ok(())
        }
        Err(error) => {
            let file = file.display();
            Err(format!("{file}: not there, and cannot be written: {error}"))
        }
    }
}

fn load(file: &Path) -> Result<Parsed, String> {
    match file::read(file) {
        // The old files carry comments in any charset.
        Ok(bytes) => Ok(Config::parse(&String::from_utf8_lossy(&bytes))),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// What the file asks for and must not silently go without.
fn refused(file: &Path, parsed: &Parsed) -> Option<String> {
    let at = |key: &str, why: &str| {
        let line = parsed.given.line(key).unwrap_or(0);
        format!("{}:{line}: {key}: {why}", file.display())
    };
    let Config {
        ami, url, security, ..
    } = &parsed.config;
    if ami.tls {
        let why =
            "AMI over TLS is not in this version, and the secret is not sent in clear instead";
        return Some(at("tls", why));
    }
    let urls = [
        ("dest_url", &url.dest_url),
        ("dest_url_event", &url.dest_url_event),
    ];
    let mut https = urls
        .into_iter()
        .filter(|(key, url)| parsed.given.line(key).is_some() && Target::new(url).is_https());
    if !agent::HAS_TLS
        && let Some((key, _)) = https.next()
    {
        let why = "this salara is built without TLS: give an http:// URL, or install one with it";
        return Some(at(key, why));
    }
    let ca = security.crm_ca.as_ref()?;
    agent::check_ca(ca).err().map(|why| at("crm_ca", &why))
}

/// What the file asks for and this version does not do yet.
fn unhonoured(file: &Path, parsed: &Parsed) -> Vec<String> {
    let file = file.display();
    let line = |name: &str| parsed.given.line(name);
    let mut lines = Vec::new();
    let security = &parsed.config.security;
    if let Some(at) = line("crm_ca").filter(|_| security.tls_verify != Some(true)) {
        lines.push(format!(
            "{file}:{at}: crm_ca: has no effect without tls_verify=1"
        ));
    } else if let Some(at) = line("crm_ca").filter(|_| !agent::HAS_TLS) {
        lines.push(format!(
            "{file}:{at}: crm_ca: has no effect: this salara is built without TLS"
        ));
    }
    if let Some(at) = line("spool_max").filter(|_| parsed.config.delivery.spool_dir.is_none()) {
        lines.push(format!(
            "{file}:{at}: spool_max: has no effect without spool_dir"
        ));
    }
    lines
}

fn refuse(why: &str) -> ExitCode {
    complain(&format!("salara: {why}"));
    ExitCode::from(MISCONFIGURED)
}

fn complain(text: &str) {
    // Nobody is left to be told when stderr is gone.
    drop(writeln!(io::stderr(), "{text}"));
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

/// Where the old module's file is.
fn default_file() -> PathBuf {
    PathBuf::from("/etc/asterisk/salara.conf")
}
