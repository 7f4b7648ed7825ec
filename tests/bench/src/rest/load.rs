//! The load: clients that ask, wait for the whole answer, and ask again.
//!
//! Each of a few threads, as many as there are cores, holds its share of the clients in one mio
//! loop. A single one would be slower than the servers under test, for to the kernel opening a
//! connection is more work than accepting it, and a server twice as slow would then look as fast.
//! A client with a connection per request asks for `Connection: close` and reads to the end of the
//! stream; its time runs from before `connect` to that end.
//!
//! Ports: a closed connection would be remembered for a minute by whichever side closed first, and
//! some ten thousand a second would use up the port numbers of loopback in seconds. So clients
//! close with SO_LINGER 0 once they have read the end: a reset, which both sides forget at once.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::SockRef;

use super::http;

/// Whether a connection serves one request or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    New,
    Keep,
}

/// What is asked, and what must come back.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) body: String,
    pub(crate) answer: &'static str,
}

/// What a round came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) taken: Duration,
    /// The time of each answered request in ns; sorted when the round is over.
    pub(crate) times: Vec<u32>,
    pub(crate) errors: u32,
    /// The first of the errors.
    pub(crate) error: Option<String>,
    /// The last reply, whole.
    pub(crate) reply: Vec<u8>,
}

/// Asks for so long, with so many clients at once.
pub(crate) fn run(
    server: SocketAddr,
    mode: Mode,
    clients: usize,
    question: &Question,
    length: Duration,
) -> io::Result<Round> {
    let request = question.request(mode);
    let shared = Shared {
        server,
        mode,
        request: &request,
        answer: question.answer,
        length,
    };
    let shared = &shared;
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(clients);
    let rounds = thread::scope(|scope| {
        let begun: Vec<_> = (0..threads)
            .map(|n| (clients + n) / threads)
            .map(|share| scope.spawn(move || share_of(share, shared)))
            .collect();
        let ended = begun.into_iter().map(|thread| thread.join());
        ended
            .map(|end| end.unwrap_or_else(|_| Err(io::Error::other("a thread of the load died"))))
            .collect::<io::Result<Vec<Round>>>()
    })?;
    let mut all = Round::default();
    for round in rounds {
        all.add(round);
    }
    all.times.sort_unstable();
    Ok(all)
}

/// The part of one thread.
fn share_of(clients: usize, shared: &Shared<'_>) -> io::Result<Round> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let started = Instant::now();
    let ends = started + shared.length;
    let mut round = Round::default();
    let mut all: Vec<Client> = Vec::new();
    for number in 0..clients {
        let mut client = Client::new(Token(number));
        client.begin(shared, poll.registry(), &mut round);
        all.push(client);
    }

    // A little longer, for the answer that was due: a client without one is an error, not a gap.
    let patience = ends + PATIENCE;
    let mut waiting = clients;
    while waiting > 0 {
        let now = Instant::now();
        if now >= patience || round.errors > MAX_ERRORS {
            break;
        }
        poll.poll(&mut events, Some(patience - now))?;
        for event in &events {
            let Some(client) = all.get_mut(event.token().0) else {
                continue;
            };
            if !client.advance(shared, poll.registry(), &mut round) {
                continue;
            }
            let now = Instant::now();
            round.times.push(nanoseconds(now - client.began));
            if now < ends {
                client.begin(shared, poll.registry(), &mut round);
            } else {
                client.stream = None;
                waiting -= 1;
            }
        }
    }
    round.taken = started.elapsed();
    for client in all.iter().filter(|client| client.stream.is_some()) {
        round.fail(format!("client {}: no answer", client.token.0));
    }
    Ok(round)
}

impl Question {
    fn request(&self, mode: Mode) -> Vec<u8> {
        let close = match mode {
            Mode::New => "Connection: close\r\n",
            Mode::Keep => "",
        };
        let length = self.body.len();
        format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\
             Content-Type: application/json\r\n{close}Content-Length: {length}\r\n\r\n{}",
            self.body
        )
        .into_bytes()
    }
}

impl Round {
    /// Answered requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.taken.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.taken = self.taken.max(other.taken);
        self.times.extend(other.times);
        self.errors += other.errors;
        self.error = self.error.take().or(other.error);
        self.reply = other.reply;
    }

    fn fail(&mut self, why: String) {
        self.errors += 1;
        self.error.get_or_insert(why);
    }
}

