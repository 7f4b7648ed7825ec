//! salara as a user starts it: a process, a salara.conf beside Asterisk's files, a log file.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::Trouble;
use super::stop;
use super::support::asterisk::Asterisk;
use super::support::crm::Crm;

/// A running salara.
pub(crate) struct Daemon {
    child: Child,
    /// Kills salara when the demo is killed before it can do that itself.
    watcher: Child,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    log: PathBuf,
}

/// Where its files are.
pub(crate) struct Files {
    /// salara.conf.
    pub(crate) conf: PathBuf,
    /// What it logs.
    pub(crate) log: PathBuf,
}

impl Files {
    /// In the folders of an Asterisk, as in /etc/asterisk and /var/log/asterisk.
    pub(crate) fn of(asterisk: &Asterisk) -> Self {
        Self {
            conf: asterisk.etc().join("salara.conf"),
            log: asterisk.dir().join("log/salara"),
        }
    }
}

impl Daemon {
    /// Starts one and waits until it is connected. A port that somebody else has is not trouble:
    /// then its last words are returned.
    pub(crate) fn start(
        program: &Path,
        asterisk: &Asterisk,
        crm: &Crm,
        port: u16,
    ) -> Result<Result<Self, String>, Trouble> {
        let files = Files::of(asterisk);
        let failed = |what: &Path, why| Trouble::Failed(format!("{}: {why}", what.display()));
        fs::write(&files.conf, conf(asterisk, crm, port))
            .map_err(|why| failed(&files.conf, why))?;
        let log = File::create(&files.log).map_err(|why| failed(&files.log, why))?;
        // Ctrl-C in a terminal is for the demo, which ends salara in its turn.
        let child = Command::new(program)
            .arg("-c")
            .arg(&files.conf)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|why| failed(program, why))?;
        let mut daemon = Self {
            watcher: watcher(child.id()).map_err(|why| failed(Path::new("sh"), why))?,
            child,
            addr: (Ipv4Addr::LOCALHOST, port).into(),
            log: files.log,
        };
        for text in ["listening on ", CONNECTED] {
            let deadline = Instant::now() + PATIENCE;
            while !daemon.log().contains(text) {
                if let Some(status) = daemon.ended() {
                    let words = daemon.log();
                    if words.contains("in use") {
                        return Ok(Err(words));
                    }
                    let program = program.display();
                    return Err(Trouble::Failed(format!(
                        "{program} ended: {status}\n{words}"
                    )));
                }
                if Instant::now() > deadline {
                    let why = format!("salara does not say {text:?}\n{}", daemon.log());
                    return Err(Trouble::Failed(why));
                }
                super::go_on()?;
                thread::sleep(STEP);
            }
        }
        Ok(Ok(daemon))
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Which Asterisk it is connected to, in its own words.
    pub(crate) fn link(&self) -> String {
        let log = self.log();
        let at = log.find(CONNECTED).unwrap_or_default();
        let line = log.get(at..).and_then(|rest| rest.lines().next());
        line.unwrap_or_default().to_owned()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Trouble> {
        if self.ended().is_none() {
            signal("TERM", &self.child.id().to_string());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let why = format!("salara ended: {status}\n{}", self.log());
                    return Err(Trouble::Failed(why));
                }
                None if Instant::now() > deadline => {
                    return Err(Trouble::Failed("salara does not end on SIGTERM".into()));
                }
                None => thread::sleep(STEP),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // First the watcher: once salara is waited for, its number may be another's.
        for process in [&mut self.watcher, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Runs a program to its end in a process group of its own, which ends when the demo shall.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus, Trouble> {
    let name = command.get_program().to_owned();
    let failed = |why| Trouble::Failed(format!("{}: {why}", name.display()));
    let mut child = command.process_group(0).spawn().map_err(failed)?;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            super::go_on()?;
            return Ok(status);
        }
        if stop::asked() && !told {
            signal("TERM", &format!("-{}", child.id()));
            told = true;
        }
        thread::sleep(STEP);
    }
}

/// A shell can send signals wherever there is one; the program `kill` is a package of its own.
fn signal(name: &str, to: &str) {
    let script = format!("kill -{name} {to}");
    let _ = Command::new("sh").args(["-c", &script]).status();
}

fn watcher(pid: u32) -> std::io::Result<Child> {
    Command::new("sh")
        .args([
            "-c",
            "read -r _; kill -9 \"$1\"",
            "watcher",
            &pid.to_string(),
        ])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// The one that `SALARA` names, else the one that cargo has built beside the demo.
pub(crate) fn program() -> Result<PathBuf, Trouble> {
    if let Some(program) = env::var_os("SALARA") {
        return Ok(program.into());
    }
    let beside = env::current_exe().ok().and_then(|exe| {
        let profile = exe.parent()?.parent()?;
        Some(profile.join("salara")).filter(|program| program.exists())
    });
    beside.ok_or_else(|| Trouble::Failed("no salara: build it, or name one in SALARA".into()))
}

/// A salara.conf as a user has it. The account is in the manager.conf beside it.
fn conf(asterisk: &Asterisk, crm: &Crm, port: u16) -> String {
    format!(
        "\
[general]
default=710
default_context=alnik
[event]
; what is logged: calls and connections
verbose=1
timeout_makecall=20
; events of the calls that are set up over REST go to the CRM
watch_makecall=1
hangup=1
newchannel=1
newexten=2
[url]
rest_server=127.0.0.1:{port}
dest_url={}
dest_url_event={}
; Idle and Unavailable
good_status=0,4
agi_server=127.0.0.1:{}
[keys]
key_word={KEY_WORD}
",
        crm.url("/phone"),
        crm.url("/event"),
        asterisk.agi_port(),
    )
}

/// The field of the CRM's answer that holds an extension.
pub(crate) const KEY_WORD: &str = "personal_manager_internal_phone";
/// What salara logs then.
const CONNECTED: &str = "connected to Asterisk";
/// How long salara may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);
