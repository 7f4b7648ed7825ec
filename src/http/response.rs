//! A reply as bytes.

/// What is to be answered, whatever it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// Further headers; values may hold anything, they are escaped on the way out.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the reply says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// HTTP/1.1 stays open without a word.
    Open,
    /// HTTP/1.0 stays open only if told so.
    OpenOld,
    /// This was the last reply.
    Close,
}

impl Response {
    /// Appends the reply; `head_only` leaves the body out but still tells its length.
    pub(super) fn encode(&self, persistence: Persistence, head_only: bool, out: &mut Vec<u8>) {
        let Self {
            status,
            content_type,
            headers,
            body,
        } = self;
        out.reserve(TYPICAL_HEAD.saturating_add(body.len()));
        for part in [
            status_line(*status),
            "Content-Type: ",
            content_type,
            "\r\nContent-Length: ",
            &body.len().to_string(),
            "\r\n",
            match persistence {
                Persistence::Open => "",
                Persistence::OpenOld => "Connection: keep-alive\r\n",
                Persistence::Close => "Connection: close\r\n",
            },
        ] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            push_printable(value, out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !head_only {
            out.extend_from_slice(body);
        }
    }
}

/// A head without further headers fits; more makes the buffer grow.
const TYPICAL_HEAD: usize = 128;

/// Clients differ in what they make of bytes beyond ASCII in a header, and a line break would begin
/// another header: both are written as Rust writes them in a string.
fn push_printable(value: &str, out: &mut Vec<u8>) {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return out.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        match c {
            ' '..='~' => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => out.extend_from_slice(c.escape_default().to_string().as_bytes()),
        }
    }
}

fn status_line(status: u16) -> &'static str {
    match status {
        200 => "HTTP/1.1 200 OK\r\n",
        400 => "HTTP/1.1 400 Bad Request\r\n",
        401 => "HTTP/1.1 401 Unauthorized\r\n",
        403 => "HTTP/1.1 403 Forbidden\r\n",
        408 => "HTTP/1.1 408 Request Timeout\r\n",
        413 => "HTTP/1.1 413 Content Too Large\r\n",
        429 => "HTTP/1.1 429 Too Many Requests\r\n",
        431 => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        503 => "HTTP/1.1 503 Service Unavailable\r\n",
        _ => "HTTP/1.1 500 Internal Server Error\r\n",
    }
}
