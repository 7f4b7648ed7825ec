//! A small HTTP client that sees bytes: what it sends is what the test says, and nothing is hidden
//! of what comes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A reply takes this long at most; salara itself answers 503 after three seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reply, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The head's lines behind the first.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The value of a header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// A connection that stays open.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Posts a JSON text.
    pub fn post(&mut self, json: &str) -> Reply {
        let length = json.len();
        let head = format!("POST / HTTP/1.1\r\nHost: salara\r\nContent-Length: {length}\r\n\r\n");
        self.send(format!("{head}{json}").as_bytes());
        self.reply()
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Reply {
        let end = self.read_until(|bytes| {
            bytes
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .map(|at| at + 4)
        });
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut reply = Reply {
            status,
            headers,
            body: String::new(),
        };
        let length: usize = reply.header("Content-Length").parse().unwrap();
        self.read_until(|bytes| (bytes.len() >= length).then_some(length));
        reply.body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        reply
    }

    /// Reads to the end of the stream.
    pub fn rest(mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.buffer).unwrap();
        self.buffer
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn read_until(&mut self, done: impl Fn(&[u8]) -> Option<usize>) -> usize {
        loop {
            if let Some(end) = done(&self.buffer) {
                return end;
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Posts a JSON text over a connection of its own.
pub fn post(addr: SocketAddr, json: &str) -> Reply {
    Client::connect(addr).post(json)
}

/// Sends bytes over a connection of its own, and reads one reply.
pub fn exchange(addr: SocketAddr, bytes: &[u8]) -> Reply {
    let mut client = Client::connect(addr);
    client.send(bytes);
    client.reply()
}

/// Posts again and again until the body is `wanted`: a state may take a moment to get about.
pub fn wait_body(addr: SocketAddr, json: &str, wanted: &str) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = post(addr, json);
        if reply.body == wanted {
            return reply;
        }
        assert!(
            Instant::now() < deadline,
            "{json}: {} is not {wanted}",
            reply.body
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
