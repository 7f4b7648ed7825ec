//! Requests and replies as salara means them, whatever carried them.
//!
//! It owns the JSON and form shapes of the REST interface and the choice among requests. It must
//! not know HTTP framing, nor how a question is put to Asterisk.
//!
//! The surprising fact: a field of the wrong type counts as absent, so `{"msg":5}` beside an
//! operator and a phone sets up a call. The original did so, and so it stays.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::config::Keys;
use crate::http::Response;
use crate::value::{BadValue, Body, Name, Number, Sender};

mod form;

use form::Form;

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Ring the operator, then dial the phone.
    Call {
        /// Whose phone rings first.
        operator: Number,
        /// Who is dialled then.
        phone: Number,
        /// Where to look for the operator's hint.
        context: Option<Name>,
    },
    /// Send a text to the operator's phone.
    Message {
        /// Who receives it.
        operator: Name,
        /// Who it is from.
        phone: Sender,
        /// What it says.
        body: Body,
        /// Where to look for the operator's hint.
        context: Option<Name>,
    },
    /// Tell the state of an extension's hint.
    Extension {
        /// The extension.
        extension: Name,
        /// Where to look for its hint.
        context: Option<Name>,
    },
    /// Tell whether a peer can be reached.
    Peer {
        /// The peer, with or without its technology.
        peer: Name,
    },
    /// Tell the state of a channel.
    Channel {
        /// Its full name.
        channel: Name,
    },
}

/// Reads a request from the body or, when that is blank, from the target. The method, the path
/// before the form and the content type say nothing here: clients send any.
pub fn parse(target: &str, body: &[u8], keys: &Keys) -> Result<Request, BadRequest> {
    if body.trim_ascii().is_empty() {
        return match Form::in_target(target)? {
            Some(form) => form.into_request(),
            None => Err(BadRequest::new(format!(
                "neither a body nor {} in the path",
                form::UNDERSTOOD
            ))),
        };
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Fields {
            fields: &fields,
            keys,
        }
        .request(),
        Ok(other) => Err(BadRequest::new(format!(
            "the body is {}, not an object",
            kind(&other)
        ))),
        Err(error) => match Form::in_body(body)? {
            Some(form) => form.into_request(),
            None => Err(BadRequest::new(format!(
                "the body is neither JSON ({error}) nor {}",
                form::UNDERSTOOD
            ))),
        },
    }
}

/// Why a request was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// The HTTP status: 400, or 413 for a text that is too long.
    pub status: u16,
    /// What was met and what was wanted.
    pub reason: String,
}

