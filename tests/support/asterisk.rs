//! A real Asterisk for one test: own folder, own ports, own process, gone when it is dropped.
//!
//! The configuration is in `tests/lab`, the same phones and numbers for both versions.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ami::Ami;
use super::ports::Ports;

// Named, for not everybody finds this file by its own name.
#[path = "installation.rs"]
mod installation;

use installation::{Installation, installation, lab};
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use installation::{available, missing, tmp};

/// Which Asterisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The last Debian release with `chan_sip`.
    V16,
    /// The current long-term version, PJSIP only.
    V22,
}

impl Version {
    /// Both, for a test that is to hold on both.
    pub const ALL: [Self; 2] = [Self::V16, Self::V22];

    /// The major version as it is written in file names.
    pub fn number(self) -> &'static str {
        match self {
            Self::V16 => "16",
            Self::V22 => "22",
        }
    }

    /// The technology of its phones, the first part of their channels' names.
    pub fn tech(self) -> &'static str {
        match self {
            Self::V16 => "SIP",
            Self::V22 => "PJSIP",
        }
    }
}

/// Runs a test on an Asterisk of that version, or says that it was left out.
pub fn on(version: Version, test: fn(Asterisk)) {
    if !missing(version) {
        test(Asterisk::start(version));
    }
}

/// A running Asterisk.
#[derive(Debug)]
pub struct Asterisk {
    version: Version,
    dir: PathBuf,
    mark: String,
    ports: Ports,
    running: Option<Running>,
}

impl Asterisk {
    /// Starts one and waits until it is fully booted.
    #[track_caller]
    pub fn start(version: Version) -> Self {
        let mut trouble = String::new();
        for _ in 0..ATTEMPTS {
            let mut asterisk = Self::prepare(version);
            match asterisk.boot() {
                Ok(()) => return asterisk,
                Err(why) => trouble = why,
            }
        }
        panic!("Asterisk {} does not start: {trouble}", version.number());
    }

