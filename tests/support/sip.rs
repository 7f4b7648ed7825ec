//! SIP messages as text: what a phone has to take apart and put together.

/// A request or a response.
#[derive(Debug, Clone)]
pub struct Message {
    /// The request line or the status line.
    pub start: String,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// Everything after the empty line.
    pub body: String,
}

impl Message {
    /// Takes a datagram apart; keep-alives and other scraps are `None`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            start,
            headers,
            body: body.to_owned(),
        })
    }

    /// A message to be filled with [`Message::with`].
    pub fn new(start: String) -> Self {
        Self {
            start,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a body.
    pub fn with_body(self, content_type: &str, body: impl Into<String>) -> Self {
        let mut message = self.with("Content-Type", content_type);
        message.body = body.into();
        message
    }

    /// A response to this request, with the headers that must be the same.
    pub fn response(&self, code: u16, to_tag: &str) -> Self {
        let mut response = Self::new(format!("SIP/2.0 {code} {}", reason(code)));
        for (name, value) in &self.headers {
            let name = name.as_str();
            if ["Via", "From", "Call-ID", "CSeq"]
                .iter()
                .any(|n| n.eq_ignore_ascii_case(name))
            {
                response = response.with(name, value.as_str());
            } else if name.eq_ignore_ascii_case("To") && !to_tag.is_empty() && tag(value).is_none()
            {
                response = response.with("To", format!("{value};tag={to_tag}"));
            } else if name.eq_ignore_ascii_case("To") {
                response = response.with("To", value.as_str());
            }
        }
        response
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> String {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text + &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body)
    }

    /// The value of the first header of that name, or nothing.
    pub fn get(&self, name: &str) -> &str {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(same)
            .map_or("", |(_, value)| value)
    }

    /// The code of a response; a request has none.
    pub fn code(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        match self.code() {
            Some(_) => self.get("CSeq").split(' ').nth(1).unwrap_or(""),
            None => self.start.split(' ').next().unwrap_or(""),
        }
    }

    /// The number in CSeq.
    pub fn cseq(&self) -> u32 {
        self.get("CSeq")
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }
}

/// The tag of a From or To header.
pub fn tag(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once(";tag=")?;
    rest.split([';', '>', ' ']).next()
}

/// A From or To header as it is before it has a tag.
pub fn without_tag(value: &str) -> &str {
    value.split(";tag=").next().unwrap_or(value)
}

/// What stands before the URI of a From or To header, without quotes.
pub fn display_name(value: &str) -> &str {
    let name = value.split_once('<').map_or("", |(name, _)| name);
    name.trim().trim_matches('"')
}

/// The URI of a From, To, Contact or Refer-To header.
pub fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(""),
        None => value.split(';').next().unwrap_or("").trim(),
    }
}

/// The user part of such a header or URI.
pub fn user(value: &str) -> &str {
    let uri = uri(value);
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';', '?']).next().unwrap_or("")
}

fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        202 => "Accepted",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        603 => "Decline",
        _ => "Because",
    }
}
