//! A CRM that takes every post at once: a blocking thread for each connection, which is the fewest
//! system calls a post can cost. It keeps each body with the time at which it was whole.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::rest::http;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 12\r\n\r\n{\"result\":0}";

/// A post.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// When its last byte was read.
    pub(crate) at: Instant,
    pub(crate) body: Vec<u8>,
}

/// Listens until it is dropped.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    connections: AtomicUsize,
    count: AtomicUsize,
    log: Mutex<Log>,
    reached: Condvar,
}

#[derive(Default)]
struct Log {
    arrivals: Vec<Arrival>,
    /// Nobody needs to be woken for less.
    wanted: usize,
}

impl Sink {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("crm".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.over.load(Ordering::Relaxed) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    // A connection that is not served shows as posts that do not come.
                    drop(thread::Builder::new().name("crm".into()).spawn(move || {
                        shared.connections.fetch_add(1, Ordering::Relaxed);
                        stream.and_then(|stream| shared.serve(stream))
                    }));
                }
            }
        })?;
        Ok(Self {
            addr,
            shared,
            thread: Some(thread),
        })
    }

    /// How many posts have come since they were taken out.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits for so many posts; gives the time of the last of them.
    pub(crate) fn wait(&self, count: usize) -> Result<Instant, String> {
        let mut log = self.shared.log();
        log.wanted = count;
        let waiting = |log: &mut Log| log.arrivals.len() < count;
        let waited = self
            .shared
            .reached
            .wait_timeout_while(log, PATIENCE, waiting);
        let (log, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let last = count.checked_sub(1).and_then(|at| log.arrivals.get(at));
        last.map(|last| last.at)
            .ok_or_else(|| format!("{} posts of {count} have come", log.arrivals.len()))
    }

    /// Takes out all that have come.
    pub(crate) fn take(&self) -> Vec<Arrival> {
        let mut log = self.shared.log();
        log.wanted = 0;
        self.shared.count.store(0, Ordering::Relaxed);
        std::mem::take(&mut log.arrivals)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Only a connection ends the wait for one.
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            while let Some(post) = http::whole(&bytes) {
                let at = Instant::now();
                let body = bytes.get(post.body..post.end).unwrap_or_default();
                self.keep(at, body.to_vec());
                bytes.drain(..post.end);
                // Only now: the next of the call may come as soon as this is answered.
                stream.write_all(ANSWER)?;
            }
        }
    }

    fn keep(&self, at: Instant, body: Vec<u8>) {
        let mut log = self.log();
        log.arrivals.push(Arrival { at, body });
        let count = log.arrivals.len();
        self.count.store(count, Ordering::Relaxed);
        if count == log.wanted {
            self.reached.notify_one();
        }
    }
}

/// How long a post may take.
const PATIENCE: Duration = Duration::from_secs(20);
