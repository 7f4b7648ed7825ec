//! An HTTP answer, read as it comes.
//!
//! It must not know connections: bytes go in, an [`Answer`] comes out. The surprising fact: how much
//! of the body is wanted and how much is read are two things. It is read to its end, wanted or not,
//! for only then can the connection be used again.

use crate::crm::client::{Answer, Failure};

/// A longer head is not an answer's.
const MAX_HEAD: usize = 10 * 1024;
const MAX_HEADERS: usize = 100;
/// A longer line before a chunk is no length.
const MAX_LINE: usize = 256;

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Reading {
    state: State,
    /// What has come and is no whole head or line yet.
    pending: Vec<u8>,
    answer: Answer,
    /// So much of the body is wanted, and so much has come.
    max: usize,
    total: usize,
    /// Whether the connection is of use afterwards.
    is_kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So much of the body is to come.
    Body(u64),
    /// Until the connection ends.
    BodyToEnd,
    /// The line that says how long the next chunk is.
    ChunkSize,
    Chunk(u64),
    /// The line end behind a chunk.
    AfterChunk,
    /// Lines to an empty one.
    Trailer,
    Over,
}

impl Reading {
    pub(super) fn new(max: usize) -> Self {
        Self {
            state: State::Head,
            pending: Vec::new(),
            answer: Answer::default(),
            max,
            total: 0,
            is_kept: false,
        }
    }

    /// Whether the answer is here and its connection can take another request.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_over() && self.is_kept && self.pending.is_empty()
    }

    /// Whether the answer is here, as a whole.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// How much of the body has come.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// The answer, if its head is here.
    pub(super) fn into_answer(self) -> Option<Answer> {
        (self.state != State::Head).then_some(self.answer)
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if self.state != State::BodyToEnd {
            return Err(Failure::Lost);
        }
        self.state = State::Over;
        self.is_kept = false;
        Ok(())
    }

    /// What has come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(bytes);
        let mut pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(count) = self.step(rest)? {
            rest = rest.get(count..).unwrap_or_default();
        }
        let used = pending.len() - rest.len();
        pending.drain(..used);
        self.pending = pending;
        Ok(())
    }

    /// Takes one thing from what is there: so many bytes, or none before more has come.
    fn step(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        match self.state {
            State::Head => self.head(bytes),
            State::Over => Ok(None),
            _ if bytes.is_empty() => Ok(None),
            State::BodyToEnd => Ok(Some(self.body(bytes, u64::MAX).0)),
            State::Body(left) => {
                let (count, left) = self.body(bytes, left);
                self.state = if left == 0 {
                    State::Over
                } else {
                    State::Body(left)
                };
                Ok(Some(count))
            }
            State::Chunk(left) => {
                let (count, left) = self.body(bytes, left);
                self.state = if left == 0 {
                    State::AfterChunk
                } else {
                    State::Chunk(left)
                };
                Ok(Some(count))
            }
            State::ChunkSize => match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((count, size))) => {
                    self.state = if size == 0 {
                        State::Trailer
                    } else {
                        State::Chunk(size)
                    };
                    Ok(Some(count))
                }
                Ok(httparse::Status::Partial) if bytes.len() <= MAX_LINE => Ok(None),
                _ => Err(Failure::NotHttp("the length of a chunk is none".to_owned())),
            },
            State::AfterChunk | State::Trailer => {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    return if bytes.len() > MAX_HEAD {
                        Err(Failure::NotHttp("a line without end".to_owned()))
                    } else {
                        Ok(None)
                    };
                };
                let is_empty = matches!(bytes.get(..end), Some(b"" | b"\r"));
                self.state = match (self.state, is_empty) {
                    (State::AfterChunk, true) => State::ChunkSize,
                    (State::AfterChunk, false) => {
                        return Err(Failure::NotHttp("a chunk without end".to_owned()));
                    }
                    (_, true) => State::Over,
                    (_, false) => State::Trailer,
                };
                Ok(Some(end + 1))
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let count = match head.parse(bytes) {
            Ok(httparse::Status::Complete(count)) => count,
            Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(Failure::NotHttp("its head has no end".to_owned()));
            }
            Err(error) => return Err(Failure::NotHttp(error.to_string())),
        };
        let status = head.code.unwrap_or_default();
        match status {
            0..100 => return Err(Failure::NotHttp(format!("{status} is no status"))),
            101 => {}
            100..200 => return Ok(Some(count)),
            _ => {}
        }
        let is_1_1 = head.version == Some(1);
        self.answer.status = status;
        self.is_kept = is_1_1 && status != 101;
        let (mut length, mut is_chunked) = (None, false);
        for header in head.headers.iter() {
            let Ok(value) = str::from_utf8(header.value) else {
                continue;
            };
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let has = |word: &str| {
                let mut words = value.split(',');
                words.any(|given| given.trim().eq_ignore_ascii_case(word))
            };
            if is("Content-Length") {
                for given in value.split(',').map(content_length) {
                    if given.is_none() || length.is_some_and(|length| Some(length) != given) {
                        let text = format!("Content-Length {value:?} is no length");
                        return Err(Failure::NotHttp(text));
                    }
                    length = given;
                }
            } else if is("Transfer-Encoding") {
                is_chunked |= is_1_1 && has("chunked");
            } else if is("Connection") {
                self.is_kept &= !has("close");
            } else if is("Retry-After") {
                self.answer.retry_after = Some(value.into());
            } else if is("Location") {
                self.answer.location = Some(value.into());
            }
        }
        self.state = match length {
            _ if matches!(status, 101 | 204 | 304) => State::Over,
            _ if is_chunked => State::ChunkSize,
            Some(0) => State::Over,
            Some(length) => State::Body(length),
            None => State::BodyToEnd,
        };
        Ok(Some(count))
    }

    /// Takes of the body what is there of so much: how much that was, and how much is to come.
    fn body(&mut self, bytes: &[u8], left: u64) -> (usize, u64) {
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let room = self.max.saturating_sub(self.answer.body.len());
        let wanted = bytes.get(..count.min(room)).unwrap_or_default();
        self.answer.body.extend_from_slice(wanted);
        self.total = self.total.saturating_add(count);
        (count, left - count as u64)
    }
}

