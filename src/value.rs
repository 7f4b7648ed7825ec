//! Values from outside (HTTP, the CRM, the wire) that may reach an AMI action.
//!
//! They are checked here, where they are made, so that nothing further in has to be. This file must
//! not know what a value is for beyond its rule.
//!
//! The surprising fact: a blank line inside an AMI header's value does not end the action in
//! Asterisk, it smuggles in further headers. One control character is enough to refuse a value.

use std::fmt;

/// Asterisk keeps extensions, contexts and channel names in 80 bytes, the NUL included
/// (`AST_MAX_EXTENSION` and `AST_MAX_CONTEXT` in `channel.h`).
pub const MAX_NAME: usize = 79;

/// The longest text that fits a `Body:` line with room for what Asterisk adds: its lines end at
/// 1024 bytes (`get_input` in `manager.c`).
pub const MAX_PLAIN: usize = 1_000;

/// The longest text that fits a `Base64Body:` line: four bytes on the wire for three of text.
pub const MAX_BASE64: usize = 740;

/// A name Asterisk may be asked about: an extension, a context, a peer or a channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<str>);

/// A name that may be dialled: letters, digits and `*#+._-@`, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

/// Who a message is from: a number, or a whole SIP From such as `"Boss" <sip:boss@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(Box<str>);

/// The text of a message, and whether it must travel in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One line of ASCII.
    Plain(Box<str>),
    /// Several lines, bytes beyond ASCII, or a blank at the beginning.
    Base64(Box<str>),
}

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// It is empty where something must be dialled.
    Empty,
    /// It holds this control character.
    Control(char),
    /// It holds this character, which the dialplan or a dial string could take for syntax.
    NotDialable(char),
    /// It is longer than its limit, both in bytes.
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Whether this is no number but what stands for one that is not told.
pub fn is_nobody(number: &str) -> bool {
    const NOBODY: [&str; 5] = ["", "unknown", "<unknown>", "anonymous", "(null)"];
    NOBODY
        .iter()
        .any(|nobody| number.eq_ignore_ascii_case(nobody))
}

impl Name {
    /// Accepts any printable text of at most [`MAX_NAME`] bytes, the empty one included.
    pub fn new(text: &str) -> Result<Self, BadValue> {
        line(text, MAX_NAME).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Number {
    /// Accepts what a dial string is made of, and nothing a dialplan could take for syntax.
    pub fn new(text: &str) -> Result<Self, BadValue> {
        let text = line(text, MAX_NAME)?;
        if text.is_empty() {
            return Err(BadValue::Empty);
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"*#+._-@".contains(*c))
        {
            Some(c) => Err(BadValue::NotDialable(c)),
            None => Ok(Self(text)),
        }
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Sender {
    /// Accepts any printable text of at most [`MAX_NAME`] bytes.
    pub fn new(text: &str) -> Result<Self, BadValue> {
        line(text, MAX_NAME).map(Self)
    }

    /// The sender as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Body {
    /// Chooses the form a text needs. Line breaks and tabs are text; a NUL is not.
    pub fn new(text: &str) -> Result<Self, BadValue> {
        // Asterisk strips the blanks that begin a header's value.
        let plain = text.chars().all(|c| matches!(c, ' '..='~')) && !text.starts_with(' ');
        if let Some(c) = text
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
        {
            return Err(BadValue::Control(c));
        }
        let max = if plain { MAX_PLAIN } else { MAX_BASE64 };
        if text.len() > max {
            return Err(BadValue::TooLong {
                len: text.len(),
                max,
            });
        }
        Ok(if plain {
            Self::Plain(text.into())
        } else {
            Self::Base64(text.into())
        })
    }

    /// The text itself, whatever form it travels in.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Base64(text) => text,
        }
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::Control(c) => write!(f, "holds the control character {:?}", c),
            Self::NotDialable(c) => {
                write!(
                    f,
                    "holds {c:?}; only letters, digits and *#+._-@ can be dialled"
                )
            }
            Self::TooLong { len, max } => write!(f, "is {len} bytes long; at most {max} fit"),
        }
    }
}

impl std::error::Error for BadValue {}

fn line(text: &str, max: usize) -> Result<Box<str>, BadValue> {
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(BadValue::Control(c));
    }
    if text.len() > max {
        return Err(BadValue::TooLong {
            len: text.len(),
            max,
        });
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_can_be_dialled() {
        for good in [
            "8003",
            "*98",
            "#31#7012",
            "+77012223344",
            "a.b_c-d@trunk",
            "s",
        ] {
            assert!(Number::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", BadValue::Empty),
            ("8003&x", BadValue::NotDialable('&')),
            ("SIP/8003", BadValue::NotDialable('/')),
            ("0 0", BadValue::NotDialable(' ')),
            ("a,b", BadValue::NotDialable(',')),
            ("${X}", BadValue::NotDialable('$')),
            ("аб", BadValue::NotDialable('а')),
            ("000\nVariable: INJ=1", BadValue::Control('\n')),
        ] {
            assert_eq!(Number::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_anything_printable_that_asterisk_can_hold() {
        assert!(Name::new("").is_ok());
        assert!(Name::new("SIP/8003-00000020").is_ok());
        assert!(Name::new(&"9".repeat(79)).is_ok());
        let long = Name::new(&"9".repeat(80));
        assert_eq!(long, Err(BadValue::TooLong { len: 80, max: 79 }));
        assert_eq!(Name::new("8003\r\nX: y"), Err(BadValue::Control('\r')));
        assert_eq!(Name::new("8003\0"), Err(BadValue::Control('\0')));
        assert_eq!(Name::new("8003\u{85}"), Err(BadValue::Control('\u{85}')));
    }

    #[test]
    fn a_text_chooses_the_form_it_needs() {
        assert_eq!(Body::new("hi"), Ok(Body::Plain("hi".into())));
        assert_eq!(Body::new("a\nb"), Ok(Body::Base64("a\nb".into())));
        assert_eq!(Body::new("мир"), Ok(Body::Base64("мир".into())));
        assert_eq!(Body::new(" indented"), Ok(Body::Base64(" indented".into())));
        assert_eq!(Body::new("a\0"), Err(BadValue::Control('\0')));
        assert!(Body::new(&"m".repeat(1000)).is_ok());
        assert_eq!(
            Body::new(&"m".repeat(1001)),
            Err(BadValue::TooLong {
                len: 1001,
                max: 1000
            })
        );
        assert_eq!(
            Body::new(&"ж".repeat(371)),
            Err(BadValue::TooLong { len: 742, max: 740 })
        );
    }
}
