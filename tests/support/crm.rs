//! A CRM for tests: an HTTP server that writes down what it is sent and answers as it is told.
//!
//! One thread accepts, one more per connection. The last byte of each request stays in the
//! kernel until the answer is decided: closing a socket with unread bytes is how a reset is made.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ports::Ports;

/// A CRM that runs until it is dropped.
#[derive(Debug)]
pub struct Crm {
    desk: Arc<Desk>,
    addr: SocketAddr,
    accepting: Option<JoinHandle<()>>,
    _ports: Ports,
}

impl Crm {
    /// Starts one that answers each request with what `answer` makes of it.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let desk = Arc::new(Desk {
            answer: Mutex::new(Arc::new(answer)),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        // Not an ephemeral port: while the CRM is down, somebody else might get it.
        let ports = Ports::take();
        let mut crm = Self {
            desk,
            addr: (Ipv4Addr::LOCALHOST, ports.port(1)).into(),
            accepting: None,
            _ports: ports,
        };
        crm.come_up();
        crm
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Answers otherwise from the next request on.
    pub fn answer_with(&self, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.desk.answer.lock().unwrap() = Arc::new(answer);
    }

    /// What it was sent so far, in the order in which the requests were complete.
    pub fn requests(&self) -> Vec<Request> {
        self.desk.state().requests.clone()
    }

    /// Waits until so many requests have come and returns all; fewer when the time is over.
    pub fn wait_for(&self, count: usize, within: Duration) -> Vec<Request> {
        self.wait_until(within, |requests| requests.len() >= count)
    }

    /// Waits until the requests satisfy `done` and returns all; also when the time is over.
    pub fn wait_until(&self, within: Duration, done: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let state = self.desk.state();
        let waiting = |state: &mut State| !done(&state.requests);
        let (state, _) = self
            .desk
            .changed
            .wait_timeout_while(state, within, waiting)
            .unwrap();
        state.requests.clone()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.desk.state().accepted
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.desk.state().requests.clear();
    }

    /// Goes down: from now on connections are refused, and those there are end.
    pub fn go_down(&mut self) {
        let Some(accepting) = self.accepting.take() else {
            return;
        };
        self.desk.state().down = true;
        self.desk.changed.notify_all();
        // Wakes the thread that accepts; it closes the listener and sees to the connections.
        let _ = TcpStream::connect(self.addr);
        let _ = accepting.join();
    }

    /// Comes up again on the same port.
    pub fn come_up(&mut self) {
        assert!(self.accepting.is_none(), "it is up");
        let listener = self.listen();
        self.desk.state().down = false;
        let desk = Arc::clone(&self.desk);
        self.accepting = Some(thread::spawn(move || desk.accept(listener)));
    }

    /// Takes its port while it is down. A process that another test has just begun to start holds a
    /// copy of the last listener until it is the program it shall be.
    pub fn listen(&self) -> TcpListener {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpListener::bind(self.addr) {
                Ok(listener) => return listener,
                Err(why) => assert!(Instant::now() < deadline, "its port is ours: {why}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        self.go_down();
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values in order, as they were spelled.
    pub headers: Vec<(String, String)>,
    /// The body, out of its chunks if it came in chunks.
    pub body: String,
    /// When it was complete.
    pub at: Instant,
    /// The number of the connection, from 1: equal numbers mean keep-alive.
    pub connection: usize,
}

impl Request {
    /// The value of the first header of that name, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(same)
            .map_or("", |(_, value)| value)
    }
}

/// What the CRM does about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    after: Duration,
    kind: Kind,
    close_after: Option<Duration>,
}

impl Answer {
    /// 200 with a JSON body.
    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200, body).header("Content-Type", "application/json")
    }

    /// Any status, with a body.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::of(Kind::Http {
            status,
            headers: Vec::new(),
            body: body.into(),
            chunked: false,
        })
    }

    /// These bytes instead of HTTP, then the end of the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Raw(bytes.into()))
    }

    /// The end of the connection, without a word.
    pub fn close() -> Self {
        Self::of(Kind::Raw(Vec::new()))
    }

    /// A reset of the connection.
    pub fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    /// Nothing, as long as the client has patience.
    pub fn never() -> Self {
        Self::of(Kind::Never)
    }

    /// The same after a while.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// The same with one more header; only for an answer in HTTP.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Http { headers, .. } = &mut self.kind {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same with the body in chunks; only for an answer in HTTP.
    pub fn in_chunks(mut self) -> Self {
        if let Kind::Http { chunked, .. } = &mut self.kind {
            *chunked = true;
        }
        self
    }

    /// The same, and a while later the end of the connection, which was not announced.
    pub fn then_close_after(mut self, delay: Duration) -> Self {
        self.close_after = Some(delay);
        self
    }

    fn of(kind: Kind) -> Self {
        Self {
            after: Duration::ZERO,
            kind,
            close_after: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
        chunked: bool,
    },
    Raw(Vec<u8>),
    Reset,
    Never,
}