    /// Which one it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `PJSIP` or `SIP`.
    pub fn tech(&self) -> &'static str {
        self.version.tech()
    }

    /// Where AMI listens.
    pub fn ami_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.port(AMI)).into()
    }

    /// Where SIP listens, on UDP.
    pub fn sip_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.port(SIP)).into()
    }

    /// Where extensions 5000 and 5001 look for their FastAGI server.
    pub fn agi_port(&self) -> u16 {
        self.ports.port(AGI)
    }

    /// Where the phone that plays the trunk has to be.
    pub fn trunk_port(&self) -> u16 {
        self.ports.port(TRUNK)
    }

    /// A port that nobody has and that survives a restart, for a server of the test's own.
    pub fn spare_port(&self, n: u16) -> u16 {
        assert!(n < SPARE_COUNT, "there are {SPARE_COUNT} spare ports");
        self.ports.port(SPARE + n)
    }

    /// The secret of a user of manager.conf.
    pub fn secret(&self, user: &str) -> String {
        format!("{user}-{}", self.mark)
    }

    /// The folder with manager.conf and the others, its astetcdir.
    pub fn etc(&self) -> PathBuf {
        self.dir.join("etc")
    }

    /// The folder of this instance, for whatever a test wants to keep there.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has logged: errors, warnings and each step of the dialplan.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log/full")).unwrap_or_default()
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in:\n{}", self.log());
            thread::sleep(STEP);
        }
    }

    /// A new AMI session as `tester`, who may do everything.
    #[track_caller]
    pub fn ami(&self) -> Ami {
        match Ami::login(self.ami_addr(), "tester", &self.secret("tester")) {
            Ok(ami) => ami,
            Err(why) => panic!("tester cannot log in: {why}"),
        }
    }

    /// Runs a console command and returns its output.
    #[track_caller]
    pub fn cli(&self, command: &str) -> String {
        let output = self
            .program()
            .args(["-rx", command])
            .output()
            .expect("asterisk -rx runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {text}");
        text
    }

    /// Waits until Asterisk can call a phone that has registered. That is later than the answer to
    /// REGISTER: a qualified phone is unavailable until it has answered the first OPTIONS.
    #[track_caller]
    pub fn wait_reachable(&self, phone: &str) {
        let mut ami = self.ami();
        let deadline = Instant::now() + PATIENCE;
        loop {
            ami.mark();
            let status = self.peer_status(&mut ami, phone);
            let reachable = ["Reachable", "NonQualified", "Unmonitored"].contains(&status.as_str());
            if reachable && ami.extension_state(phone) != UNAVAILABLE {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{phone} is {status:?}, not reachable"
            );
            let step = Duration::from_millis(200);
            ami.wait_event(step, |f| {
                f.is("PeerStatus") || f.is("ContactStatus") || f.is("ExtensionStatus")
            });
        }
    }

    /// What Asterisk says of a peer: `Reachable`, `Unreachable`, `Unmonitored` or `NonQualified`,
    /// `Unknown`; nothing if it has no address or does not exist.
    pub fn peer_status(&self, ami: &mut Ami, phone: &str) -> String {
        let (action, name, key) = match self.version {
            Version::V16 => ("SIPpeerstatus", "Peer", "PeerStatus"),
            Version::V22 => ("PJSIPShowEndpoint", "Endpoint", "Status"),
        };
        let items = ami.list(&[("Action", action), (name, phone)]);
        let status = items
            .iter()
            .find(|f| f.is("PeerStatus") || f.is("ContactStatusDetail"));
        status
            .map(|frame| frame.get(key).to_owned())
            .unwrap_or_default()
    }

    /// Kills it, as a power failure does.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Asks it to stop, as a careful administrator does, and waits until it has.
    #[track_caller]
    pub fn stop_gracefully(&mut self) {
        // The console client may be cut off before it has seen an answer.
        let _ = self.program().args(["-rx", "core stop now"]).output();
        let deadline = Instant::now() + PATIENCE;
        let running = self.running.as_mut().expect("it is running");
        while running.exit_status().is_none() {
            assert!(Instant::now() < deadline, "Asterisk did not stop");
            thread::sleep(STEP);
        }
        self.running = None;
    }

    /// Starts it again after [`Asterisk::kill`] or [`Asterisk::stop_gracefully`], on the same
    /// ports and with whatever is in [`Asterisk::etc`] now, and waits until it is fully booted.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it is still running");
        if let Err(why) = self.boot() {
            panic!("Asterisk does not start again: {why}");
        }
    }

    /// Kills it and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// A folder with a configuration, and the ports in it.
    #[track_caller]
    fn prepare(version: Version) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let installation = match installation(version) {
            Ok(installation) => installation,
            Err(why) => panic!("no Asterisk {}: {why}", version.number()),
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("asterisk{}-{}-{count}", version.number(), process::id());
        let dir = short_enough(tmp().join(&name));
        let moment = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        let mark = format!("{:x}{count:x}", moment.as_nanos());
        let asterisk = Self {
            version,
            dir,
            mark,
            ports: Ports::take(),
            running: None,
        };

        let _ = fs::remove_dir_all(&asterisk.dir);
        for folder in ["etc", "run", "lib", "log", "spool"] {
            fs::create_dir_all(asterisk.dir.join(folder)).expect("a folder for the instance");
        }
        for templates in ["common", version.number()] {
            asterisk.configure(installation, &lab().join(templates));
        }
        asterisk
    }

    /// Fills the templates of a folder in.
    fn configure(&self, installation: &Installation, templates: &Path) {
        let path = |path: &Path| path.display().to_string();
        let port = |n| self.ports.port(n).to_string();
        let message_tech = self.tech().to_lowercase();
        let values = [
            ("@INSTANCE@", path(&self.dir)),
            ("@ETC@", path(&self.etc())),
            ("@RUN@", path(&self.dir.join("run"))),
            ("@MODULES@", path(&installation.modules)),
            ("@DATA@", path(&installation.data)),
            ("@TECH@", self.tech().to_owned()),
            ("@MESSAGE_TECH@", message_tech),
            ("@SECRET@", self.mark.clone()),
            ("@AMI_PORT@", port(AMI)),
            ("@SIP_PORT@", port(SIP)),
            ("@AGI_PORT@", port(AGI)),
            ("@TRUNK_PORT@", port(TRUNK)),
            ("@DEAD_PORT@", port(DEAD)),
            ("@RTP_START@", RTP.start().to_string()),
            ("@RTP_END@", RTP.end().to_string()),
            ("@REDIRECT@", self.redirect()),
        ];
        for entry in fs::read_dir(templates).expect("the templates") {
            let template = entry.expect("a template").path();
            let mut text = fs::read_to_string(&template).expect("a template is text");
            for (name, value) in &values {
                text = text.replace(name, value);
            }
            let file = template.file_name().expect("a name");
            fs::write(self.etc().join(file), text).expect("a file of the configuration");
        }
    }

    /// What Transfer wants to lead a caller back through this Asterisk.
    fn redirect(&self) -> String {
        match self.version {
            Version::V16 => "SIP/${target}".to_owned(),
            Version::V22 => format!("PJSIP/sip:${{target}}@{}", self.sip_addr()),
        }
    }

    fn boot(&mut self) -> Result<(), String> {
        // Left behind by a killed one.
        for file in ["asterisk.ctl", "asterisk.pid"] {
            let _ = fs::remove_file(self.dir.join("run").join(file));
        }
        let console = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log/console"))
            .map_err(|e| e.to_string())?;
        let logged = self.log().len();
        let mut program = self.program();
        program
            .args(["-f", "-n"])
            .stdin(Stdio::null())
            .stdout(console.try_clone().map_err(|e| e.to_string())?)
            .stderr(console);
        self.running = Some(Running::start(program).map_err(|e| e.to_string())?);
        let booted = self.wait_fully_booted(logged);
        if booted.is_err() {
            self.kill();
        }
        booted
    }

    /// Waits for what no file or socket tells in time; `logged` is the length of the log before.
    fn wait_fully_booted(&mut self, logged: usize) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE * 2;
        let mut trouble = "no AMI".to_owned();
        while Instant::now() < deadline {
            let status = self.running.as_mut().and_then(Running::exit_status);
            if let Some(status) = status {
                return Err(format!("it ended with {status}\n{}", self.log()));
            }
            self.check_ports(logged)?;
            match Ami::login(self.ami_addr(), "tester", &self.secret("tester")) {
                Ok(ami) if ami.wait_event(PATIENCE, |f| f.is("FullyBooted")).is_some() => {
                    return self.check_ports(logged);
                }
                Ok(_) => trouble = "no FullyBooted".to_owned(),
                // The secret is another instance's, and so is the port.
                Err(why) if why == "Authentication failed" => return Err(why),
                Err(why) => trouble = why,
            }
            thread::sleep(STEP);
        }
        Err(format!("{trouble}\n{}", self.log()))
    }

    /// Asterisk boots also without its ports, when somebody was quicker.
    fn check_ports(&self, logged: usize) -> Result<(), String> {
        let log = self.log();
        let log = log.get(logged..).unwrap_or_default();
        match log
            .lines()
            .find(|line| line.contains("Address already in use"))
        {
            Some(line) => Err(line.to_owned()),
            None => Ok(()),
        }
    }

    fn program(&self) -> Command {
        let installation = installation(self.version)
            .as_ref()
            .expect("it was started from one");
        let mut command = Command::new(&installation.program);
        command
            .arg("-C")
            .arg(self.etc().join("asterisk.conf"))
            .current_dir(&self.dir);
        command
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "the logs of Asterisk {} are in {}",
                self.version.number(),
                self.dir.display()
            );
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The process, and a second one that outlives the test for a moment: when the test is killed
/// before it can clean up, the second sees the end of its input and kills Asterisk.
#[derive(Debug)]
struct Running {
    child: Child,
    watcher: Child,
}