/// What all clients of a round have in common.
struct Shared<'a> {
    server: SocketAddr,
    mode: Mode,
    request: &'a [u8],
    answer: &'a str,
    length: Duration,
}

struct Client {
    token: Token,
    stream: Option<TcpStream>,
    began: Instant,
    /// How much of the request is written.
    sent: usize,
    reply: [u8; MAX_REPLY],
    /// How much of the reply is read.
    read: usize,
    /// The reply is whole and right; only the end of the stream is awaited.
    answered: bool,
}

impl Client {
    fn new(token: Token) -> Self {
        Self {
            token,
            stream: None,
            began: Instant::now(),
            sent: 0,
            reply: [0; MAX_REPLY],
            read: 0,
            answered: false,
        }
    }

    /// Sends the next request.
    fn begin(&mut self, shared: &Shared<'_>, registry: &Registry, round: &mut Round) {
        self.began = Instant::now();
        self.sent = 0;
        self.read = 0;
        self.answered = false;
        if let Err(error) = self.try_begin(shared, registry) {
            self.fail(error.to_string(), round);
        }
    }

    fn try_begin(&mut self, shared: &Shared<'_>, registry: &Registry) -> io::Result<()> {
        if shared.mode == Mode::Keep && self.stream.is_some() {
            return self.write(shared);
        }
        let stream = TcpStream::connect(shared.server)?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        self.stream = Some(stream);
        // On loopback the handshake is over when connect returns, unless the server's queue is full.
        self.write(shared)?;
        let interest = if self.sent < shared.request.len() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        match &mut self.stream {
            Some(stream) => registry.register(stream, self.token, interest),
            None => Ok(()),
        }
    }

    fn write(&mut self, shared: &Shared<'_>) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while let Some(rest) = shared
            .request
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match stream.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on where an event allows it; true when the exchange is over and was right.
    fn advance(&mut self, shared: &Shared<'_>, registry: &Registry, round: &mut Round) -> bool {
        match self.try_advance(shared, round) {
            Ok(over) => over,
            Err(why) => {
                self.fail(why, round);
                if round.errors <= MAX_ERRORS {
                    self.begin(shared, registry, round);
                }
                false
            }
        }
    }

    fn try_advance(&mut self, shared: &Shared<'_>, round: &mut Round) -> Result<bool, String> {
        if self.sent < shared.request.len() {
            self.write(shared).map_err(|error| error.to_string())?;
        }
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        loop {
            let space = self.reply.get_mut(self.read..).unwrap_or_default();
            if space.is_empty() {
                return Err(format!("a reply of {MAX_REPLY} bytes or more"));
            }
            let count = match stream.read(space) {
                Ok(0) if self.answered => return Ok(true),
                Ok(0) => return Err(format!("closed after {} bytes", self.read)),
                Ok(count) => count,
                Err(error) if not_yet(&error) => return Ok(false),
                Err(error) => return Err(error.to_string()),
            };
            self.read += count;
            let reply = self.reply.get(..self.read).unwrap_or_default();
            let Some(whole) = http::whole(reply) else {
                continue;
            };
            check(reply, whole, shared.answer)?;
            round.reply.clear();
            round.reply.extend_from_slice(reply);
            self.answered = true;
            // Nothing more comes on a connection that is kept; the next read is the next answer's.
            if shared.mode == Mode::Keep {
                return Ok(true);
            }
        }
    }

    fn fail(&mut self, why: String, round: &mut Round) {
        self.stream = None;
        round.fail(why);
    }
}

fn check(reply: &[u8], whole: http::Whole, answer: &str) -> Result<(), String> {
    let body = reply.get(whole.body..).unwrap_or_default();
    if reply.starts_with(b"HTTP/1.1 200 ") && body == answer.as_bytes() {
        return Ok(());
    }
    Err(format!(
        "unexpected reply {:?}",
        String::from_utf8_lossy(reply)
    ))
}

fn not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}

fn nanoseconds(time: Duration) -> u32 {
    // Four seconds and more are one value: no percentile of interest lies there.
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

const MAX_REPLY: usize = 2048;
/// How long after a round's end an answer may still come.
const PATIENCE: Duration = Duration::from_secs(2);
/// A round with more errors than this has nothing more to tell.
const MAX_ERRORS: u32 = 100;