impl Kind {
    fn encode(&self) -> Vec<u8> {
        let (status, headers, body, chunked) = match self {
            Self::Http {
                status,
                headers,
                body,
                chunked,
            } => (status, headers, body, *chunked),
            Self::Raw(bytes) => return bytes.clone(),
            Self::Reset | Self::Never => return Vec::new(),
        };
        let mut text = format!("HTTP/1.1 {status} Status\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !chunked {
            return (text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())).into_bytes();
        }
        let mut bytes = (text + "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.as_bytes().chunks(5) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

type Decide = dyn Fn(&Request) -> Answer + Send + Sync;

struct Desk {
    answer: Mutex<Arc<Decide>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    accepted: usize,
    /// A second handle of each connection, by its number: what ends a read that waits.
    open: Vec<(usize, TcpStream)>,
    down: bool,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl Desk {
    fn accept(self: &Arc<Self>, listener: TcpListener) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for stream in listener.incoming() {
            let mut state = self.state();
            if state.down {
                break;
            }
            let Ok((stream, copy)) = stream.and_then(|s| s.try_clone().map(|copy| (s, copy)))
            else {
                continue;
            };
            state.accepted += 1;
            let number = state.accepted;
            state.open.push((number, copy));
            drop(state);
            threads.retain(|thread| !thread.is_finished());
            let desk = Arc::clone(self);
            threads.push(thread::spawn(move || {
                // However it ends, the client sees it and the test asks the client.
                let _ = desk.serve(&stream, number);
                // The copy first: the connection is closed, or reset, with its last owner.
                desk.state().open.retain(|(n, _)| *n != number);
                drop(stream);
            }));
        }
        drop(listener);
        for (_, stream) in &self.state().open {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn serve(&self, stream: &TcpStream, connection: usize) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut wire = Wire {
            stream,
            bytes: Vec::new(),
        };
        while let Some(request) = wire.request(connection)? {
            let decide = Arc::clone(&self.answer.lock().unwrap());
            let keep_alive = !request.header("Connection").eq_ignore_ascii_case("close");
            let answer = decide(&request);
            self.state().requests.push(request);
            self.changed.notify_all();
            if self.down_within(answer.after) || answer.kind == Kind::Reset {
                return Ok(());
            }
            wire.finish()?;
            match &answer.kind {
                Kind::Http { .. } => wire.stream.write_all(&answer.kind.encode())?,
                Kind::Raw(bytes) => return wire.stream.write_all(bytes),
                // Returns when the client or the CRM ends the connection.
                Kind::Never => return wire.stream.read(&mut [0]).map(|_| ()),
                Kind::Reset => return Ok(()),
            }
            if let Some(delay) = answer.close_after {
                self.down_within(delay);
                return Ok(());
            }
            if !keep_alive {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits, but no longer than until the CRM goes down.
    fn down_within(&self, delay: Duration) -> bool {
        let up = |state: &mut State| !state.down;
        self.changed
            .wait_timeout_while(self.state(), delay, up)
            .unwrap()
            .0
            .down
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The receiving side of a connection.
struct Wire<'a> {
    stream: &'a TcpStream,
    /// What was taken from the kernel of the request that is coming.
    bytes: Vec<u8>,
}

impl Wire<'_> {
    /// The next request, all of it but its last byte taken from the kernel; `None` at the end.
    fn request(&mut self, connection: usize) -> io::Result<Option<Request>> {
        self.bytes.clear();
        let mut peeked = vec![0; 65_536];
        loop {
            let more = self.stream.peek(&mut peeked)?;
            if more == 0 {
                return Ok(None);
            }
            let taken = self.bytes.len();
            self.bytes.extend(&peeked[..more]);
            let Some((end, mut request)) = parse(&self.bytes) else {
                self.stream.read_exact(&mut peeked[..more])?;
                continue;
            };
            self.stream.read_exact(&mut peeked[..end - taken - 1])?;
            request.connection = connection;
            return Ok(Some(request));
        }
    }

    /// Takes the last byte.
    fn finish(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0])
    }
}

/// A request and where it ends, if it is complete.
fn parse(bytes: &[u8]) -> Option<(usize, Request)> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request = Request {
        method: first.next()?.to_owned(),
        path: first.next().unwrap_or_default().to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
        body: String::new(),
        at: Instant::now(),
        connection: 0,
    };
    let rest = &bytes[head_end..];
    let (length, body) = if request
        .header("Transfer-Encoding")
        .eq_ignore_ascii_case("chunked")
    {
        unchunk(rest)?
    } else {
        let length = request.header("Content-Length").parse().unwrap_or(0);
        (length, rest.get(..length)?.to_vec())
    };
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some((head_end + length, request))
}

/// How many bytes the chunks take, and what is in them.
fn unchunk(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut at = 0;
    let mut body = Vec::new();
    loop {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        body.extend(bytes.get(at..at + size)?);
        at += size + 2;
        if at > bytes.len() {
            return None;
        }
        if size == 0 {
            return Some((at, body));
        }
    }
}
