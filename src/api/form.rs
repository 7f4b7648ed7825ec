//! The form of a request: `operator=8003&phone=0000&msg=hi`, in a body or in a path.
//!
//! It owns the decoding. Its names are fixed, whatever the configuration calls JSON's fields.
//!
//! The surprising fact: clients written for the module send text as it is, since the module decoded
//! nothing. So a `%` that begins no escape is text, and so is a `+` that begins a number.

use std::borrow::Cow;

use super::{BadRequest, Field, Request, call_or_message};

/// What a form must have, for error texts.
pub(super) const UNDERSTOOD: &str = "a form with operator and phone";

/// A form that has an operator, a phone, or both. Of a name given twice, the first counts.
pub(super) struct Form<'a> {
    operator: Option<Field<'a>>,
    phone: Option<Field<'a>>,
    msg: Option<Field<'a>>,
}

impl Form<'static> {
    pub(super) fn in_body(body: &[u8]) -> Result<Option<Self>, BadRequest> {
        // `echo … | curl --data-binary @-` ends its body with a line break nobody meant.
        Self::parse(body.trim_ascii_end())
    }

    /// The form begins after the last `/` or `?` before its first `=`, so that it is found in
    /// `/operator=…`, `/?operator=…` and `/any/path?operator=…`, and a `?` in a text stays text.
    pub(super) fn in_target(target: &str) -> Result<Option<Self>, BadRequest> {
        let names = target.split('=').next().unwrap_or_default();
        let start = names.rfind(['/', '?']).map_or(0, |at| at + 1);
        Self::parse(target.get(start..).unwrap_or_default().as_bytes())
    }

    fn parse(form: &[u8]) -> Result<Option<Self>, BadRequest> {
        let operator = field(form, "operator", decode_number)?;
        let phone = field(form, "phone", decode_number)?;
        if operator.is_none() && phone.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            operator,
            phone,
            msg: field(form, "msg", decode)?,
        }))
    }

    pub(super) fn into_request(self) -> Result<Request, BadRequest> {
        match (self.operator, self.phone) {
            (Some(operator), Some(phone)) => {
                call_or_message(&operator, &phone, self.msg, || Ok(None))
            }
            (Some(_), None) => Err(BadRequest::new(
                "operator is given, but phone is missing".to_owned(),
            )),
            (None, _) => Err(BadRequest::new(
                "phone is given, but operator is missing".to_owned(),
            )),
        }
    }
}

fn field(
    form: &[u8],
    name: &'static str,
    decode: fn(&[u8]) -> Vec<u8>,
) -> Result<Option<Field<'static>>, BadRequest> {
    let value = form.split(|b| *b == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    });
    let Some(value) = value else {
        return Ok(None);
    };
    let text = String::from_utf8(decode(value))
        .map_err(|_| BadRequest::new(format!("{name}: is not UTF-8")))?;
    Ok(Some(Field {
        name,
        text: Cow::Owned(text),
    }))
}

/// `+7701…` is what people type for a number. As a blank it could never be dialled, so nothing
/// is lost by taking the sign for what it is.
fn decode_number(value: &[u8]) -> Vec<u8> {
    match value {
        [b'+', digit, ..] if digit.is_ascii_digit() => {
            let mut decoded = decode(value);
            if let Some(first) = decoded.first_mut() {
                *first = b'+';
            }
            decoded
        }
        _ => decode(value),
    }
}

/// Decodes `%41` and `+`; a `%` before anything else is kept, as browsers do (URL standard,
/// "percent-decode").
fn decode(mut value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    while let [first, rest @ ..] = value {
        let (byte, later) = match (first, rest) {
            (b'+', _) => (b' ', rest),
            (b'%', [high, low, later @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, later),
                _ => (b'%', rest),
            },
            (byte, _) => (*byte, rest),
        };
        decoded.push(byte);
        value = later;
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