impl BadRequest {
    fn new(reason: String) -> Self {
        Self {
            status: 400,
            reason,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for BadRequest {}

impl From<BadRequest> for Reply {
    fn from(bad: BadRequest) -> Self {
        Self::error(bad.status, bad.reason)
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `result` of the body.
    pub result: i32,
    /// `text` of the body.
    pub text: Cow<'static, str>,
    /// Facts beside the body, each with the name of its header: `("Salara-Channel", …)`.
    pub facts: Vec<(&'static str, String)>,
    /// Why it failed, in words.
    pub error: Option<String>,
}

impl Reply {
    /// A request that was understood: its result and the text to it.
    pub fn state(result: i32, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: 200,
            result,
            text: text.into(),
            facts: Vec::new(),
            error: None,
        }
    }

    /// A request that was not served.
    pub fn error(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            result: -2,
            text: Cow::Borrowed("Error"),
            facts: Vec::new(),
            error: Some(reason.into()),
        }
    }

    /// Adds a fact.
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((header, value.into()));
        self
    }

    /// The body, byte for byte what clients compare.
    pub fn body(&self) -> String {
        let text = Value::from(self.text.as_ref());
        format!(r#"{{"result":{},"text":{text}}}"#, self.result)
    }

    /// The reply as HTTP carries it.
    pub fn to_response(&self) -> Response {
        let mut headers = self.facts.clone();
        match self.status {
            401 => headers.push(("WWW-Authenticate", "Bearer".to_owned())),
            // Asterisk is back within seconds of a reload, and the client may know better.
            503 => headers.push(("Retry-After", "1".to_owned())),
            _ => {}
        }
        headers.extend(
            self.error
                .iter()
                .map(|reason| ("Salara-Error", reason.clone())),
        );
        Response {
            status: self.status,
            content_type: "application/json",
            headers,
            body: self.body().into_bytes(),
        }
    }
}

/// The body of every error, also of those that are not [`Reply`]s.
pub const ERROR_BODY: &str = r#"{"result":-2,"text":"Error"}"#;

/// A JSON object with the names its fields have here.
struct Fields<'a> {
    fields: &'a Map<String, Value>,
    keys: &'a Keys,
}

impl<'a> Fields<'a> {
    fn request(&self) -> Result<Request, BadRequest> {
        let Keys {
            operator,
            phone,
            msg,
            extension,
            peer,
            channel,
            ..
        } = self.keys;
        if let Some(operator) = self.text_or_integer(operator) {
            let Some(phone) = self.text_or_integer(phone) else {
                return Err(self.absent(operator.name, phone));
            };
            return call_or_message(&operator, &phone, self.text(msg), || self.context());
        }
        if let Some(field) = self.first(extension.names(), Self::text_or_integer) {
            return Ok(Request::Extension {
                extension: field.name()?,
                context: self.context()?,
            });
        }
        if let Some(field) = self.text_or_integer(peer) {
            return Ok(Request::Peer {
                peer: field.name()?,
            });
        }
        if let Some(field) = self.first(channel.names(), Self::text) {
            return Ok(Request::Channel {
                channel: field.name()?,
            });
        }
        Err(self.nothing())
    }

    fn context(&self) -> Result<Option<Name>, BadRequest> {
        let field = self
            .text(&self.keys.context)
            .filter(|field| !field.text.is_empty());
        field.map(|field| field.name()).transpose()
    }

    fn text(&self, name: &'a str) -> Option<Field<'a>> {
        let text = self.fields.get(name)?.as_str()?;
        Some(Field {
            name,
            text: Cow::Borrowed(text),
        })
    }

    fn text_or_integer(&self, name: &'a str) -> Option<Field<'a>> {
        let text = match self.fields.get(name)? {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Number(number) if !number.is_f64() => Cow::Owned(number.to_string()),
            _ => return None,
        };
        Some(Field { name, text })
    }

    fn first(
        &self,
        names: &'a [Box<str>],
        read: fn(&Self, &'a str) -> Option<Field<'a>>,
    ) -> Option<Field<'a>> {
        names.iter().find_map(|name| read(self, name))
    }

    fn absent(&self, given: &str, wanted: &str) -> BadRequest {
        let why = match self.fields.get(wanted) {
            Some(value) => format!("is {}, not a string or an integer", kind(value)),
            None => "is missing".to_owned(),
        };
        BadRequest::new(format!("{given} is given, but {wanted} {why}"))
    }

    fn nothing(&self) -> BadRequest {
        let Keys {
            operator,
            phone,
            msg,
            extension,
            peer,
            channel,
            ..
        } = self.keys;
        let extension = extension.names().join("|");
        let channel = channel.names().join("|");
        BadRequest::new(format!(
            "names no request: wanted is {operator} with {phone} (and {msg}), or one of \
             {extension}, {peer}, {channel}; each a string or, but for {msg} and {channel}, \
             an integer"
        ))
    }
}

/// A value and what its sender calls it.
struct Field<'a> {
    name: &'a str,
    text: Cow<'a, str>,
}

impl Field<'_> {
    fn name(&self) -> Result<Name, BadRequest> {
        self.read(Name::new)
    }

    fn read<T>(&self, check: fn(&str) -> Result<T, BadValue>) -> Result<T, BadRequest> {
        check(&self.text).map_err(|bad| BadRequest::new(format!("{}: {bad}", self.name)))
    }

    /// A text that is too long is a matter of size, which a client may mend by cutting it in two.
    fn body(&self) -> Result<Body, BadRequest> {
        Body::new(&self.text).map_err(|bad| BadRequest {
            status: if matches!(bad, BadValue::TooLong { .. }) {
                413
            } else {
                400
            },
            reason: format!("{}: {bad}", self.name),
        })
    }
}

fn call_or_message(
    operator: &Field<'_>,
    phone: &Field<'_>,
    msg: Option<Field<'_>>,
    context: impl FnOnce() -> Result<Option<Name>, BadRequest>,
) -> Result<Request, BadRequest> {
    let Some(msg) = msg else {
        return Ok(Request::Call {
            operator: operator.read(Number::new)?,
            phone: phone.read(Number::new)?,
            context: context()?,
        });
    };
    Ok(Request::Message {
        operator: operator.name()?,
        phone: phone.read(Sender::new)?,
        body: msg.body()?,
        context: context()?,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number beyond 64 bits or with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
