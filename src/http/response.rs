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
        let length = body.len();
        let mut head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n",
            reason_phrase(*status),
        );
        head.push_str(match persistence {
            Persistence::Open => "",
            Persistence::OpenOld => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        });
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            push_printable(value, &mut head);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if !head_only {
            out.extend_from_slice(body);
        }
    }
}

/// Clients differ in what they make of bytes beyond ASCII in a header, and a line break would begin
/// another header: both are written as Rust writes them in a string.
fn push_printable(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_default()),
        }
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
