//! The program under test: started as a user would, read by what it logs, stopped by its handle.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use super::asterisk::Asterisk;
use super::rest::{self, Reply};

/// The control socket, beside the configuration.
const SOCKET: &str = "salara.ctl";
/// How long a start, a connect or a stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running salara.
pub struct Salara {
    child: Child,
    addr: SocketAddr,
    log: Log,
    reader: Option<JoinHandle<()>>,
    dir: PathBuf,
}

/// The lines logged so far, and who waits for more.
type Log = Arc<(Mutex<Vec<String>>, Condvar)>;

impl Salara {
    /// Starts it with this text as its salara.conf. The listener's port is ephemeral unless the
    /// text names one; calls come in only where the text says so.
    pub fn start(conf: &str) -> Self {
        Self::start_in(scratch_dir(), conf)
    }

    /// The same in a directory that is already there, and is removed with it.
    pub fn start_in(dir: PathBuf, conf: &str) -> Self {
        let file = dir.join("salara.conf");
        write(&file, conf);
        Self::start_with(&file, dir)
    }

    /// Starts it beside an Asterisk, with the account of its manager.conf, and waits for the link.
    /// `conf` is added to what that needs.
    pub fn beside(asterisk: &Asterisk, conf: &str) -> Self {
        let salara = Self::start(&format!("{}{conf}", conf_beside(asterisk)));
        salara.wait_connected();
        salara
    }

    /// Starts it from a shell that did `first`.
    pub fn start_after(first: &str, conf: &str) -> Self {
        let dir = scratch_dir();
        let file = dir.join("salara.conf");
        write(&file, conf);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"{first}; exec "$0" "$@""#)]);
        shell.arg(binary());
        Self::start_by(shell, &file, dir)
    }

    /// By another user, in a directory that is his to write in or not. Only root can do that.
    #[allow(dead_code, reason = "not every suite has other users")]
    pub fn start_as(user: u32, dir: PathBuf) -> Self {
        let mut command = Command::new(binary());
        command.uid(user).gid(user);
        let file = dir.join("salara.conf");
        Self::start_by(command, &file, dir)
    }

    fn start_with(file: &Path, dir: PathBuf) -> Self {
        Self::start_by(Command::new(binary()), file, dir)
    }

    fn start_by(mut command: Command, file: &Path, dir: PathBuf) -> Self {
        let mut child = command
            .arg("-c")
            .arg(file)
            .arg("-s")
            .arg(dir.join(SOCKET))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.0.lock().unwrap().push(line);
                lines.1.notify_all();
            }
        });
        let mut salara = Self {
            child,
            addr: ([127, 0, 0, 1], 0).into(),
            log,
            reader: Some(reader),
            dir,
        };
        let line = salara.wait_log("rest: listening on ");
        salara.addr = line.rsplit(' ').next().unwrap().parse().unwrap();
        salara
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Posts a JSON text and reads the reply.
    pub fn post(&self, json: &str) -> Reply {
        rest::post(self.addr, json)
    }

    /// Asks it as an administrator does; tells exit code, stdout and stderr.
    pub fn verb(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let socket = self.dir.join(SOCKET);
        run(&[&["-s", socket.to_str().unwrap()], words].concat())
    }

    /// The directory with its salara.conf and its control socket.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until the AMI link is up.
    pub fn wait_connected(&self) {
        self.wait_log("connected to Asterisk");
    }

    /// The lines logged so far.
    pub fn log(&self) -> Vec<String> {
        // Also for the report of a test that failed while it waited for a line.
        let lines = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }

    /// Waits for a line that contains `text`, old ones included.
    pub fn wait_log(&self, text: &str) -> String {
        self.wait_log_after(0, text).1
    }

    /// Waits for a line that contains `text` among those after the first `seen`; returns how many
    /// lines there are up to it, and the line.
    pub fn wait_log_after(&self, seen: usize, text: &str) -> (usize, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.0.lock().unwrap();
        loop {
            let found = lines
                .iter()
                .enumerate()
                .skip(seen)
                .find(|(_, line)| line.contains(text));
            if let Some((at, line)) = found {
                return (at + 1, line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no line with {text:?} in the log:\n{}",
                lines.join("\n")
            );
            lines = self.log.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Its resident memory in KiB, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The memory of its own in KiB: without the pages of the program, of which a build with debugging
    /// has several megabytes.
    pub fn own_kib(&self) -> u64 {
        self.kib("RssAnon:")
    }

    /// The most there ever was of resident memory.
    pub fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The processor time it has used, in clock ticks (hundredths of a second).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Ends it without notice.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Salara {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        if thread::panicking() {
            eprintln!("--- salara's log\n{}", self.log().join("\n"));
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Sends a process a signal, by the shell's own `kill`: a small Debian has no program of that name.
pub fn signal(pid: u32, name: &str) {
    let kill = format!("kill -{name} {pid}");
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

/// The usual port for incoming calls is one for all tests.
fn write(file: &Path, conf: &str) {
    let off = match conf.contains("agi_server") {
        true => "",
        false => "\n[url]\nagi_server=off\n",
    };
    fs::write(file, format!("{conf}{off}")).unwrap();
}

/// The salara.conf of a salara beside an Asterisk.
pub fn conf_beside(asterisk: &Asterisk) -> String {
    let manager_conf = asterisk.etc().join("manager.conf");
    format!(
        "[general]\ndefault=710\ndefault_context=alnik\n[event]\nverbose=1\ntimeout_makecall=20\n\
         [url]\nrest_server=127.0.0.1:0\ngood_status=0,4\n[ami]\nmanager_conf={}\n",
        manager_conf.display()
    )
}

/// Runs it to its end and tells how that was: exit code, stdout and stderr.
pub fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A new directory for one test.
pub fn scratch_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let base = option_env!("CARGO_TARGET_TMPDIR").map_or_else(env::temp_dir, PathBuf::from);
    let dir = base.join(format!("salara-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Whether the binary runs on an emulated processor, which is ten times as slow.
pub fn is_emulated() -> bool {
    env::var_os("SALARA_EMULATED").is_some()
}

/// The binary under test: cargo's, or the one `SALARA` names (the demo and the cross builds).
pub fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_salara").map(Into::into);
    env::var_os("SALARA")
        .or(built)
        .expect("SALARA is not set")
        .into()
}
