//! What any client pays that posts one event after the other: blocking, over one connection that is
//! kept, each post in one write.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::rest::http;

pub(crate) struct Plain {
    stream: TcpStream,
    head: String,
}

impl Plain {
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        // The headers that salara sends.
        let head = format!(
            "POST /event HTTP/1.1\r\naccept: */*\r\nuser-agent: salara-bench\r\nhost: {to}\r\n\
             Content-Type: application/json\r\nwebhook-id: salara-1795376528-4711-1\r\n\
             webhook-timestamp: 1795376528\r\nContent-Length: "
        );
        Ok(Self { stream, head })
    }

    /// Posts and reads the answer.
    pub(crate) fn post(&mut self, body: &str) -> io::Result<()> {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while http::whole(&answer).is_none() {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        if answer.starts_with(b"HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(io::Error::other("the CRM did not answer 200"))
        }
    }
}

/// The processor time of the thread that asks.
pub(crate) fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = text.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(time.unwrap_or_default())
}