/// Digits and nothing else: numbers are read with a sign otherwise.
fn content_length(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bytes that come in pieces of a size.
    fn read(bytes: &[u8], size: usize, max: usize) -> Result<Reading, Failure> {
        let mut reading = Reading::new(max);
        for piece in bytes.chunks(size) {
            reading.take(piece)?;
        }
        Ok(reading)
    }

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_comes() {
        for (text, status, body, is_reusable) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
                200,
                "yes",
                true,
            ),
            ("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "", true),
            ("HTTP/1.1 204 \r\n\r\n", 204, "", true),
            ("HTTP/1.1 101 \r\nUpgrade: x\r\n\r\n", 101, "", false),
            (
                "HTTP/1.1 200\r\nContent-Length: 2, 2\r\n\r\nhi",
                200,
                "hi",
                true,
            ),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\
                 Content-Length: 5\r\n\r\n0\r\n\r\n",
                200,
                "",
                true,
            ),
            ("HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n", 304, "", true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 x\r\nContent-Length: 1\r\n\r\ny",
                201,
                "y",
                true,
            ),
            (
                "HTTP/1.1 500 x\r\nConnection: Keep-Alive, Close\r\nContent-Length: 1\r\n\r\nn",
                500,
                "n",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                200,
                "hi",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nyes\r\n1\r\n!\r\n0\r\n\r\n",
                200,
                "yes!",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\nA: b\r\n\r\n",
                200,
                "",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more",
                200,
                "hi",
                false,
            ),
        ] {
            for size in 1..=text.len() {
                let reading = read(text.as_bytes(), size, 99).unwrap();
                assert!(reading.is_over(), "{text}");
                assert_eq!(reading.is_reusable(), is_reusable, "{text}");
                let answer = reading.into_answer().unwrap();
                assert_eq!(
                    (answer.status, &*answer.body),
                    (status, body.as_bytes()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn noise_is_the_same_in_whatever_pieces_it_comes() {
        let whole = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nyes!";
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
        for text in [whole, chunks] {
            for place in 0..text.len() {
                for noise in [0, b'\r', b'\n', b' ', b'0', b'9', b'f', b':', b';', 0xff] {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[place] = noise;
                    let told = |size| {
                        let reading = read(&bytes, size, 99)?;
                        let is_over = reading.is_over();
                        let answer = reading.into_answer();
                        Ok((is_over, answer.map(|answer| (answer.status, answer.body))))
                    };
                    let wanted: Result<_, Failure> = told(bytes.len());
                    for size in [1, 2, 7, 50] {
                        assert_eq!(told(size), wanted, "{}", bytes.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let mut reading = read(b"HTTP/1.1 200 OK\r\n\r\nyes", 1, 99).unwrap();
        assert!(!reading.is_over());
        assert_eq!(reading.end(), Ok(()));
        assert!(reading.is_over() && !reading.is_reusable());
        assert_eq!(reading.into_answer().unwrap().body, b"yes");
    }

    #[test]
    fn what_ends_too_early_is_lost_but_for_its_status() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n";
        let head = whole.find("3\r\n").unwrap();
        for end in 0..whole.len() {
            let mut reading = read(&whole.as_bytes()[..end], 7, 99).unwrap();
            assert_eq!(reading.end(), Err(Failure::Lost));
            assert_eq!(reading.into_answer().is_some(), end >= head, "{end}");
        }
    }

    #[test]
    fn more_than_is_wanted_is_read_and_not_kept() {
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{:5000}",
            "x"
        );
        let reading = read(text.as_bytes(), 1000, 4).unwrap();
        assert!(reading.is_reusable());
        assert_eq!(reading.total(), 5000);
        assert_eq!(reading.into_answer().unwrap().body, b"x   ");
    }

    #[test]
    fn two_headers_are_kept_as_they_are() {
        let text = "HTTP/1.1 302 x\r\nlocation: /a\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n";
        let answer = read(text.as_bytes(), 9, 0).unwrap().into_answer().unwrap();
        assert_eq!(answer.location.as_deref(), Some("/a"));
        assert_eq!(answer.retry_after.as_deref(), Some("7"));
    }

    #[test]
    fn what_is_not_http_is_refused_soon() {
        let endless = |head: &str| format!("{head}{}", "x".repeat(MAX_HEAD + 1));
        for text in [
            "SIP/2.0 200 OK\r\n\r\n".to_owned(),
            "\0\u{1}\u{2}".to_owned(),
            "<html>\r\n".to_owned(),
            endless("HTTP/1.1 200 OK\r\nA: "),
            format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                "A: b\r\n".repeat(MAX_HEADERS + 1)
            ),
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nhi".to_owned(),
            "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n".to_owned(),
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n".to_owned(),
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "),
        ] {
            let failed = read(text.as_bytes(), 100, 99);
            assert!(
                matches!(failed, Err(Failure::NotHttp(_))),
                "{text:.60} {failed:?}"
            );
        }
    }
}
