//! Why a request cannot be served, in the words its sender reads in `Salara-Error`.

use std::fmt;

use super::{MAX_BODY, MAX_HEAD, MAX_HEADERS};

/// What is wrong with a request as HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It begins like a TLS handshake.
    Tls,
    /// It does not begin with the name of a method.
    NoMethod,
    /// httparse refuses its head.
    BadHead(httparse::Error),
    /// Its head is longer than the limit.
    HeadTooLong,
    /// Its head has more lines than the limit.
    TooManyHeaders,
    /// It names this header more than once.
    Repeated(&'static str),
    /// Its Content-Length is this, which is not a number.
    BadLength(String),
    /// It gives two different lengths.
    LengthsDiffer,
    /// It gives both a length and a coding.
    LengthAndCoding,
    /// It uses this coding, which is not understood.
    BadCoding(String),
    /// It is HTTP/1.0, which knows no codings.
    CodingInOld,
    /// Its chunks are not well formed.
    BadChunk,
    /// Its body is longer than the limit.
    BodyTooLong,
    /// It took too long to arrive.
    Slow,
    /// Its sender stopped in the middle.
    Incomplete,
    /// Nobody answered it.
    Unanswered,
}

impl RequestError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Slow => 408,
            Self::Unanswered => 503,
            Self::BodyTooLong => 413,
            Self::HeadTooLong | Self::TooManyHeaders => 431,
            Self::Tls
            | Self::NoMethod
            | Self::BadHead(_)
            | Self::Repeated(_)
            | Self::BadLength(_)
            | Self::LengthsDiffer
            | Self::LengthAndCoding
            | Self::BadCoding(_)
            | Self::CodingInOld
            | Self::BadChunk
            | Self::Incomplete => 400,
        }
    }

    pub(super) fn bad_length(found: &[u8]) -> Self {
        Self::BadLength(quoted(found))
    }

    pub(super) fn bad_coding(found: &[u8]) -> Self {
        Self::BadCoding(quoted(found))
    }
}

impl From<httparse::Error> for RequestError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            other => Self::BadHead(other),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => write!(f, "this port speaks plain HTTP, not TLS"),
            Self::NoMethod => write!(f, "not HTTP: no method where a request begins"),
            Self::BadHead(error) => write!(f, "not HTTP: {error}"),
            Self::HeadTooLong => write!(f, "the head is longer than {MAX_HEAD} bytes"),
            Self::TooManyHeaders => write!(f, "the head has more than {MAX_HEADERS} headers"),
            Self::Repeated(name) => write!(f, "{name} is given more than once"),
            Self::BadLength(found) => write!(f, "Content-Length: {found:?} is not a number"),
            Self::LengthsDiffer => {
                write!(f, "Content-Length is given twice, with different values")
            }
            Self::LengthAndCoding => {
                write!(f, "both Content-Length and Transfer-Encoding are given")
            }
            Self::BadCoding(found) => write!(f, "Transfer-Encoding: {found:?} is not chunked"),
            Self::CodingInOld => write!(f, "Transfer-Encoding is not part of HTTP/1.0"),
            Self::BadChunk => write!(f, "the chunks of the body are not well formed"),
            Self::BodyTooLong => write!(f, "the body is longer than {MAX_BODY} bytes"),
            Self::Slow => write!(f, "the request did not arrive in time"),
            Self::Incomplete => write!(f, "the request ends in the middle"),
            Self::Unanswered => write!(f, "the request was not answered in time"),
        }
    }
}

impl std::error::Error for RequestError {}

/// What was found, short enough for a header of ours: the sender knows the rest.
fn quoted(found: &[u8]) -> String {
    String::from_utf8_lossy(found).chars().take(40).collect()
}
