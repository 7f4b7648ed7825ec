#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails, as it should"
)]

use super::*;

const ERROR: &str = r#"{"result":-2,"text":"Error"}"#;

const OPTIONS: Options = Options {
    bare_reply: false,
    error_body: ERROR,
};

const BARE: Options = Options {
    bare_reply: true,
    ..OPTIONS
};

#[expect(clippy::disallowed_methods, reason = "every test begins somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn ok(body: &str) -> Response {
    Response {
        status: 200,
        content_type: "application/json",
        headers: Vec::new(),
        body: body.into(),
    }
}

/// What a client and the rest of salara see of a connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: Vec<HttpRequest>,
    output: String,
    is_over: bool,
}

impl Seen {
    /// Answers every request with its own target, and reads every reply.
    fn settle(&mut self, connection: &mut Connection, now: Instant) {
        loop {
            let request = connection.poll_request();
            let written = connection.outgoing().len();
            self.output += std::str::from_utf8(connection.outgoing()).unwrap();
            connection.sent(written, now);
            match request {
                Some(request) => {
                    connection.reply(&ok(&request.target), now);
                    self.requests.push(request);
                }
                None if written == 0 => break,
                None => {}
            }
        }
        self.is_over = connection.is_lingering() || connection.is_finished();
    }
}

fn play<'a>(segments: impl Iterator<Item = &'a [u8]>, eof: bool, options: Options) -> Seen {
    let t0 = start();
    let mut connection = Connection::new(options, t0);
    let mut seen = Seen::default();
    for segment in segments {
        connection.handle_bytes(segment, t0);
        seen.settle(&mut connection, t0);
    }
    if eof {
        connection.handle_eof(t0);
        seen.settle(&mut connection, t0);
        assert!(connection.is_finished());
    }
    // Whether leave to send a body is asked for depends on when the body comes.
    seen.output = seen.output.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    seen
}

/// Plays the bytes whole, cut at every offset, byte by byte and cut at random; all must look alike.
fn see(bytes: &[u8], eof: bool) -> Seen {
    let whole = play([bytes].into_iter(), eof, OPTIONS);
    for at in 1..bytes.len() {
        let cut = play(<[_; 2]>::from(bytes.split_at(at)).into_iter(), eof, OPTIONS);
        assert_eq!(
            cut,
            whole,
            "cut at {at}: {:?}",
            bytes.escape_ascii().to_string()
        );
    }
    assert_eq!(play(bytes.chunks(1), eof, OPTIONS), whole, "byte by byte");
    let mut random = Random(bytes.len() as u64);
    for _ in 0..20 {
        let mut rest = bytes;
        let segments = std::iter::from_fn(|| {
            let (segment, later) = rest.split_at(rest.len().min(1 + random.below(40)));
            rest = later;
            (!segment.is_empty()).then_some(segment)
        });
        assert_eq!(play(segments, eof, OPTIONS), whole, "cut at random");
    }
    whole
}

/// A linear congruential generator (Knuth's constants): the same cuts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn request(method: &str, target: &str, body: &str) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        target: target.into(),
        body: body.into(),
        authorization: None,
    }
}

fn refusal(status: &str, reason: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\
         Connection: close\r\nSalara-Error: {reason}\r\n\r\n{ERROR}"
    )
}

