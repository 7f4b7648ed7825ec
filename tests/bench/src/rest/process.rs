//! The two servers under load, each a process of its own that ends with its handle.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::do_nothing::Replies;

/// A server that listens.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    child: Child,
    /// Ends the child should we end without a word.
    watcher: Option<Child>,
    /// What it has said after it began to listen.
    lines: Receiver<String>,
    /// Removed with the server.
    folder: Option<PathBuf>,
}

impl Server {
    /// This very program as the server that does nothing.
    pub(crate) fn do_nothing(replies: &Replies) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .arg("do-nothing")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("do-nothing: {error}"))?;
        let said = child.stdout.take();
        let mut server = Self::new(child, None);
        // Its standard input stays open: its end ends the server.
        let stdin = server
            .child
            .stdin
            .as_mut()
            .ok_or("do-nothing has no standard input")?;
        replies
            .write(stdin)
            .map_err(|error| format!("do-nothing: {error}"))?;
        server.wait(said, &[])?;
        Ok(server)
    }

    /// The salara of that binary, connected to that Asterisk; `settings` are more lines of its file,
    /// sections with their names.
    pub(crate) fn salara(
        binary: &Path,
        ami: SocketAddr,
        secret: &str,
        settings: &str,
    ) -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("salara-bench-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let config = folder.join("salara.conf");
        // verbose=1: it tells on stderr that it listens and is connected, and nothing per request.
        let text = format!(
            "[event]\nverbose=1\n[url]\nrest_server=127.0.0.1:0\nagi_server=off\n\
             [ami]\nhost={}\nport={}\nuser=salara\nsecret={secret}\n\
             {settings}",
            ami.ip(),
            ami.port(),
        );
        let started = fs::write(&config, text).and_then(|()| {
            let mut command = Command::new(binary);
            command
                .arg("-c")
                .arg(&config)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        });
        let mut child = started.map_err(|error| {
            drop(fs::remove_dir_all(&folder));
            format!("{}: {error}", binary.display())
        })?;
        let said = child.stderr.take();
        let mut server = Self::new(child, Some(folder));
        server.watcher = watch(server.child.id()).ok();
        server.wait(said, &["connected"])?;
        Ok(server)
    }

    fn new(child: Child, folder: Option<PathBuf>) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            addr,
            child,
            watcher: None,
            lines: mpsc::channel().1,
            folder,
        }
    }

    /// Reads what the server says until it has named its port and said each of `words`.
    fn wait(
        &mut self,
        said: Option<impl Read + Send + 'static>,
        words: &[&str],
    ) -> Result<(), String> {
        let said = BufReader::new(said.ok_or("the server's output is not ours")?);
        let (line, lines) = mpsc::channel();
        // Goes on for as long as the server does: a full pipe would stop it.
        let read = move || {
            said.lines()
                .map_while(Result::ok)
                .for_each(|text| drop(line.send(text)))
        };
        let named = thread::Builder::new().name("reader".into()).spawn(read);
        named.map_err(|error| error.to_string())?;
        self.lines = lines;

        let deadline = Instant::now() + PATIENCE;
        let mut words = words.to_vec();
        let mut heard = Vec::new();
        while self.addr.port() == 0 || !words.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(text) = self.lines.recv_timeout(left) else {
                return Err(format!("the server is not ready; it said {heard:#?}"));
            };
            words.retain(|word| !text.contains(word));
            if let Some(addr) = listening(&text) {
                self.addr = addr;
            }
            heard.push(text);
        }
        Ok(())
    }

    /// What it has said since it was ready, or since the last call.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// The processor time it has had.
    pub(crate) fn processor_time(&self) -> Duration {
        // Of each thread, in ns; `stat` would count in ticks of 10 ms.
        let tasks = format!("/proc/{}/task", self.child.id());
        let times = fs::read_dir(tasks)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|task| {
                let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split(' ').next()?.parse::<u64>().ok()
            });
        Duration::from_nanos(times.sum())
    }

    /// The memory it holds and the most it has held, in KiB.
    pub(crate) fn memory(&self) -> Option<(u32, u32)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let value = |key| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some((value("VmRSS:")?, value("VmHWM:")?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // First the watcher: once the child is waited for, its number may be another's.
        for process in self.watcher.iter_mut().chain([&mut self.child]) {
            drop(process.kill());
            drop(process.wait());
        }
        if let Some(folder) = &self.folder {
            drop(fs::remove_dir_all(folder));
        }
    }
}

/// Sees the end of its input when we end, however that comes, and ends that process.
fn watch(process: u32) -> io::Result<Child> {
    Command::new("sh")
        .args([
            "-c",
            "read -r _; kill -9 \"$1\"",
            "watcher",
            &process.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// The address in a line that says `listening on ADDRESS`.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, behind) = line.split_once("listening on ")?;
    behind
        .split_whitespace()
        .next()?
        .trim_end_matches([',', ';', ':'])
        .parse()
        .ok()
}

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(15);
