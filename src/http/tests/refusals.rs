//! What is not a request, and the whole text it is refused with.

use super::*;

#[test]
fn what_is_not_a_request_is_refused_with_a_reason() {
    let post = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n\r\nhi").into_bytes();
    let chunks = |body: &str| {
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
    };
    for (bytes, status, reason) in [
        (
            b"\x16\x03\x01\x02\0\x01".to_vec(),
            400,
            "this port speaks plain HTTP, not TLS",
        ),
        (
            b"{}".to_vec(),
            400,
            "not HTTP: no method where a request begins",
        ),
        (
            b"\r{".to_vec(),
            400,
            "not HTTP: no method where a request begins",
        ),
        (
            b"\n\n\n\n\nGET".to_vec(),
            400,
            "not HTTP: no method where a request begins",
        ),
        (b"hello\r\n\r\n".to_vec(), 400, "not HTTP: invalid token"),
        (b"GET /\r\n\r\n".to_vec(), 400, "not HTTP: invalid token"),
        (
            b"GET /\xff HTTP/1.1\r\n\r\n".to_vec(),
            400,
            "not HTTP: invalid token",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\n".to_vec(),
            400,
            "not HTTP: invalid HTTP version",
        ),
        (post("A b: c"), 400, "not HTTP: invalid header name"),
        (post("A: b\0c"), 400, "not HTTP: invalid header value"),
        (
            post("A: b\r\n folded"),
            400,
            "not HTTP: invalid header name",
        ),
        (
            post("Content-Length : 2"),
            400,
            "not HTTP: invalid header name",
        ),
        (
            post("Content-Length: abc"),
            400,
            "Content-Length: \"abc\" is not a number",
        ),
        (
            post("Content-Length: -2"),
            400,
            "Content-Length: \"-2\" is not a number",
        ),
        (
            post("Content-Length: +2"),
            400,
            "Content-Length: \"+2\" is not a number",
        ),
        (
            post("Content-Length: 0x2"),
            400,
            "Content-Length: \"0x2\" is not a number",
        ),
        (
            post("Content-Length:"),
            400,
            "Content-Length: \"\" is not a number",
        ),
        (
            post("Content-Length: 2,"),
            400,
            "Content-Length: \"\" is not a number",
        ),
        (
            post("Content-Length: \u{436}"),
            400,
            "Content-Length: \"\\u{436}\" is not a number",
        ),
        (
            post("Content-Length: 2\r\ncontent-length: 3"),
            400,
            "Content-Length is given twice, with different values",
        ),
        (
            post("Content-Length: 8193"),
            413,
            "the body is longer than 8192 bytes",
        ),
        (
            post("Content-Length: 99999999999999999999999"),
            413,
            "the body is longer than 8192 bytes",
        ),
        (
            post("Content-Length: 2\r\nTransfer-Encoding: chunked"),
            400,
            "both Content-Length and Transfer-Encoding are given",
        ),
        (
            post("Transfer-Encoding: gzip, chunked"),
            400,
            "Transfer-Encoding: \"gzip, chunked\" is not chunked",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            400,
            "Transfer-Encoding is given more than once",
        ),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            400,
            "Transfer-Encoding is not part of HTTP/1.0",
        ),
        (
            post("Authorization: Bearer a\r\nAuthorization: Bearer b"),
            400,
            "Authorization is given more than once",
        ),
        (
            chunks("x\r\n"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("\r\n"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("+1\r\nx"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("1\nx"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("1;a\nx"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("1\r\nxy"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("1\r\nx\ry"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("0\r\nA: b\n\r\n"),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks(&format!("1;{}", "x".repeat(254))),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks(&format!("0\r\n{}", "A: b\r\n".repeat(257))),
            400,
            "the chunks of the body are not well formed",
        ),
        (
            chunks("2001\r\nx"),
            413,
            "the body is longer than 8192 bytes",
        ),
        (
            chunks("10000000000000000\r\n"),
            413,
            "the body is longer than 8192 bytes",
        ),
        (
            chunks("1\r\nx\r\n2000\r\n"),
            413,
            "the body is longer than 8192 bytes",
        ),
    ] {
        let phrase = match status {
            400 => "400 Bad Request",
            _ => "413 Content Too Large",
        };
        let seen = see(&bytes, false);
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(seen.output, refusal(phrase, reason), "{shown}");
        assert_eq!(seen.requests, [], "{shown}");
        assert!(seen.is_over, "{shown}");
    }
}

#[test]
fn a_head_may_fill_its_limit_and_no_more() {
    let head = |length: usize| {
        let head = "GET / HTTP/1.1\r\nA: \r\n\r\n";
        head.replace("A: ", &format!("A: {}", "x".repeat(length - head.len())))
    };
    let play = |bytes: &str| play(bytes.as_bytes().chunks(100), false, OPTIONS);
    assert_eq!(play(&head(MAX_HEAD)).requests.len(), 1);
    let too_long = refusal(
        "431 Request Header Fields Too Large",
        "the head is longer than 8192 bytes",
    );
    assert_eq!(play(&head(MAX_HEAD + 1)).output, too_long);
    assert_eq!(play(&"A".repeat(MAX_HEAD)).output, too_long);
    assert_eq!(play(&"A".repeat(MAX_HEAD - 1)).output, "");

    let headers = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(play(&headers(MAX_HEADERS)).requests.len(), 1);
    let too_many = refusal(
        "431 Request Header Fields Too Large",
        "the head has more than 64 headers",
    );
    assert_eq!(play(&headers(MAX_HEADERS + 1)).output, too_many);
}
