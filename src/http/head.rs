//! The head of a request: what httparse found, reduced to what decides how to go on.

use std::fmt;
use std::mem::MaybeUninit;

use super::body::{Body, Chunks};
use super::{MAX_BODY, MAX_HEADERS, RequestError};

/// A complete head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) http11: bool,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) authorization: Option<Bearer>,
    pub(super) body: Body,
}

/// A token as the client sent it; `Debug` does not show it, so no log can.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

impl Bearer {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer(…)")
    }
}

impl Head {
    /// Reads a head from the start of `bytes` and tells its length; `None` until it is whole.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, RequestError> {
        // Left unset: writing sixty-four of them out would cost more than reading four.
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let used = match request.parse_with_uninit_headers(bytes, &mut headers)? {
            httparse::Status::Complete(used) => used,
            httparse::Status::Partial => return Ok(None),
        };
        let http11 = request.version == Some(1);
        let fields = Fields(request.headers);
        let close = fields.lists("Connection", "close");
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            http11,
            keep_alive: !close && (http11 || fields.lists("Connection", "keep-alive")),
            expects_continue: http11 && fields.lists("Expect", "100-continue"),
            authorization: fields.bearer()?,
            body: fields.body(http11)?,
        };
        Ok(Some((head, used)))
    }
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |header: &&httparse::Header<'a>| header.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|header| header.value)
    }

    /// The members of a header that is a list: `a, b` in one line means the same as two lines.
    fn members(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .map(<[u8]>::trim_ascii)
    }

    fn lists(&self, name: &'static str, wanted: &str) -> bool {
        self.members(name)
            .any(|member| member.eq_ignore_ascii_case(wanted.as_bytes()))
    }

    fn body(&self, http11: bool) -> Result<Body, RequestError> {
        let mut codings = self.all("Transfer-Encoding");
        let length = self.length()?;
        let Some(coding) = codings.next() else {
            return Ok(Body::Length(length.unwrap_or(0)));
        };
        if !http11 {
            return Err(RequestError::CodingInOld);
        }
        // Two ways to find the end of a body are how one request is made to look like two.
        if length.is_some() {
            return Err(RequestError::LengthAndCoding);
        }
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(RequestError::bad_coding(coding));
        }
        match codings.next() {
            Some(_) => Err(RequestError::Repeated("Transfer-Encoding")),
            None => Ok(Body::Chunked(Chunks::default())),
        }
    }

    fn length(&self) -> Result<Option<usize>, RequestError> {
        let mut length = None;
        for member in self.members("Content-Length") {
            let found = parse_length(member)?;
            if length.is_some_and(|length| length != found) {
                return Err(RequestError::LengthsDiffer);
            }
            length = Some(found);
        }
        if length.is_some_and(|length| length > MAX_BODY) {
            return Err(RequestError::BodyTooLong);
        }
        Ok(length)
    }

    fn bearer(&self) -> Result<Option<Bearer>, RequestError> {
        let mut values = self.all("Authorization");
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(RequestError::Repeated("Authorization"));
        }
        let token = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.split_once(' '));
        Ok(token
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map(|(_, token)| Bearer(token.trim().to_owned())))
    }
}

fn parse_length(text: &[u8]) -> Result<usize, RequestError> {
    let digits = std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| RequestError::bad_length(text))?;
    // Digits that do not fit a usize are a length all the same, and too long.
    digits.parse().map_err(|_| RequestError::BodyTooLong)
}