#[test]
fn requests_are_found_however_they_are_framed() {
    let chunked = "POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for (bytes, expected) in [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            request("GET", "/a?b=c", ""),
        ),
        (
            "GET /lf HTTP/1.1\nHost: x\n\n".into(),
            request("GET", "/lf", ""),
        ),
        (
            "\r\n\n\r\nGET / HTTP/1.1\r\n\r\n".into(),
            request("GET", "/", ""),
        ),
        (
            "BREW /caf\u{e9} HTTP/1.1\r\n\r\n".into(),
            request("BREW", "/caf\u{e9}", ""),
        ),
        (
            "P / HTTP/1.1\r\nContent-Length:2\r\n\r\nhi".into(),
            request("P", "/", "hi"),
        ),
        (
            "P / HTTP/1.1\r\nCONTENT-LENGTH: \t 002 \r\n\r\nhi".into(),
            request("P", "/", "hi"),
        ),
        (
            "P / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\nhi".into(),
            request("P", "/", "hi"),
        ),
        (
            "P / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi".into(),
            request("P", "/", "hi"),
        ),
        (format!("{chunked}0\r\n\r\n"), request("POST", "/c", "")),
        (
            format!("{chunked}2\r\nhi\r\n3\r\n\r\n!\r\n0\r\n\r\n"),
            request("POST", "/c", "hi\r\n!"),
        ),
        (
            format!("{chunked}00A ;x=\"y\";z\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"),
            request("POST", "/c", "0123456789"),
        ),
    ] {
        let seen = see(bytes.as_bytes(), false);
        assert_eq!(seen.requests, [expected], "{bytes:?}");
        let target = &seen.requests[0].target;
        let length = target.len();
        assert_eq!(
            seen.output,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{target}"
            )
        );
        assert!(!seen.is_over, "{bytes:?}");
        assert!(see(bytes.as_bytes(), true).is_over);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_until_one_is_the_last() {
    let seen = see(
        b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /\r\n\
          GET /3 HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n\
          HEAD /4 HTTP/1.1\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\n\r\n",
        false,
    );
    assert_eq!(
        seen.requests,
        [
            request("GET", "/1", ""),
            request("POST", "/2", "GET /"),
            request("GET", "/3", ""),
            request("HEAD", "/4", ""),
        ]
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    assert_eq!(
        seen.output,
        format!(
            "{head}\r\n/1{head}\r\n/2{head}Connection: keep-alive\r\n\r\n/3\
             {head}Connection: close\r\n\r\n"
        )
    );
    assert!(seen.is_over);
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let seen = see(b"GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n", false);
    assert_eq!(seen.requests, [request("GET", "/1", "")]);
    assert!(seen.output.contains("\r\nConnection: close\r\n"));
    assert!(seen.is_over);
}

#[test]
fn a_body_may_fill_its_limit() {
    let body = "x".repeat(MAX_BODY);
    let long = format!("P / HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n{body}");
    let half = &body[..MAX_BODY / 2];
    let chunk = format!("{:x}\r\n{half}\r\n", half.len());
    let chunked =
        format!("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    for bytes in [long, chunked] {
        let seen = play(bytes.as_bytes().chunks(999), false, OPTIONS);
        assert_eq!(seen.requests, [request("P", "/", &body)]);
    }
}

#[test]
fn a_client_that_stops_sending_is_answered_if_it_had_begun() {
    let incomplete = refusal("400 Bad Request", "the request ends in the middle");
    assert_eq!(see(b"", true).output, "");
    for begun in [
        "\r\n",
        "\r",
        "GET",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    ] {
        assert_eq!(see(begun.as_bytes(), true).output, incomplete, "{begun:?}");
    }
    let then_blank = see(b"GET / HTTP/1.1\r\n\r\n\r\n", true);
    assert!(then_blank.output.ends_with("\r\n\r\n/"));
}

#[test]
fn a_reply_reaches_a_client_that_has_stopped_sending() {
    let t0 = start();
    let mut connection = Connection::new(OPTIONS, t0);
    connection.handle_bytes(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", t0);
    connection.handle_eof(t0);
    assert!(!connection.wants_read());
    assert_eq!(connection.poll_request().unwrap().target, "/1");
    assert_eq!(connection.poll_request(), None);
    connection.reply(&ok("one"), t0);
    assert_eq!(connection.poll_request().unwrap().target, "/2");
    connection.reply(&ok("two"), t0);
    let output = String::from_utf8(connection.outgoing().to_vec()).unwrap();
    assert!(output.contains("\r\n\r\none"));
    assert!(output.ends_with("Connection: close\r\n\r\ntwo"));
    connection.sent(output.len() - 1, t0);
    assert!(!connection.is_finished());
    connection.sent(1, t0);
    assert!(connection.is_finished());
}

#[test]
fn leave_to_send_a_body_is_given_only_while_it_is_awaited() {
    let expecting = "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let leave = |bytes: &str, options| {
        let t0 = start();
        let mut connection = Connection::new(options, t0);
        connection.handle_bytes(bytes.as_bytes(), t0);
        String::from_utf8(connection.outgoing().to_vec()).unwrap()
    };
    assert_eq!(leave(expecting, OPTIONS), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(leave(&format!("{expecting}h"), OPTIONS), "");
    assert_eq!(leave(&expecting.replace("1.1", "1.0"), OPTIONS), "");
    assert_eq!(leave(&expecting.replace(": 2", ": 0"), OPTIONS), "");
    assert_eq!(leave(expecting, BARE), "");
    let too_long = leave(&expecting.replace(": 2", ": 9999"), OPTIONS);
    assert!(too_long.starts_with("HTTP/1.1 413 "));
}

#[test]
fn a_bare_reply_is_the_body_and_the_end() {
    let request = "HEAD /bare HTTP/1.1\r\n\r\n".repeat(2);
    let seen = play([request.as_bytes()].into_iter(), false, BARE);
    assert_eq!((seen.output.as_str(), seen.is_over), ("/bare", true));
    let seen = play([b"hello\r\n\r\n".as_slice()].into_iter(), false, BARE);
    assert_eq!((seen.output.as_str(), seen.is_over), (ERROR, true));
}

#[test]
fn a_token_is_read_and_never_shown() {
    let token = |header: &str| {
        let head = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
        let seen = see(head.as_bytes(), false);
        assert!(!format!("{seen:?}").contains("s3cret"));
        seen.requests[0]
            .authorization
            .as_ref()
            .map(|token| token.as_str().to_owned())
    };
    assert_eq!(
        token("authorization: bearer  s3cret ").as_deref(),
        Some("s3cret")
    );
    assert_eq!(token("Authorization: Basic s3cret"), None);
    assert_eq!(token("Authorization: Bearer"), None);
    assert_eq!(token("Host: x"), None);
}

#[test]
fn a_reply_says_what_it_is() {
    let response = Response {
        status: 503,
        content_type: "text/plain",
        headers: vec![("Salara-Channel", "a\r\nb: \u{436} \"c\" \\".to_owned())],
        body: b"hi".to_vec(),
    };
    let mut out = Vec::new();
    response.encode(Persistence::OpenOld, true, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
         Connection: keep-alive\r\nSalara-Channel: a\\r\\nb: \\u{436} \"c\" \\\r\n\r\n"
    );
}

mod refusals;
mod time;