impl Running {
    fn start(mut program: Command) -> std::io::Result<Self> {
        // An interrupt from the terminal is for the test; it must not reach the two by itself.
        let child = program.process_group(0).spawn()?;
        let watcher = Command::new("sh")
            .args([
                "-c",
                "read -r _; kill -9 \"$1\"",
                "watcher",
                &child.id().to_string(),
            ])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, watcher })
    }

    fn exit_status(&mut self) -> Option<process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // First the watcher: once the child is waited for, its number may be another's.
        for process in [&mut self.watcher, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A place for the instance: the path of a unix socket below it has at most 107 bytes.
fn short_enough(dir: PathBuf) -> PathBuf {
    if dir.join("run/asterisk.ctl").as_os_str().len() < 108 {
        return dir;
    }
    std::env::temp_dir().join(dir.file_name().expect("it has a name"))
}

/// The places of the ports in the block.
const AMI: u16 = 1;
const SIP: u16 = 2;
const AGI: u16 = 3;
const TRUNK: u16 = 4;
/// Nobody listens there, ever.
const DEAD: u16 = 5;
const SPARE: u16 = 6;
const SPARE_COUNT: u16 = 10;
/// For the sound of all of them: each leg of a call takes two, and Asterisk passes over what
/// another one has.
const RTP: RangeInclusive<u16> = 28_000..=31_999;

/// `ExtensionState` of a phone that cannot be called.
const UNAVAILABLE: i32 = 4;
/// How often a start is tried when somebody else took a port.
const ATTEMPTS: u32 = 3;
/// How long Asterisk may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked where nothing can be waited for.
const STEP: Duration = Duration::from_millis(20);
